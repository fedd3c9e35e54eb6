internal import BlockIO
public import Model
public import OCI
internal import Synchronization

/// Reads what an image's bytes say of the disks and firmware that it was made for. The image may be anybody's.
struct ImageFactsReader {
    private let image: ChunkReader
    private let pieces = Pieces()

    /// The chunks that were read last: a table is asked for a few bytes at a time.
    private final class Pieces {
        var chunks: [(number: Int, bytes: [UInt8])] = []
    }

    private static let keptChunks = 4

    init(_ image: ChunkReader) { self.image = image }

    func facts() throws -> ImageFacts {
        let head = try bytes(Int(min(UInt64(PartitionTable.headBytes), image.index.diskBytes)), at: 0)
        guard let table = ImageFit.sectorSizes.lazy.compactMap({ try? PartitionTable(parsing: head, blockBytes: $0) }).first else {
            return ImageFacts(scheme: .none)
        }
        guard case .mbr(let mbr) = table else { return try facts(.gpt, table, blockBytes: Self.blockBytes(table)) }
        // An MBR does not say what it counts in; a file system says it.
        if try isMadeFor4096(mbr), let other = try? PartitionTable(parsing: head, blockBytes: 4096) {
            return try facts(.mbr, other, blockBytes: 4096)
        }
        return try facts(.mbr, table, blockBytes: 512)
    }

    private static func blockBytes(_ table: PartitionTable) -> Int {
        switch table {
        case .gpt(let gpt): gpt.blockBytes
        case .mbr(let mbr): mbr.blockBytes
        }
    }

    private func facts(_ scheme: ImageFacts.Scheme, _ table: PartitionTable, blockBytes: Int) throws -> ImageFacts {
        let loaders = try table.systemPartitions.flatMap(loaders).sorted()
        var firmware: [FirmwareMode] = table.hasBootCode && blockBytes == 512 ? [.bios] : []
        if !loaders.isEmpty { firmware.append(.uefi) }
        return ImageFacts(
            scheme: scheme, sectorBytes: blockBytes, endBytes: Int64(clamping: table.endBytes), tailBytes: Int64(clamping: table.tailBytes),
            hasFreeEntry: table.hasFreeEntry, firmware: firmware, loaders: loaders)
    }

    private func isMadeFor4096(_ mbr: MBR) throws -> Bool {
        try mbr.partitions.compactMap { $0 }.contains { partition in
            let offset = UInt64(partition.firstBlock) * 4096
            return try volume(offset..<UInt64.max).map { $0.sectorBytes == 4096 } ?? false
        }
    }

    /// What UEFI would start of an EFI system partition; nothing where it is no FAT.
    private func loaders(_ range: Range<UInt64>) throws -> [String] {
        do {
            guard let files = try volume(range)?.entries(of: ["EFI", "BOOT"]) else { return [] }
            return files.filter { !$0.isFolder && $0.byteCount > 0 && $0.name.hasPrefix("BOOT") && $0.name.hasSuffix(".EFI") }.map(\.name)
        } catch is FATReadError {
            return []
        }
    }

    private func volume(_ range: Range<UInt64>) throws -> FATReader? {
        let end = min(range.upperBound, image.index.diskBytes)
        do {
            return try FATReader { count, offset in
                let (start, overflow) = range.lowerBound.addingReportingOverflow(offset)
                guard !overflow, start <= end, UInt64(count) <= end - start else { throw FATReadError.outside }
                return try bytes(count, at: start)
            }
        } catch is FATReadError {
            return nil
        }
    }

    private func bytes(_ count: Int, at offset: UInt64) throws(Problem) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(count)
        while result.count < count {
            let position = offset + UInt64(result.count)
            let chunk = try chunk(Int(position / UInt64(ChunkIndex.chunkBytes)))
            let start = Int(position % UInt64(ChunkIndex.chunkBytes))
            guard start < chunk.count else {
                throw Problem(
                    "image-truncated", status: 500, title: "The image ends before byte \(position)", remedy: "Remove the image and add it again.")
            }
            result += chunk[start..<min(chunk.count, start + count - result.count)]
        }
        return result
    }

    private func chunk(_ number: Int) throws(Problem) -> [UInt8] {
        if let known = pieces.chunks.first(where: { $0.number == number }) { return known.bytes }
        let bytes = try image.chunk(number)
        pieces.chunks.append((number, bytes))
        if pieces.chunks.count > Self.keptChunks { pieces.chunks.removeFirst() }
        return bytes
    }
}

/// The facts of images, each read once. A manifest's digest names its bytes for ever, so they never change.
final class ImageFactsCache: Sendable {
    private let known = Mutex<[OCI.Digest: ImageFacts]>([:])

    func facts(of digest: OCI.Digest, read: () throws -> ImageFacts) rethrows -> ImageFacts {
        if let facts = known.withLock({ $0[digest] }) { return facts }
        let facts = try read()
        known.withLock { $0[digest] = facts }
        return facts
    }
}

extension ImageStore {
    /// What an image's bytes say of the disks and firmware that it was made for. Read at the first question, with the chunks
    /// verified; kept from then on.
    public func facts(of digest: OCI.Digest) throws -> ImageFacts {
        try factsCache.facts(of: digest) { try ImageFactsReader(try ChunkReader(store: self, image: digest)).facts() }
    }
}
