public import Model
internal import OCI
internal import Zstandard

/// What a check of the whole store found.
public struct ImageVerification: Sendable {
    public struct Finding: Sendable {
        /// `name:tag` of the image.
        public let image: String
        /// The damaged chunk, where it is known which one.
        public let chunk: Int?
        /// Where that chunk is on the disk, in bytes.
        public let diskOffset: UInt64?
        public let problem: Problem
    }

    public internal(set) var imageCount = 0
    public internal(set) var readBytes: UInt64 = 0
    public internal(set) var findings: [Finding] = []
}

extension ImageStore {
    /// Reads and hashes every blob of every image again, and decompresses every chunk. Seconds per GB.
    public func verify() throws(Problem) -> ImageVerification {
        var result = ImageVerification()
        for (name, digest) in try names() {
            result.imageCount += 1
            do throws(Problem) {
                try verify(name: name, digest: digest, into: &result)
            } catch {
                result.findings.append(.init(image: name, chunk: nil, diskOffset: nil, problem: error))
            }
        }
        return result
    }

    private func verify(
        name: String, digest: OCI.Digest, into result: inout ImageVerification
    ) throws(Problem) {
        let manifest = try manifest(for: digest)
        let index = try chunkIndex(for: manifest)
        let file = try DiskFile(blobPath(manifest.disk.digest), .read)
        let byteCount = try file.byteCount()
        guard byteCount == manifest.disk.size else {
            throw .damaged("the disk blob of \(name)", "it has \(byteCount) bytes, not \(manifest.disk.size)")
        }
        guard let decompressor = try? ZstdDecompressor() else {
            throw Problem("out-of-memory", status: 500, title: "Could not verify \(name)")
        }
        var hasher = BlobHasher()
        var position: UInt64 = 0
        let findingsBefore = result.findings.count
        /// Hashes what lies before `end` and is no stored chunk: zero frames.
        func hashGap(upTo end: UInt64) throws(Problem) {
            while position < end {
                let piece = try file.read(Int(min(end - position, 1 << 20)), at: position)
                hasher.update(piece)
                position += UInt64(piece.count)
                guard !piece.isEmpty else { throw .damaged("the disk blob of \(name)", "it is cut off") }
            }
        }
        for chunk in index.stored {
            try hashGap(upTo: chunk.blobOffset)
            let frame = try file.read(Int(chunk.frameBytes), at: chunk.blobOffset)
            hasher.update(frame)
            position += UInt64(frame.count)
            do throws(Problem) {
                _ = try ChunkReader.verified(frame[...], chunk, index: index, decompressor)
            } catch {
                result.findings.append(
                    .init(image: name, chunk: Int(chunk.number), diskOffset: chunk.diskOffset, problem: error))
            }
        }
        try hashGap(upTo: byteCount)
        result.readBytes += byteCount
        if hasher.finish() != manifest.disk.digest, result.findings.count == findingsBefore {
            throw .damaged("the disk blob of \(name)", "its digest differs, although every chunk is whole")
        }
    }
}
