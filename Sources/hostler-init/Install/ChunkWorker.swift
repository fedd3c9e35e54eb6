internal import NIOCore
internal import OCI
internal import Synchronization
internal import Zstandard

/// Decompresses and checks chunks, and writes those that are right.
///
/// What a worker needs (a buffer, a zstd context) is kept from piece to piece.
final class ChunkWorker: Sendable {
    /// Written to the disk at once: 4 MiB.
    private static let bufferBytes = 64 * ChunkIndex.chunkBytes

    /// Used by one thread at a time: it is taken from the idle ones, and given back.
    private final class Tools: @unchecked Sendable {
        let buffer: AlignedBuffer
        let decompressor: ZstdDecompressor

        init() throws {
            buffer = try AlignedBuffer(count: ChunkWorker.bufferBytes)
            decompressor = try ZstdDecompressor()
        }
    }

    /// A chunk whose bytes are not those that the index names.
    struct Damage: Sendable {
        let position: Int
        /// What came instead; nil where the frame could not even be decompressed.
        let digest: BlobDigest?
    }

    private let index: ChunkIndex
    private let device: BlockDevice
    private let idle = Mutex<[Tools]>([])

    init(index: ChunkIndex, device: BlockDevice) {
        self.index = index
        self.device = device
    }

    /// Writes the piece's chunks where they belong on the disk. None is written before its digest was compared.
    ///
    /// - Returns: the chunks that are damaged, which were left out.
    func write(_ piece: FetchPlan.Piece, from blob: ByteBuffer) throws -> [Damage] {
        let tools = try takeTools()
        defer { idle.withLock { $0.append(tools) } }
        var damages: [Damage] = []
        var filled = 0
        var runStart: UInt64 = 0
        func writeRun() throws {
            if filled > 0 { try device.write(UnsafeRawBufferPointer(rebasing: tools.buffer.bytes[..<filled]), at: runStart) }
            filled = 0
        }
        try blob.withUnsafeReadableBytes { bytes in
            for position in piece.positions {
                let chunk = index.stored[position]
                let count = index.byteCount(ofChunk: Int(chunk.number))
                if filled > 0, chunk.diskOffset != runStart + UInt64(filled) || filled + count > Self.bufferBytes {
                    try writeRun()
                }
                if filled == 0 { runStart = chunk.diskOffset }
                let start = Int(chunk.blobOffset - piece.blobRange.lowerBound)
                let frame = UnsafeRawBufferPointer(rebasing: bytes[start..<start + Int(chunk.frameBytes)])
                let target = UnsafeMutableRawBufferPointer(rebasing: tools.buffer.bytes[filled..<filled + count])
                if let damage = check(frame, of: position, into: target, with: tools.decompressor) {
                    damages.append(damage)
                    try writeRun()
                } else {
                    filled += count
                }
            }
        }
        try writeRun()
        return damages
    }

    private func check(
        _ frame: UnsafeRawBufferPointer, of position: Int, into target: UnsafeMutableRawBufferPointer,
        with decompressor: ZstdDecompressor
    ) -> Damage? {
        guard let count = try? decompressor.decompress(frame, into: target), count == target.count else {
            return Damage(position: position, digest: nil)
        }
        let digest = Checksum.sha256(UnsafeRawBufferPointer(target))
        return digest == index.stored[position].digest ? nil : Damage(position: position, digest: digest)
    }

    private func takeTools() throws -> Tools {
        if let tools = idle.withLock({ $0.popLast() }) { return tools }
        return try Tools()
    }
}
