// What a table says of the disk that it was made for.
extension PartitionTable {
    /// Where the last partition ends, in bytes; at most 2^60.
    public var endBytes: UInt64 {
        switch self {
        case .gpt(let gpt): Self.bytes(gpt.partitions.values.map { $0.lastBlock + 1 }.max() ?? gpt.firstUsableBlock, gpt.blockBytes)
        case .mbr(let mbr): Self.bytes(mbr.partitions.compactMap { $0?.endBlock }.max() ?? 1, mbr.blockBytes)
        }
    }

    /// What the table keeps for itself at the disk's end, in bytes.
    public var tailBytes: UInt64 {
        switch self {
        case .gpt(let gpt): (gpt.tableBlocks + 1) * UInt64(gpt.blockBytes)
        case .mbr: 0
        }
    }

    /// Whether there is an entry left for one more partition.
    public var hasFreeEntry: Bool {
        switch self {
        case .gpt(let gpt): gpt.partitions.count < gpt.entryCount
        case .mbr(let mbr): mbr.partitions.contains(nil)
        }
    }

    /// Whether a BIOS finds some code in the first sector.
    public var hasBootCode: Bool {
        switch self {
        case .gpt(let gpt): gpt.block0.prefix(440).contains { $0 != 0 }
        case .mbr(let mbr): mbr.hasBootCode
        }
    }

    /// The EFI system partitions, in bytes; those of the lowest entries first.
    public var systemPartitions: [Range<UInt64>] {
        switch self {
        case .gpt(let gpt):
            gpt.partitions.filter { $0.value.type == GPT.KnownType.efiSystem }.sorted { $0.key < $1.key }.map {
                Self.bytes($0.value.firstBlock, gpt.blockBytes)..<Self.bytes($0.value.lastBlock + 1, gpt.blockBytes)
            }
        case .mbr(let mbr):
            mbr.partitions.compactMap { $0 }.filter { $0.type == MBR.systemType }.map {
                Self.bytes(UInt64($0.firstBlock), mbr.blockBytes)..<Self.bytes($0.endBlock, mbr.blockBytes)
            }
        }
    }

    /// Where its partitions are, in bytes; the last on the disk first.
    public var partitionRanges: [Range<UInt64>] {
        let ranges =
            switch self {
            case .gpt(let gpt):
                gpt.partitions.values.map { Self.bytes($0.firstBlock, gpt.blockBytes)..<Self.bytes($0.lastBlock + 1, gpt.blockBytes) }
            case .mbr(let mbr):
                mbr.partitions.compactMap { $0 }.map { Self.bytes(UInt64($0.firstBlock), mbr.blockBytes)..<Self.bytes($0.endBlock, mbr.blockBytes) }
            }
        return ranges.sorted { $0.upperBound > $1.upperBound }
    }

    /// Block numbers have up to 62 bits.
    private static func bytes(_ blocks: UInt64, _ blockBytes: Int) -> UInt64 {
        min(blocks, (1 << 60) / UInt64(blockBytes)) * UInt64(blockBytes)
    }
}
