internal import Wire

/// Fills the sectors of a volume: boot sectors, allocation tables, clusters.
struct FATWriter {
    private let geometry: FATGeometry
    private var bytes: [UInt8]
    /// The table's entries from cluster 2 on, as far as clusters are used.
    private var chain: [UInt32] = []

    private static let endOfChain: UInt32 = 0x0fff_ffff

    init(geometry: FATGeometry) {
        self.geometry = geometry
        bytes = Array(repeating: 0, count: geometry.sectorCount * geometry.sectorBytes)
        // FAT32's root directory is a chain like any other; it gets the first cluster.
        if geometry.kind == .fat32 { chain = [Self.endOfChain] }
    }

    /// Stores contents in the next clusters, one after another; an empty file has none.
    mutating func append(_ contents: [UInt8]) throws(FATError) -> UInt32 {
        let count = (contents.count + geometry.clusterBytes - 1) / geometry.clusterBytes
        guard count > 0 else { return 0 }
        guard chain.count + count <= geometry.clusterCount else { throw .full }
        let first = UInt32(chain.count + 2)
        let offset = geometry.dataOffset + chain.count * geometry.clusterBytes
        bytes.replaceSubrange(offset..<offset + contents.count, with: contents)
        for index in 1...count { chain.append(index == count ? Self.endOfChain : first + UInt32(index)) }
        return first
    }

    /// Replaces what ``append(_:)`` stored in clusters that begin with `first`, by as many bytes or fewer.
    mutating func replace(_ first: UInt32, by contents: [UInt8]) {
        let offset = geometry.dataOffset + (Int(first) - 2) * geometry.clusterBytes
        bytes.replaceSubrange(offset..<offset + contents.count, with: contents)
    }

    mutating func setRoot(_ directory: [UInt8]) throws(FATError) {
        let room = geometry.kind == .fat32 ? geometry.clusterBytes : geometry.rootSectors * geometry.sectorBytes
        guard directory.count <= room else { throw .full }
        let offset = geometry.kind == .fat32 ? geometry.dataOffset : geometry.rootOffset
        bytes.replaceSubrange(offset..<offset + directory.count, with: directory)
    }

    mutating func setBootSectors(label: [UInt8], serial: UInt32) {
        let boot = bootSector(label: label, serial: serial)
        bytes.replaceSubrange(0..<boot.count, with: boot)
        guard geometry.kind == .fat32 else { return }
        let info = informationSector()
        let backup = 6 * geometry.sectorBytes
        bytes.replaceSubrange(geometry.sectorBytes..<geometry.sectorBytes + info.count, with: info)
        bytes.replaceSubrange(backup..<backup + boot.count, with: boot)
        bytes.replaceSubrange(backup + geometry.sectorBytes..<backup + geometry.sectorBytes + info.count, with: info)
    }

    /// The volume with its allocation tables filled in.
    func finished() -> [UInt8] {
        let table = encodedTable()
        var bytes = bytes
        for copy in 0..<FATGeometry.tableCount {
            let offset = geometry.tableOffset + copy * geometry.tableSectors * geometry.sectorBytes
            bytes.replaceSubrange(offset..<offset + table.count, with: table)
        }
        return bytes
    }

    /// The first two entries are the media byte and an end mark (FAT §4.2).
    private func encodedTable() -> [UInt8] {
        let entries = [0x0fff_fff8, Self.endOfChain] + chain
        var writer = ByteWriter(reservingCapacity: entries.count * 4)
        switch geometry.kind {
        case .fat32:
            for entry in entries { writer.writeLE(entry) }
        case .fat16:
            for entry in entries { writer.writeLE(UInt16(truncatingIfNeeded: entry)) }
        case .fat12:
            for pair in stride(from: 0, to: entries.count, by: 2) {
                let second = pair + 1 < entries.count ? entries[pair + 1] & 0xfff : 0
                let both = entries[pair] & 0xfff | second << 12
                for shift: UInt32 in [0, 8, 16] { writer.write(UInt8(truncatingIfNeeded: both >> shift)) }
            }
        }
        return writer.bytes
    }

    /// FAT §3.1 to §3.3.
    private func bootSector(label: [UInt8], serial: UInt32) -> [UInt8] {
        let isFAT32 = geometry.kind == .fat32
        let sectorCount16 = isFAT32 || geometry.sectorCount > 0xffff ? 0 : geometry.sectorCount
        var writer = ByteWriter(reservingCapacity: 512)
        writer.write([0xeb, isFAT32 ? 0x58 : 0x3c, 0x90])
        writer.write("HOSTLER ".utf8)
        writer.writeLE(UInt16(geometry.sectorBytes))
        writer.write(UInt8(geometry.sectorsPerCluster))
        writer.writeLE(UInt16(geometry.reservedSectors))
        writer.write(UInt8(FATGeometry.tableCount))
        writer.writeLE(UInt16(geometry.rootEntryCount))
        writer.writeLE(UInt16(sectorCount16))
        writer.write(UInt8(0xf8))
        writer.writeLE(UInt16(isFAT32 ? 0 : geometry.tableSectors))
        writer.writeLE(UInt16(63))
        writer.writeLE(UInt16(255))
        writer.writeLE(UInt32(0))
        writer.writeLE(UInt32(sectorCount16 == 0 ? geometry.sectorCount : 0))
        if isFAT32 {
            writer.writeLE(UInt32(geometry.tableSectors))
            writer.writeLE(UInt16(0))
            writer.writeLE(UInt16(0))
            writer.writeLE(UInt32(2))
            writer.writeLE(UInt16(1))
            writer.writeLE(UInt16(6))
            writer.writeZeros(12)
        }
        writer.write([0x80, 0, 0x29])
        writer.writeLE(serial)
        writer.write(label)
        writer.write("FAT\(geometry.kind.rawValue)   ".utf8)
        // Started by mistake, it hands back to the firmware: int 0x18.
        writer.write([0xcd, 0x18])
        writer.writeZeros(510 - writer.count)
        writer.write([0x55, 0xaa])
        return writer.bytes
    }

    /// FAT32's count of free clusters and where to look for the next (FAT §5).
    private func informationSector() -> [UInt8] {
        var writer = ByteWriter(reservingCapacity: 512)
        writer.writeLE(UInt32(0x4161_5252))
        writer.writeZeros(480)
        writer.writeLE(UInt32(0x6141_7272))
        writer.writeLE(UInt32(geometry.clusterCount - chain.count))
        writer.writeLE(UInt32(chain.count + 1))
        writer.writeZeros(12)
        writer.write([0, 0, 0x55, 0xaa])
        return writer.bytes
    }
}
