internal import Wire

/// A GUID partition table as it is on a disk (UEFI 2.10 §5.3).
///
/// Only the primary header and the entries are needed to know it; ``primaryAndBackup(diskBlocks:)`` lays both copies
/// out again.
public struct GPT: Hashable, Sendable {
    /// One used entry of the table.
    public struct Partition: Hashable, Sendable {
        public var type: GUID
        public var unique: GUID
        /// First and last block, both included.
        public var firstBlock: UInt64
        public var lastBlock: UInt64
        public var attributes: UInt64
        /// At most 36 UTF-16 units.
        public var name: String

        public init(
            type: GUID, unique: GUID, firstBlock: UInt64, lastBlock: UInt64, attributes: UInt64 = 0, name: String
        ) {
            self.type = type
            self.unique = unique
            self.firstBlock = firstBlock
            self.lastBlock = lastBlock
            self.attributes = attributes
            self.name = name
        }
    }

    public enum KnownType {
        public static let efiSystem = GUID("C12A7328-F81F-11D2-BA4B-00A0C93EC93B")
        public static let biosBoot = GUID("21686148-6449-6E6F-744E-656564454649")
        public static let basicData = GUID("EBD0A0A2-B9E5-4433-87C0-68B6B72699C7")
    }

    static let signature = Array("EFI PART".utf8)
    static let headerBytes = 92
    /// More entries than any tool makes, so that a hostile header cannot make us allocate.
    static let limitEntryCount: UInt32 = 1024

    /// Logical block size of the disk in bytes.
    public let blockBytes: Int
    public let diskGUID: GUID
    /// Where this header says that it and its other copy are.
    public let headerBlock: UInt64
    public let alternateBlock: UInt64
    public let entriesBlock: UInt64
    public let firstUsableBlock: UInt64
    public let lastUsableBlock: UInt64
    /// How many slots the table has, used or not.
    public let entryCount: Int
    let entryBytes: Int
    /// The used entries with their slot numbers, counted from 0.
    public private(set) var partitions: [Int: Partition]
    /// Block 0 with its boot code and protective entry.
    let block0: [UInt8]

    /// Reads the primary table from the first bytes of a disk (1 MiB is enough for any).
    public init(parsing head: [UInt8], blockBytes: Int) throws(GPTError) {
        try self.init(bytes: head, firstBlock: 0, headerBlock: 1, blockBytes: blockBytes)
    }

    /// Reads the backup table from the last bytes of a disk, whose first byte is at `tailOffset`.
    public init(
        parsingBackup tail: [UInt8], tailOffset: UInt64, diskBytes: UInt64, blockBytes: Int
    ) throws(GPTError) {
        guard blockBytes > 0, diskBytes / UInt64(blockBytes) > 1 else { throw .invalidBlockBytes(blockBytes) }
        try self.init(
            bytes: tail, firstBlock: tailOffset / UInt64(blockBytes),
            headerBlock: diskBytes / UInt64(blockBytes) - 1, blockBytes: blockBytes)
    }

    private init(bytes: [UInt8], firstBlock: UInt64, headerBlock: UInt64, blockBytes: Int) throws(GPTError) {
        guard [512, 1024, 2048, 4096].contains(blockBytes) else { throw .invalidBlockBytes(blockBytes) }
        do {
            try self.init(reading: bytes, firstBlock: firstBlock, headerBlock: headerBlock, blockBytes: blockBytes)
        } catch let error as GPTError {
            throw error
        } catch {
            throw .truncated
        }
    }

    private init(reading bytes: [UInt8], firstBlock: UInt64, headerBlock: UInt64, blockBytes: Int) throws {
        /// Bytes of a run of blocks, where the caller gave them.
        func read(block: UInt64, count: Int) throws -> ArraySlice<UInt8> {
            guard block >= firstBlock, block - firstBlock <= UInt64(bytes.count / blockBytes) else {
                throw GPTError.truncated
            }
            var reader = ByteReader(bytes)
            try reader.seek(to: Int(block - firstBlock) * blockBytes)
            return try reader.read(count)
        }
        let headerBytes = try read(block: headerBlock, count: blockBytes)
        var header = ByteReader(headerBytes)
        guard try header.read(8).elementsEqual(Self.signature) else { throw GPTError.noHeader }
        guard try header.readUInt32LE() == 0x0001_0000 else { throw GPTError.unsupportedRevision }
        let length = Int(try header.readUInt32LE())
        guard length >= Self.headerBytes, length <= blockBytes else { throw GPTError.invalidHeader }
        let headerCRC = try header.readUInt32LE()
        var zeroed = Array(headerBytes.prefix(length))
        zeroed.replaceSubrange(16..<20, with: [0, 0, 0, 0])
        guard CRC32.checksum(zeroed) == headerCRC else { throw GPTError.headerChecksum }
        try header.skip(4)
        self.headerBlock = try header.readUInt64LE()
        guard self.headerBlock == headerBlock else { throw GPTError.invalidHeader }
        alternateBlock = try header.readUInt64LE()
        firstUsableBlock = try header.readUInt64LE()
        lastUsableBlock = try header.readUInt64LE()
        guard let diskGUID = GUID(diskBytes: try header.read(16)) else { throw GPTError.invalidHeader }
        self.diskGUID = diskGUID
        entriesBlock = try header.readUInt64LE()
        let entryCount = try header.readUInt32LE()
        let entryBytes = try header.readUInt32LE()
        guard (1...Self.limitEntryCount).contains(entryCount), [128, 256, 512].contains(entryBytes) else {
            throw GPTError.invalidHeader
        }
        self.entryCount = Int(entryCount)
        self.entryBytes = Int(entryBytes)
        let entriesCRC = try header.readUInt32LE()
        let entries = try read(block: entriesBlock, count: self.entryCount * self.entryBytes)
        guard CRC32.checksum(entries) == entriesCRC else { throw GPTError.entriesChecksum }
        self.blockBytes = blockBytes
        block0 = firstBlock == 0 ? Array(try read(block: 0, count: blockBytes)) : []
        let tableBlocks = UInt64((self.entryCount * self.entryBytes + blockBytes - 1) / blockBytes)
        // Below 2^62, so that no sum of two block numbers overflows.
        guard firstUsableBlock <= lastUsableBlock, lastUsableBlock < 1 << 62,
            headerBlock != 1 || (entriesBlock >= 2 && entriesBlock + tableBlocks <= firstUsableBlock)
        else { throw GPTError.invalidHeader }
        partitions = try Self.readEntries(entries, entryBytes: self.entryBytes)
        try checkRanges()
    }

    private static func readEntries(_ bytes: ArraySlice<UInt8>, entryBytes: Int) throws -> [Int: Partition] {
        var partitions: [Int: Partition] = [:]
        var reader = ByteReader(bytes)
        for slot in 0..<bytes.count / entryBytes {
            try reader.seek(to: slot * entryBytes)
            let type = try reader.read(16)
            guard type.contains(where: { $0 != 0 }) else { continue }
            guard let type = GUID(diskBytes: type), let unique = GUID(diskBytes: try reader.read(16)) else { continue }
            let first = try reader.readUInt64LE()
            let last = try reader.readUInt64LE()
            let attributes = try reader.readUInt64LE()
            var units: [UInt16] = []
            for _ in 0..<36 { units.append(try reader.readUInt16LE()) }
            let name = String(decoding: units.prefix { $0 != 0 }, as: UTF16.self)
            partitions[slot] = Partition(
                type: type, unique: unique, firstBlock: first, lastBlock: last, attributes: attributes, name: name)
        }
        return partitions
    }

    private func checkRanges() throws(GPTError) {
        var nextFree = firstUsableBlock
        for (slot, partition) in partitions.sorted(by: { $0.value.firstBlock < $1.value.firstBlock }) {
            guard partition.firstBlock >= nextFree, partition.lastBlock >= partition.firstBlock,
                partition.lastBlock <= lastUsableBlock
            else { throw .invalidPartition(slot: slot) }
            nextFree = partition.lastBlock + 1
        }
    }

    mutating func setPartition(_ partition: Partition?, slot: Int) { partitions[slot] = partition }
}

/// Why a disk's GPT cannot be used.
public enum GPTError: Error, Equatable, Sendable {
    case invalidBlockBytes(Int)
    case truncated
    case noHeader
    case unsupportedRevision
    case invalidHeader
    case headerChecksum
    case entriesChecksum
    /// The entry is out of the usable blocks, ends before it begins, or overlaps another.
    case invalidPartition(slot: Int)
    /// The disk is too small for the partitions that its table has.
    case diskTooSmall
}
