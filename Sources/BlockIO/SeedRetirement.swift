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
    private static let labels = ["CIDATA", "CONFIG-2"]
    private static let pieceBytes = 4096

    /// The writes that give the volume another label, in their order, and then those that take the marker's force away. The
    /// marker is the last: until then, another try finds it all again.
    /// - Parameter partition: the seed's, in bytes.
    public static func seed(_ partition: Range<UInt64>, read: Read) throws -> [DiskWrite] {
        guard partition.count >= InstallMarker.byteCount else { return [] }
        var marker = try read(InstallMarker.byteCount, partition.upperBound - UInt64(InstallMarker.byteCount))
        marker.replaceSubrange(0..<InstallMarker.magic.count, with: InstallMarker.retiredMagic)
        return try relabelled(partition, read)
            + [DiskWrite(offset: partition.upperBound - UInt64(InstallMarker.byteCount), bytes: marker)]
    }

    /// The writes that put the label and the disk's partition table out of force. The marker stays, so that another try finds it
    /// again; once the last write is done nobody does.
    public static func system(_ partition: Range<UInt64>, table: PartitionTable, read: Read) throws -> [DiskWrite] {
        var writes = try relabelled(partition, read)
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

    /// FAT §3.1 and §6.2: the label stands in the boot sector and in the root folder.
    private static func relabelled(_ partition: Range<UInt64>, _ read: Read) throws -> [DiskWrite] {
        guard partition.count > UInt64(2 * pieceBytes) else { return [] }
        var boot = try read(pieceBytes, partition.lowerBound)
        func number(_ at: Int) -> UInt64 { UInt64(boot[at]) | UInt64(boot[at + 1]) << 8 }
        let sectorBytes = number(11)
        // Hostler's own volumes are FAT12 or FAT16.
        guard boot[510] == 0x55, boot[511] == 0xaa, [512, 4096].contains(sectorBytes), number(22) > 0 else { return [] }
        var writes: [DiskWrite] = []
        if isOurs(boot[43..<54]) {
            boot.replaceSubrange(43..<54, with: Array(label.utf8))
            writes.append(DiskWrite(offset: partition.lowerBound, bytes: boot))
        }
        let offset = partition.lowerBound + (number(14) + UInt64(boot[16]) * number(22)) * sectorBytes
        guard offset + UInt64(pieceBytes) <= partition.upperBound else { return writes }
        var root = try read(pieceBytes, offset)
        for entry in stride(from: 0, to: pieceBytes, by: 32) where root[entry + 11] == 0x08 && isOurs(root[entry..<entry + 11]) {
            root.replaceSubrange(entry..<entry + 11, with: Array(label.utf8))
            writes.append(DiskWrite(offset: offset, bytes: root))
            break
        }
        return writes
    }

    private static func isOurs(_ bytes: ArraySlice<UInt8>) -> Bool {
        labels.contains { bytes.elementsEqual(FATDirectory.paddedLabel($0)) }
    }
}
