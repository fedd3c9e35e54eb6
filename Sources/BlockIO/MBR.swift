internal import Wire

/// A master boot record with its four primary partitions (UEFI 2.10 §5.2.1).
/// Logical partitions are not read: their extended partition counts as occupied.
public struct MBR: Hashable, Sendable {
    public struct Partition: Hashable, Sendable {
        public var isActive: Bool
        /// The type byte, such as 0x83 for Linux.
        public var type: UInt8
        public var firstBlock: UInt32
        public var blockCount: UInt32

        var endBlock: UInt64 { UInt64(firstBlock) + UInt64(blockCount) }
    }

    /// FAT with LBA addressing.
    static let fatType: UInt8 = 0x0c
    static let protectiveType: UInt8 = 0xee
    /// An EFI system partition.
    static let systemType: UInt8 = 0xef
    private static let tableOffset = 446

    public let blockBytes: Int
    /// The four slots; nil is free.
    public private(set) var partitions: [Partition?]
    private var block0: [UInt8]

    /// Whether some boot code is there at all.
    public var hasBootCode: Bool { block0.prefix(440).contains { $0 != 0 } }

    /// The slot of its first EFI system partition.
    public var systemSlot: Int? { partitions.firstIndex { $0?.type == Self.systemType } }

    /// The disk's signature, which firmware and kernels know it by; zeros: none.
    public var signature: [UInt8] { Array(block0[440..<444]) }

    public init(parsing head: [UInt8], blockBytes: Int) throws(MBRError) {
        guard blockBytes >= 512 else { throw .invalidBlockBytes(blockBytes) }
        guard head.count >= blockBytes else { throw .truncated }
        guard head[510] == 0x55, head[511] == 0xaa else { throw .noSignature }
        block0 = Array(head[..<blockBytes])
        self.blockBytes = blockBytes
        partitions = []
        do {
            var reader = ByteReader(block0)
            try reader.seek(to: Self.tableOffset)
            for slot in 0..<4 {
                let status = try reader.readUInt8()
                try reader.skip(3)
                let type = try reader.readUInt8()
                try reader.skip(3)
                let first = try reader.readUInt32LE()
                let count = try reader.readUInt32LE()
                if type == 0 {
                    partitions.append(nil)
                    continue
                }
                // A file system's boot sector carries the same signature; what follows in it is code, not a table.
                guard status == 0 || status == 0x80, first > 0, count > 0 else { throw MBRError.invalidPartition(slot: slot) }
                partitions.append(
                    Partition(isActive: status == 0x80, type: type, firstBlock: first, blockCount: count))
            }
        } catch let error as MBRError {
            throw error
        } catch {
            throw .truncated
        }
        var end: UInt64 = 0
        let used = partitions.enumerated().compactMap { slot, partition in partition.map { (slot, $0) } }
        for (slot, partition) in used.sorted(by: { $0.1.firstBlock < $1.1.firstBlock }) {
            guard UInt64(partition.firstBlock) >= end else { throw .invalidPartition(slot: slot) }
            end = partition.endBlock
        }
    }

    /// Whether it only says that a GPT is here.
    public var isProtective: Bool { partitions.contains { $0?.type == Self.protectiveType } }

    mutating func setPartition(_ partition: Partition, slot: Int) {
        partitions[slot] = partition
        var writer = ByteWriter(reservingCapacity: 16)
        writer.write(UInt8(partition.isActive ? 0x80 : 0))
        // Cylinder, head and sector beyond what they can say: LBA counts.
        writer.write([0xfe, 0xff, 0xff])
        writer.write(partition.type)
        writer.write([0xfe, 0xff, 0xff])
        writer.writeLE(partition.firstBlock)
        writer.writeLE(partition.blockCount)
        let start = Self.tableOffset + slot * 16
        block0.replaceSubrange(start..<start + 16, with: writer.bytes)
    }

    func encoded() -> DiskWrite { DiskWrite(offset: 0, bytes: block0) }
}

/// Why block 0 is not a usable MBR.
public enum MBRError: Error, Equatable, Sendable {
    case invalidBlockBytes(Int)
    case truncated
    case noSignature
    case invalidPartition(slot: Int)
}
