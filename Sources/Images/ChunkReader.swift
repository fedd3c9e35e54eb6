public import Model
public import OCI
internal import Zstandard

/// Reads an image's chunks from the store, each verified. For one thread at a time.
public final class ChunkReader {
    public let index: ChunkIndex
    private let file: DiskFile
    private let decompressor: ZstdDecompressor

    public init(store: ImageStore, image: OCI.Digest) throws(Problem) {
        let manifest = try store.manifest(for: image)
        index = try store.chunkIndex(for: manifest)
        file = try DiskFile(store.blobPath(manifest.disk.digest), .read)
        do throws(ZstdError) {
            decompressor = try ZstdDecompressor()
        } catch {
            throw Problem("out-of-memory", status: 500, title: "Could not read the image", detail: "\(error)")
        }
    }

    /// The bytes of chunk `number` as they are on the disk; empty beyond the disk.
    public func chunk(_ number: Int) throws(Problem) -> [UInt8] {
        switch index.location(ofChunk: number) {
        case nil: return []
        case .zeros: return Array(repeating: 0, count: index.byteCount(ofChunk: number))
        case .stored(let stored): return try read(stored)
        }
    }

    func read(_ stored: ChunkIndex.StoredChunk) throws(Problem) -> [UInt8] {
        let frame = try file.read(Int(stored.frameBytes), at: stored.blobOffset)
        return try Self.verified(frame[...], stored, index: index, decompressor)
    }

    static func verified(
        _ frame: ArraySlice<UInt8>, _ stored: ChunkIndex.StoredChunk, index: ChunkIndex,
        _ decompressor: ZstdDecompressor
    ) throws(Problem) -> [UInt8] {
        let expected = index.byteCount(ofChunk: Int(stored.number))
        let bytes: [UInt8]
        do throws(ZstdError) {
            bytes = try decompressor.decompress(frame, limit: expected)
        } catch {
            throw .damagedChunk(stored, "\(error)")
        }
        guard bytes.count == expected else { throw .damagedChunk(stored, "it has \(bytes.count) bytes") }
        guard BlobHasher.digest(bytes) == stored.digest else { throw .damagedChunk(stored, "its SHA-256 differs") }
        return bytes
    }
}

extension Problem {
    static func damagedChunk(_ chunk: ChunkIndex.StoredChunk, _ detail: String) -> Problem {
        Problem(
            "image-chunk-damaged", status: 500,
            title: "Chunk \(chunk.number) of the image (disk byte \(chunk.diskOffset)) is damaged",
            detail: "\(detail); its frame is at byte \(chunk.blobOffset) of the blob, \(chunk.frameBytes) bytes long",
            remedy: "Remove the image and add it again.")
    }
}
