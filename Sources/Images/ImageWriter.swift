internal import Glibc
internal import Model
internal import OCI
internal import Zstandard

/// Turns a raw disk into the blob and the index of docs/image-format.md, compressing on all cores.
struct ImageWriter {
    struct Output {
        let draft: ImageStore.Draft
        let blobDigest: OCI.Digest
        let index: ChunkIndex
        /// The first MiB of the disk, or all of a smaller one.
        let head: [UInt8]
    }

    /// One piece compressed: its chunks in order.
    private struct Compressed: Sendable {
        struct Chunk {
            /// 0 where the chunk is all zeros.
            let frameBytes: Int
            let contentBytes: Int
            let digest: OCI.Digest?
        }
        var frames: [UInt8] = []
        var chunks: [Chunk] = []
    }

    private let draft: ImageStore.Draft
    private var hasher = BlobHasher()
    private var stored: [ChunkIndex.StoredChunk] = []
    private var zeroRuns: [ChunkIndex.ZeroRun] = []
    private var diskBytes: UInt64 = 0
    private var blobBytes: UInt64 = 0
    /// Zeros that are not in the blob yet.
    private var pendingZeros: UInt64 = 0

    private init(draft: ImageStore.Draft) { self.draft = draft }

    /// - Parameter progress: called with the bytes of the disk that are done.
    static func write(
        _ source: any DiskSource, level: Int, workers: Int, limitBytes: UInt64, draft: ImageStore.Draft,
        progress: (UInt64) -> Void
    ) async throws -> Output {
        var source = source
        var writer = ImageWriter(draft: draft)
        var head: [UInt8] = []
        var isAtEnd = false
        /// What was read and is not written yet, in disk order; nil for a piece still being compressed.
        var queue: [(number: Int, piece: Compressed?, zeros: UInt64)] = []
        try await withThrowingTaskGroup(of: (Int, Compressed).self) { group in
            var running = 0
            var number = 0
            while true {
                while !isAtEnd, running < workers + 1, queue.count < 4 * workers {
                    try Task.checkCancellation()
                    switch try source.next() {
                    case nil: isAtEnd = true
                    case .zeros(let count)?:
                        if head.count < 1 << 20 {
                            head += Array(repeating: 0, count: Int(min(count, UInt64(1 << 20 - head.count))))
                        }
                        queue.append((number, Compressed(), count))
                    case .data(let bytes)?:
                        if head.count < 1 << 20 { head += bytes.prefix(1 << 20 - head.count) }
                        queue.append((number, nil, 0))
                        let pieceNumber = number
                        group.addTask { (pieceNumber, try compress(bytes, level: level)) }
                        running += 1
                    }
                    number += 1
                }
                while let first = queue.first, let piece = first.piece {
                    try writer.append(piece, zeros: first.zeros)
                    queue.removeFirst()
                    guard writer.diskBytes <= limitBytes else { throw Problem.tooLarge(limitBytes: limitBytes) }
                    progress(writer.diskBytes)
                }
                if running == 0 {
                    if isAtEnd { break }
                    continue
                }
                guard let (done, piece) = try await group.next() else { break }
                running -= 1
                if let position = queue.firstIndex(where: { $0.number == done }) { queue[position].piece = piece }
            }
        }
        return try writer.finish(head: head)
    }

    private static func compress(_ bytes: [UInt8], level: Int) throws -> Compressed {
        let compressor = try ZstdCompressor(level: level)
        var result = Compressed()
        var frame = [UInt8](repeating: 0, count: ZstdCompressor.limitFrameBytes(for: ChunkIndex.chunkBytes))
        result.frames.reserveCapacity(bytes.count / 2)
        for start in stride(from: 0, to: bytes.count, by: ChunkIndex.chunkBytes) {
            let count = min(ChunkIndex.chunkBytes, bytes.count - start)
            try bytes.withUnsafeBytes { buffer in
                let chunk = UnsafeRawBufferPointer(rebasing: buffer[start..<start + count])
                if isZero(chunk) {
                    result.chunks.append(.init(frameBytes: 0, contentBytes: count, digest: nil))
                    return
                }
                let length = try frame.withUnsafeMutableBytes { try compressor.compress(chunk, into: $0) }
                result.frames.append(contentsOf: frame[..<length])
                result.chunks.append(
                    .init(frameBytes: length, contentBytes: count, digest: BlobHasher.digest(chunk)))
            }
        }
        return result
    }

    /// memcmp of the bytes with themselves, one further: as fast as memory.
    private static func isZero(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let start = bytes.baseAddress, bytes[0] == 0 else { return bytes.isEmpty }
        return memcmp(start, start + 1, bytes.count - 1) == 0
    }

    private mutating func append(_ piece: Compressed, zeros: UInt64) throws(Problem) {
        pendingZeros += zeros
        diskBytes += zeros
        var position = 0
        var flushed = 0
        for chunk in piece.chunks {
            if let digest = chunk.digest {
                if pendingZeros > 0 {
                    try write(Array(piece.frames[flushed..<position]))
                    flushed = position
                    try writeZeros()
                }
                stored.append(
                    ChunkIndex.StoredChunk(
                        number: UInt32(truncatingIfNeeded: diskBytes / UInt64(ChunkIndex.chunkBytes)),
                        frameBytes: UInt32(chunk.frameBytes), blobOffset: blobBytes + UInt64(position - flushed),
                        digest: digest))
                position += chunk.frameBytes
            } else {
                pendingZeros += UInt64(chunk.contentBytes)
            }
            diskBytes += UInt64(chunk.contentBytes)
        }
        try write(flushed == 0 ? piece.frames : Array(piece.frames[flushed...]))
    }

    private mutating func write(_ bytes: [UInt8]) throws(Problem) {
        guard !bytes.isEmpty else { return }
        try draft.file.write(bytes, at: blobBytes)
        hasher.update(bytes)
        blobBytes += UInt64(bytes.count)
    }

    private mutating func writeZeros() throws(Problem) {
        guard pendingZeros > 0 else { return }
        let chunkBytes = UInt64(ChunkIndex.chunkBytes)
        let frame = ZeroFrame.encoded(byteCount: pendingZeros)
        // The zeros end where the disk ends so far: they are written before the data behind them is counted.
        zeroRuns.append(
            ChunkIndex.ZeroRun(
                firstChunk: UInt32(truncatingIfNeeded: (diskBytes - pendingZeros) / chunkBytes),
                chunkCount: UInt32(truncatingIfNeeded: (pendingZeros + chunkBytes - 1) / chunkBytes),
                blobOffset: blobBytes, frameBytes: UInt64(frame.count)))
        pendingZeros = 0
        try write(frame)
    }

    private mutating func finish(head: [UInt8]) throws -> Output {
        try writeZeros()
        guard diskBytes > 0 else {
            throw Problem("image-truncated", title: "The image is empty", remedy: "Fetch it again.")
        }
        let index = try ChunkIndex(
            diskBytes: diskBytes, blobBytes: blobBytes, stored: stored, zeroRuns: zeroRuns)
        return Output(draft: draft, blobDigest: hasher.finish(), index: index, head: head)
    }
}
