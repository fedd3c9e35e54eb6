internal import Wire

/// Laying a GPT out on a disk that may be larger than the one it was made for.
extension GPT {
    var tableBlocks: UInt64 { UInt64((entryCount * entryBytes + blockBytes - 1) / blockBytes) }

    /// The last block that partitions may use on a disk of `diskBlocks`: behind it are the backup entries and header.
    func lastUsableBlock(diskBlocks: UInt64) throws(GPTError) -> UInt64 {
        guard diskBlocks > tableBlocks + 2 + firstUsableBlock else { throw .diskTooSmall }
        let last = diskBlocks - 2 - tableBlocks
        guard partitions.values.allSatisfy({ $0.lastBlock <= last }) else { throw .diskTooSmall }
        return last
    }

    /// Everything to write so that a disk of `diskBlocks` has this table: backup first, so that a power cut in
    /// between leaves either the old primary or a good backup.
    public func primaryAndBackup(diskBlocks: UInt64) throws(GPTError) -> [DiskWrite] {
        let lastUsable = try lastUsableBlock(diskBlocks: diskBlocks)
        let entries = encodedEntries()
        let entriesCRC = CRC32.checksum(entries.prefix(entryCount * entryBytes))
        func header(at block: UInt64, other: UInt64, entriesBlock: UInt64) -> [UInt8] {
            var writer = ByteWriter(reservingCapacity: blockBytes)
            writer.write(Self.signature)
            writer.writeLE(UInt32(0x0001_0000))
            writer.writeLE(UInt32(Self.headerBytes))
            writer.writeZeros(8)
            writer.writeLE(block)
            writer.writeLE(other)
            writer.writeLE(firstUsableBlock)
            writer.writeLE(lastUsable)
            writer.write(diskGUID.diskBytes)
            writer.writeLE(entriesBlock)
            writer.writeLE(UInt32(entryCount))
            writer.writeLE(UInt32(entryBytes))
            writer.writeLE(entriesCRC)
            let crc = CRC32.checksum(writer.bytes)
            writer.overwrite(at: 16, with: withUnsafeBytes(of: crc.littleEndian) { Array($0) })
            writer.writeZeros(blockBytes - writer.count)
            return writer.bytes
        }
        func write(block: UInt64, _ bytes: [UInt8]) -> DiskWrite {
            DiskWrite(offset: block * UInt64(blockBytes), bytes: bytes)
        }
        let backup = diskBlocks - 1
        return [
            write(block: lastUsable + 1, entries),
            write(block: backup, header(at: backup, other: 1, entriesBlock: lastUsable + 1)),
            write(block: entriesBlock, entries),
            write(block: 1, header(at: 1, other: backup, entriesBlock: entriesBlock)),
            write(block: 0, protectiveBlock0(diskBlocks: diskBlocks)),
        ]
    }

    private func encodedEntries() -> [UInt8] {
        var writer = ByteWriter(reservingCapacity: Int(tableBlocks) * blockBytes)
        for slot in 0..<entryCount {
            let end = writer.count + entryBytes
            if let partition = partitions[slot] {
                writer.write(partition.type.diskBytes)
                writer.write(partition.unique.diskBytes)
                writer.writeLE(partition.firstBlock)
                writer.writeLE(partition.lastBlock)
                writer.writeLE(partition.attributes)
                for unit in partition.name.utf16.prefix(36) { writer.writeLE(unit) }
            }
            writer.writeZeros(end - writer.count)
        }
        writer.writeZeros(Int(tableBlocks) * blockBytes - writer.count)
        return writer.bytes
    }

    /// Block 0 with its boot code kept and the protective entry (type 0xEE) stretched over the disk
    /// (UEFI 2.10 §5.2.3).
    private func protectiveBlock0(diskBlocks: UInt64) -> [UInt8] {
        var block = block0
        guard block.count >= 512 else { return block }
        let size = UInt32(clamping: diskBlocks - 1)
        for entry in stride(from: 446, to: 510, by: 16) where block[entry + 4] == 0xee {
            block.replaceSubrange(entry + 12..<entry + 16, with: withUnsafeBytes(of: size.littleEndian) { Array($0) })
            break
        }
        return block
    }
}
