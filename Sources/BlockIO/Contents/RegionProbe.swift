internal import Wire

/// Says what a region's bytes are: a pure function of them. Whatever they are, it neither fails nor takes long.
struct RegionProbe {
    let region: RegionBytes

    /// Each kind that is there, with its label where that stands in the same bytes.
    func found() -> [(kind: ContentKind, label: String?)] {
        var kinds: [ContentKind] = []
        for signature in ContentSignature.all where !kinds.contains(signature.kind) && region.has(signature) { kinds.append(signature.kind) }
        kinds += [ext, fat, md090, md10, hasZFS ? .zfs : nil].compactMap { $0 }
        return kinds.map { ($0, label(of: $0)) }
    }

    // MARK: What its magic alone does not tell

    /// The superblock is at byte 1024 (Documentation/filesystems/ext4): magic at 0x38, then three words of features.
    private var ext: ContentKind? {
        guard region.has([0x53, 0xef], at: 0x438), let compatible = region.littleEndian32(at: 0x45c),
            let incompatible = region.littleEndian32(at: 0x460), let readOnly = region.littleEndian32(at: 0x464)
        else { return nil }
        if incompatible & 0x8 != 0 { return .extJournal }
        // ext3 knows filetype, recover and meta_bg; sparse superblocks, large files and B-trees.
        if incompatible & ~0x16 != 0 || readOnly & ~0x7 != 0 { return .ext4 }
        return compatible & 0x4 != 0 ? .ext3 : .ext2
    }

    /// A boot sector with a parameter block (Microsoft, FAT specification §3).
    private var fat: ContentKind? {
        if region.has(Array("FAT32   ".utf8), at: 0x52) { return .fat32 }
        if region.has(Array("FAT16   ".utf8), at: 0x36) { return .fat16 }
        if region.has(Array("FAT12   ".utf8), at: 0x36) { return .fat12 }
        // Programs before 1990 wrote no such word.
        guard let jump = region.bytes(at: 0, count: 1)?.first, jump == 0xeb || jump == 0xe9,
            let sectorBytes = region.littleEndian16(at: 0x0b), [512, 1024, 2048, 4096].contains(sectorBytes),
            let cluster = region.bytes(at: 0x0d, count: 1)?.first, cluster.nonzeroBitCount == 1,
            let reserved = region.littleEndian16(at: 0x0e), reserved > 0,
            let tables = region.bytes(at: 0x10, count: 1)?.first, tables == 1 || tables == 2,
            let media = region.bytes(at: 0x15, count: 1)?.first, media >= 0xf0,
            region.has([0x55, 0xaa], at: 0x1fe)
        else { return nil }
        return .fat
    }

    private static let mdMagic: [UInt8] = [0xfc, 0x4e, 0x2b, 0xa9]

    /// In the last whole 64 KiB but one, in the byte order of the machine that made it (linux/raid/md_p.h).
    private var md090: ContentKind? {
        guard let offset = md090Offset, region.has(Self.mdMagic, at: offset) || region.has(Array(Self.mdMagic.reversed()), at: offset)
        else { return nil }
        return .md090
    }

    private var md090Offset: UInt64? {
        let aligned = region.byteCount & ~0xffff
        return aligned >= 0x10000 ? aligned - 0x10000 : nil
    }

    /// Between 8 and 12 KiB before the end, at a multiple of 4 KiB.
    private var md10: ContentKind? { md10Offset.map { region.has(Self.mdMagic, at: $0) } == true ? .md10 : nil }

    private var md10Offset: UInt64? {
        let sectors = region.byteCount / 512
        return sectors >= 16 ? ((sectors - 16) & ~7) * 512 : nil
    }

    // MARK: ZFS

    /// Two labels of 256 KiB at the start and two at the end, each with a list of names and values at 16 KiB and a ring of
    /// uberblocks at 128 KiB (ZFS On-Disk Specification §1.2).
    private static let zfsLabelBytes: UInt64 = 256 << 10
    private static let uberblock: [[UInt8]] = [[0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0xba, 0xb1, 0x0c]]

    private var zfsLabels: [UInt64] {
        let label = Self.zfsLabelBytes
        let aligned = region.byteCount / label * label
        guard aligned >= 4 * label else { return [] }
        return [0, label, aligned - 2 * label, aligned - label]
    }

    private var hasZFS: Bool {
        zfsLabels.contains { label in
            stride(from: label + (128 << 10), to: label + Self.zfsLabelBytes, by: 1024).contains { place in
                Self.uberblock.contains { region.has($0, at: place) }
            } || ZFSNames.name(in: region.bytes(at: label + (16 << 10), count: ZFSNames.byteCount) ?? []) != nil
        }
    }

    // MARK: Labels

    private func label(of kind: ContentKind) -> String? {
        switch kind {
        case .ext2, .ext3, .ext4, .extJournal: text(at: 0x478, count: 16)
        case .xfs: text(at: 108, count: 12)
        case .btrfs: text(at: 0x1012b, count: 256)
        case .fat12, .fat16: text(at: 0x2b, count: 11, filler: "NO NAME")
        case .fat32: text(at: 0x47, count: 11, filler: "NO NAME")
        case .iso9660: text(at: 0x8028, count: 32)
        case .swap: text(at: 0x41c, count: 16)
        case .luks: region.littleEndian16(at: 6) == 0x0200 ? text(at: 24, count: 48) : nil
        case .f2fs: wideText(at: 0x47c, units: 64)
        case .jfs: text(at: 0x8098, count: 16)
        case .nilfs2: text(at: 0x4a8, count: 80)
        case .reiserFS: text(at: 0x10064, count: 16)
        case .md11: text(at: 32, count: 32)
        case .md12: text(at: 0x1020, count: 32)
        case .md10: md10Offset.flatMap { text(at: $0 + 32, count: 32) }
        case .vmfs: text(at: 0x20_001d, count: 128)
        case .zfs: zfsLabels.lazy.compactMap { ZFSNames.name(in: region.bytes(at: $0 + (16 << 10), count: ZFSNames.byteCount) ?? []) }.first
        default: nil
        }
    }

    private func text(at offset: UInt64, count: Int, filler: String? = nil) -> String? {
        guard let bytes = region.bytes(at: offset, count: count) else { return nil }
        return Self.shown(String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self), filler)
    }

    private func wideText(at offset: UInt64, units: Int) -> String? {
        guard let bytes = region.bytes(at: offset, count: units * 2) else { return nil }
        let all = stride(from: bytes.startIndex, to: bytes.endIndex - 1, by: 2).map { UInt16(bytes[$0]) | UInt16(bytes[$0 + 1]) << 8 }
        return Self.shown(String(decoding: all.prefix { $0 != 0 }, as: UTF16.self), nil)
    }

    static let labelLimitBytes = 108

    static func shown(_ text: String, _ filler: String?) -> String? {
        var label = PrintableText.line(text, limitBytes: labelLimitBytes)[...]
        while label.last?.isWhitespace == true { label.removeLast() }
        return label.isEmpty || label == filler ?? "" ? nil : String(label)
    }
}

/// The pool's name in a ZFS label: a list of names and values in XDR (RFC 4506).
enum ZFSNames {
    /// Of the list within the label.
    static let byteCount = 112 << 10
    /// A label has about twenty. A list with more is not searched.
    private static let pairLimit = 64
    private static let stringType: UInt32 = 9

    static func name(in bytes: ArraySlice<UInt8>) -> String? {
        var reader = ByteReader(bytes)
        return try? find(&reader)
    }

    /// Nil at the end of the list.
    private static func find(_ reader: inout ByteReader) throws(TruncatedError) -> String? {
        try reader.seek(to: 0)
        // Encoding 1 is XDR; then the byte order of the host and two bytes that are 0, the version and flags.
        guard try reader.readUInt8() == 1 else { return nil }
        try reader.skip(11)
        for _ in 0..<pairLimit {
            let start = reader.offset
            let pairBytes = Int(try reader.readUInt32())
            _ = try reader.readUInt32()
            guard pairBytes >= 20, pairBytes <= reader.remaining else { return nil }
            let name = try string(&reader)
            let type = try reader.readUInt32()
            let count = try reader.readUInt32()
            if name == "name", type == stringType, count == 1 { return RegionProbe.shown(try string(&reader), nil) }
            try reader.seek(to: start + pairBytes)
        }
        return nil
    }

    private static func string(_ reader: inout ByteReader) throws(TruncatedError) -> String {
        let count = Int(try reader.readUInt32())
        let bytes = try reader.read(count)
        try reader.skip((4 - count % 4) % 4)
        return String(decoding: bytes, as: UTF8.self)
    }
}
