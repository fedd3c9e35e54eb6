internal import Wire

/// Lists the folders of a FAT volume that anybody may have made: reads what a path needs, within limits, and writes nothing
/// (FAT §3, §4, §6).
public struct FATReader {
    /// Exactly `count` bytes of the volume from `offset` on, or an error.
    public typealias Read = (_ count: Int, _ offset: UInt64) throws -> [UInt8]

    public struct Entry: Hashable, Sendable {
        /// The long name where there is one, else the 8.3 name, in upper case: `BOOTX64.EFI`.
        public let name: String
        public let isFolder: Bool
        public let byteCount: UInt32
        let firstCluster: UInt32
    }

    /// The longest folder that is read: 8,192 entries.
    private static let limitFolderBytes = 256 << 10
    private static let entryBytes = 32

    public let sectorBytes: Int
    private let kind: FATVolume.Kind
    private let clusterBytes: Int
    private let clusterCount: UInt64
    private let tableOffset: UInt64
    private let rootOffset: UInt64
    private let rootBytes: Int
    private let dataOffset: UInt64
    private let rootCluster: UInt32
    private let read: Read

    /// - Throws: ``FATReadError``, or what `read` throws.
    public init(read: @escaping Read) throws {
        self.read = read
        let boot = try read(512, 0)
        guard boot.count == 512, boot[510] == 0x55, boot[511] == 0xaa else { throw FATReadError.notFAT }
        var reader = ByteReader(boot)
        try reader.seek(to: 11)
        sectorBytes = Int(try reader.readUInt16LE())
        let perCluster = Int(try reader.readUInt8())
        let reserved = UInt64(try reader.readUInt16LE())
        let tables = UInt64(try reader.readUInt8())
        let rootEntries = Int(try reader.readUInt16LE())
        let sectors16 = UInt64(try reader.readUInt16LE())
        try reader.skip(1)
        let tableSectors16 = UInt64(try reader.readUInt16LE())
        try reader.skip(8)
        let sectors32 = UInt64(try reader.readUInt32LE())
        let tableSectors32 = UInt64(try reader.readUInt32LE())
        try reader.skip(4)
        let root = try reader.readUInt32LE()
        guard [512, 1024, 2048, 4096].contains(sectorBytes), perCluster > 0, perCluster & (perCluster - 1) == 0, reserved > 0,
            (1...4).contains(tables)
        else { throw FATReadError.notFAT }
        let sectors = sectors16 > 0 ? sectors16 : sectors32
        let tableSectors = tableSectors16 > 0 ? tableSectors16 : tableSectors32
        let rootSectors = UInt64((rootEntries * Self.entryBytes + sectorBytes - 1) / sectorBytes)
        // All of these have at most 34 bits: nothing overflows.
        let before = reserved + tables * tableSectors + rootSectors
        guard tableSectors > 0, sectors > before else { throw FATReadError.notFAT }
        clusterCount = (sectors - before) / UInt64(perCluster)
        kind = clusterCount < 4085 ? .fat12 : clusterCount < 65525 ? .fat16 : .fat32
        clusterBytes = perCluster * sectorBytes
        tableOffset = reserved * UInt64(sectorBytes)
        rootOffset = (reserved + tables * tableSectors) * UInt64(sectorBytes)
        rootBytes = min(rootEntries * Self.entryBytes, Self.limitFolderBytes)
        dataOffset = before * UInt64(sectorBytes)
        rootCluster = root
    }

    /// What is in a folder, which is named from the root on; nil: there is no such folder.
    public func entries(of folder: [String] = []) throws -> [Entry]? {
        var entries = try Self.parse(kind == .fat32 ? contents(from: rootCluster) : read(rootBytes, rootOffset))
        for name in folder {
            guard let next = entries.first(where: { $0.isFolder && $0.name == name.uppercased() }) else { return nil }
            entries = try Self.parse(contents(from: next.firstCluster))
        }
        return entries
    }

    private static func parse(_ bytes: [UInt8]) throws -> [Entry] {
        var entries: [Entry] = []
        var long = LongName()
        var reader = ByteReader(bytes)
        while reader.offset + entryBytes <= bytes.count {
            let piece = Array(bytes[reader.offset..<reader.offset + entryBytes])
            let name = Array(try reader.read(11))
            if name[0] == 0 { break }
            let attributes = try reader.readUInt8()
            try reader.skip(8)
            let high = UInt32(try reader.readUInt16LE())
            try reader.skip(4)
            let low = UInt32(try reader.readUInt16LE())
            let byteCount = try reader.readUInt32LE()
            if name[0] != 0xe5, attributes & 0x3f == 0x0f {
                long.add(piece)
                continue
            }
            defer { long = LongName() }
            // Deleted entries, and the volume's label.
            if name[0] == 0xe5 || attributes & 0x08 != 0 { continue }
            let stem = String(decoding: name[..<8], as: UTF8.self).prefix { $0 != " " }
            let suffix = String(decoding: name[8...], as: UTF8.self).prefix { $0 != " " }
            entries.append(
                Entry(
                    name: long.text(of: name) ?? (suffix.isEmpty ? String(stem) : "\(stem).\(suffix)"), isFolder: attributes & 0x10 != 0,
                    byteCount: byteCount,
                    firstCluster: high << 16 | low))
        }
        return entries
    }

    /// A name in pieces of 13 UTF-16 units, the last piece first (FAT §7).
    private struct LongName {
        private var units: [UInt16] = []
        private var checksum: UInt8 = 0
        /// Which piece is to come next; 0: none.
        private var next = 0
        private var isWhole: Bool { next == 0 && !units.isEmpty }

        mutating func add(_ piece: [UInt8]) {
            let number = Int(piece[0] & 0x3f)
            if piece[0] & 0x40 != 0 {
                self = LongName()
                (checksum, next) = (piece[13], number)
            }
            guard number > 0, number == next, piece[13] == checksum else {
                self = LongName()
                return
            }
            next -= 1
            let places = Array(stride(from: 1, to: 11, by: 2)) + Array(stride(from: 14, to: 26, by: 2)) + [28, 30]
            units = places.map { UInt16(piece[$0]) | UInt16(piece[$0 + 1]) << 8 } + units
        }

        /// Nil where it is not the long name of the entry with this short one.
        func text(of short: [UInt8]) -> String? {
            guard isWhole, checksum == FATDirectory.checksum(short) else { return nil }
            return String(decoding: units.prefix { $0 != 0 && $0 != 0xffff }, as: UTF16.self).uppercased()
        }
    }

    /// A folder's clusters, in the order of their chain, as many as the limit allows.
    private func contents(from first: UInt32) throws -> [UInt8] {
        var bytes: [UInt8] = []
        var cluster = first
        while isData(cluster), bytes.count < Self.limitFolderBytes {
            bytes += try read(clusterBytes, dataOffset + UInt64(cluster - 2) * UInt64(clusterBytes))
            cluster = try next(after: cluster)
        }
        return bytes
    }

    private func isData(_ cluster: UInt32) -> Bool { cluster >= 2 && UInt64(cluster) < clusterCount + 2 }

    private func next(after cluster: UInt32) throws -> UInt32 {
        func entry(_ width: Int, at offset: UInt64) throws -> UInt32 {
            try read(width, tableOffset + offset).reversed().reduce(0) { $0 << 8 | UInt32($1) }
        }
        switch kind {
        case .fat12:
            let pair = try entry(2, at: UInt64(cluster) * 3 / 2)
            return cluster & 1 == 0 ? pair & 0xfff : pair >> 4
        case .fat16: return try entry(2, at: UInt64(cluster) * 2)
        case .fat32: return try entry(4, at: UInt64(cluster) * 4) & 0x0fff_ffff
        }
    }
}

/// Why a volume cannot be read as FAT.
public enum FATReadError: Error, Equatable, Sendable {
    case notFAT
    /// It names a place that is not on the volume.
    case outside
}
