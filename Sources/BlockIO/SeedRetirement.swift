/// Puts the first-boot data of a former installation out of force, without a change to any file.
///
/// A system looks for its data by the volume's label, and the control plane's agent for the marker: both are replaced. Where the
/// former system must not be found at all, the signatures of its partition table are, too; putting them back brings it back.
public enum SeedRetirement {
    /// Exactly `count` bytes of the disk from `offset` on.
    public typealias Read = (_ count: Int, _ offset: UInt64) throws -> [UInt8]

    /// What the volume is called from then on; as long as a label may be.
    public static let label = "HOSTLER-OLD"
    /// What stands in place of a GPT's `EFI PART`.
    public static let tableSignature = "HSTLRGPT"
    private static let labels = ["CIDATA", "CONFIG-2"].map(FATDirectory.paddedLabel)
    private static let pieceBytes = 4096

    /// The writes that give the volume another label, in their order, and then those that take the marker's force away. The
    /// marker is the last: until then, another try finds it all again.
    /// - Parameter partition: the seed's, in bytes.
    public static func seed(_ partition: Range<UInt64>, read: Read) throws -> [DiskWrite] {
        guard partition.count >= InstallMarker.byteCount else { return [] }
        var marker = try read(InstallMarker.byteCount, partition.upperBound - UInt64(InstallMarker.byteCount))
        marker.replaceSubrange(0..<InstallMarker.magic.count, with: InstallMarker.retiredMagic)
        guard let renamed = try relabelled(partition, read) else { throw SeedRetirementError.volumeUnknown }
        return renamed + [DiskWrite(offset: partition.upperBound - UInt64(InstallMarker.byteCount), bytes: marker)]
    }

    /// The writes that put the label and the disk's partition table out of force. The marker stays, so that another try finds it
    /// again; once the last write is done nobody does.
    public static func system(_ partition: Range<UInt64>, table: PartitionTable, read: Read) throws -> [DiskWrite] {
        // Where the label cannot be changed, nobody finds the volume without the table either.
        var writes = try relabelled(partition, read) ?? []
        switch table {
        case .mbr(let mbr):
            var block = try read(mbr.blockBytes, 0)
            block.replaceSubrange(510..<512, with: [0, 0])
            writes.append(DiskWrite(offset: 0, bytes: block))
        case .gpt(let gpt):
            // The copy first: a kernel takes it where the first is not sound.
            for block in [gpt.alternateBlock, gpt.headerBlock] {
                let offset = block.multipliedReportingOverflow(by: UInt64(gpt.blockBytes))
                guard !offset.overflow, var header = try? read(gpt.blockBytes, offset.partialValue), header.starts(with: GPT.signature) else {
                    continue
                }
                header.replaceSubrange(0..<GPT.signature.count, with: Array(tableSignature.utf8))
                writes.append(DiskWrite(offset: offset.partialValue, bytes: header))
            }
        }
        return writes
    }

    /// What the writes change, in words, by the writes themselves.
    public static func words(_ writes: [DiskWrite], seed partition: Range<UInt64>) -> String {
        let marker = partition.upperBound - min(partition.upperBound, UInt64(InstallMarker.byteCount))
        let inside = writes.filter { partition.contains($0.offset) }
        var words = [inside.contains { $0.offset < marker } ? "volume renamed to \(label)" : "volume keeps its label"]
        if inside.count < writes.count { words.append("partition table put out of force; its data are untouched") }
        if inside.contains(where: { $0.offset >= marker }) { words.append("marker put out of force; its files are untouched") }
        return words.joined(separator: ", ")
    }

    /// FAT §3.1 and §6.2: the label stands in the boot sector and in the root folder. No writes: no system looks for this volume,
    /// by its label; nil: it is a FAT whose label cannot be changed here.
    private static func relabelled(_ partition: Range<UInt64>, _ read: Read) throws -> [DiskWrite]? {
        guard partition.count > UInt64(2 * pieceBytes) else { return [] }
        var boot = try read(pieceBytes, partition.lowerBound)
        func number(_ at: Int) -> UInt64 { UInt64(boot[at]) | UInt64(boot[at + 1]) << 8 }
        let sectorBytes = number(11)
        // Hostler's own volumes are FAT12 or FAT16.
        guard boot[510] == 0x55, boot[511] == 0xaa else { return [] }
        guard [512, 4096].contains(sectorBytes), number(22) > 0 else {
            return [54, 82].contains { boot[$0..<$0 + 3].elementsEqual("FAT".utf8) } ? nil : []
        }
        var writes: [DiskWrite] = []
        if isOurs(boot[43..<54]) {
            boot.replaceSubrange(43..<54, with: Array(label.utf8))
            writes.append(DiskWrite(offset: partition.lowerBound, bytes: boot))
        }
        // The folder has at most 65535 entries; somebody may have given the volume a label behind the first of them.
        let root = partition.lowerBound + (number(14) + UInt64(boot[16]) * number(22)) * sectorBytes
        let end = root + number(17) * 32
        for offset in stride(from: root, to: end, by: pieceBytes) where offset + UInt64(pieceBytes) <= partition.upperBound {
            var piece = try read(pieceBytes, offset)
            // A label, with or without the archive bit; not a part of a long name.
            for entry in stride(from: 0, to: min(pieceBytes, Int(end - offset)), by: 32)
            where piece[entry + 11] & ~0x20 == 0x08 && isOurs(piece[entry..<entry + 11]) {
                piece.replaceSubrange(entry..<entry + 11, with: Array(label.utf8))
                return writes + [DiskWrite(offset: offset, bytes: piece)]
            }
        }
        return writes
    }

    /// A system takes its volume by a label in either case.
    private static func isOurs(_ bytes: ArraySlice<UInt8>) -> Bool {
        let upper = bytes.map { (0x61...0x7a).contains($0) ? $0 - 0x20 : $0 }
        return labels.contains { upper.elementsEqual($0) }
    }
}

public enum SeedRetirementError: Error, Equatable, CustomStringConvertible {
    /// Its volume is a FAT that Hostler does not make, so its label stays.
    case volumeUnknown

    public var description: String { "its volume is a FAT of another kind than Hostler makes, whose label is not changed" }
}
