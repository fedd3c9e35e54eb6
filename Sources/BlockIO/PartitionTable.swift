/// The partition table of a disk, of either kind.
public enum PartitionTable: Hashable, Sendable {
    case gpt(GPT)
    case mbr(MBR)

    /// How much of a disk's start the functions here need: 1 MiB.
    public static let headBytes = 1 << 20

    /// Reads the table from the first ``headBytes`` of a disk or image whose logical block size is known.
    public init(parsing head: [UInt8], blockBytes: Int) throws(PartitionTableError) {
        do throws(GPTError) {
            self = .gpt(try GPT(parsing: head, blockBytes: blockBytes))
            return
        } catch .noHeader, .truncated {
            // No GPT here: perhaps an MBR.
        } catch {
            throw .gpt(error)
        }
        for other in [512, 4096] where other != blockBytes {
            if (try? GPT(parsing: head, blockBytes: other)) != nil {
                throw .otherBlockBytes(table: other, disk: blockBytes)
            }
        }
        let mbr: MBR
        do throws(MBRError) {
            mbr = try MBR(parsing: head, blockBytes: blockBytes)
        } catch {
            throw .none
        }
        guard mbr.partitions.contains(where: { $0 != nil }) else { throw .none }
        guard !mbr.isProtective else { throw .gpt(.noHeader) }
        self = .mbr(mbr)
    }

    /// Where the seed goes, and what must be written to the disk so that its table says so.
    public struct SeedPlan: Hashable, Sendable {
        /// In the order in which they are to be written.
        public let writes: [DiskWrite]
        /// Where the partition begins, in bytes.
        public let partitionOffset: UInt64
        /// How long it is: the seed and its marker, rounded up to 1 MiB.
        public let partitionBytes: UInt64
        /// Where the ``InstallMarker`` goes: the partition's last 4 KiB.
        public var markerOffset: UInt64 {
            partitionOffset + partitionBytes - UInt64(InstallMarker.byteCount)
        }
    }

    private static let alignmentBytes: UInt64 = 1 << 20

    /// Plans a FAT partition for the seed at the end of a disk that has just been given an image.
    ///
    /// A partition with the same unique GUID (GPT), or of the same place and size (MBR), is taken for an earlier try
    /// and replaced, so planning twice gives the same disk.
    /// - Parameters:
    ///   - diskBytes: size of the disk, not of the image.
    ///   - head: the first ``headBytes`` of the disk as they are now.
    ///   - seedBytes: length of the seed volume without the marker.
    ///   - unique: the GUID for the new partition; random, or derived from the operation.
    public static func planSeedPartition(
        diskBytes: UInt64, head: [UInt8], seedBytes: UInt64, unique: GUID, blockBytes: Int = 512,
        name: String = "cidata"
    ) throws(PartitionTableError) -> SeedPlan {
        let table = try PartitionTable(parsing: head, blockBytes: blockBytes)
        guard seedBytes <= 1 << 30 else { throw .noRoom(wantedBytes: seedBytes, diskBytes: diskBytes) }
        let partitionBytes =
            (seedBytes + UInt64(InstallMarker.byteCount) + alignmentBytes - 1) / alignmentBytes * alignmentBytes
        switch table {
        case .gpt(var gpt):
            return try plan(&gpt, diskBytes: diskBytes, partitionBytes: partitionBytes, unique: unique, name: name)
        case .mbr(var mbr):
            return try plan(&mbr, diskBytes: diskBytes, partitionBytes: partitionBytes)
        }
    }

    private static func plan(
        _ gpt: inout GPT, diskBytes: UInt64, partitionBytes: UInt64, unique: GUID, name: String
    ) throws(PartitionTableError) -> SeedPlan {
        guard let type = GPT.KnownType.basicData else { preconditionFailure("a constant GUID is readable") }
        let blockBytes = UInt64(gpt.blockBytes)
        let diskBlocks = diskBytes / blockBytes
        for (slot, partition) in gpt.partitions where partition.unique == unique {
            gpt.setPartition(nil, slot: slot)
        }
        guard let slot = (0..<gpt.entryCount).first(where: { gpt.partitions[$0] == nil }) else { throw .noFreeSlot }
        do throws(GPTError) {
            let lastUsable = try gpt.lastUsableBlock(diskBlocks: diskBlocks)
            let firstFree = (gpt.partitions.values.map { $0.lastBlock + 1 }.max() ?? gpt.firstUsableBlock) * blockBytes
            guard let offset = place(partitionBytes, between: firstFree, and: (lastUsable + 1) * blockBytes) else {
                throw GPTError.diskTooSmall
            }
            gpt.setPartition(
                GPT.Partition(
                    type: type, unique: unique, firstBlock: offset / blockBytes,
                    lastBlock: (offset + partitionBytes) / blockBytes - 1, name: name),
                slot: slot)
            return SeedPlan(
                writes: try gpt.primaryAndBackup(diskBlocks: diskBlocks), partitionOffset: offset,
                partitionBytes: partitionBytes)
        } catch .diskTooSmall {
            throw .noRoom(wantedBytes: partitionBytes, diskBytes: diskBytes)
        } catch {
            throw .gpt(error)
        }
    }

    private static func plan(
        _ mbr: inout MBR, diskBytes: UInt64, partitionBytes: UInt64
    ) throws(PartitionTableError) -> SeedPlan {
        let blockBytes = UInt64(mbr.blockBytes)
        // An MBR's block numbers have 32 bits; what lies behind them it cannot address.
        let endBlock = min(diskBytes / blockBytes, UInt64(UInt32.max))
        func partition(at offset: UInt64) -> MBR.Partition {
            MBR.Partition(
                isActive: false, type: MBR.fatType, firstBlock: UInt32(offset / blockBytes),
                blockCount: UInt32(partitionBytes / blockBytes))
        }
        if let lowest = place(partitionBytes, between: 0, and: endBlock * blockBytes),
            mbr.partitions.contains(partition(at: lowest))
        {
            return SeedPlan(writes: [mbr.encoded()], partitionOffset: lowest, partitionBytes: partitionBytes)
        }
        guard let slot = mbr.partitions.firstIndex(of: nil) else { throw .noFreeSlot }
        let firstFree = (mbr.partitions.compactMap { $0?.endBlock }.max() ?? 1) * blockBytes
        guard let offset = place(partitionBytes, between: firstFree, and: endBlock * blockBytes) else {
            throw .noRoom(wantedBytes: partitionBytes, diskBytes: diskBytes)
        }
        mbr.setPartition(partition(at: offset), slot: slot)
        return SeedPlan(writes: [mbr.encoded()], partitionOffset: offset, partitionBytes: partitionBytes)
    }

    /// The last aligned place for `count` bytes between two offsets, nil where there is none.
    private static func place(_ count: UInt64, between first: UInt64, and end: UInt64) -> UInt64? {
        guard end >= count else { return nil }
        let offset = (end - count) / alignmentBytes * alignmentBytes
        return offset >= max(first, alignmentBytes) ? offset : nil
    }
}

/// Why a disk cannot be given a partition for the seed.
public enum PartitionTableError: Error, Equatable, Sendable {
    /// Neither a GPT nor an MBR with partitions.
    case none
    case gpt(GPTError)
    /// The image was made for disks of another logical block size.
    case otherBlockBytes(table: Int, disk: Int)
    case noFreeSlot
    case noRoom(wantedBytes: UInt64, diskBytes: UInt64)
}
