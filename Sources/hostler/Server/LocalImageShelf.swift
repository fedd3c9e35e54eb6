import API
import FoundationEssentials
import Images
import Model
import OCI

/// The image store beside the server, as the API shows it.
struct LocalImageShelf: ImageShelf {
    let store: ImageStore

    func summaries() async throws -> [ImageSummary] { try store.list().compactMap(Self.summary) }

    func summary(named name: String) async throws -> ImageSummary? {
        guard let digest = try? store.resolve(name) else { return nil }
        return try store.list().first { $0.digest == digest }.flatMap(Self.summary)
    }

    func importImage(
        _ name: String, from url: String, sha256: String?, progress: @escaping @Sendable (Progress) -> Void
    ) async throws {
        var options = ImageImporter.Options()
        if let sha256 {
            guard let digest = OCI.Digest("sha256:" + sha256) else {
                throw Problem("digest-invalid", status: 422, title: "“\(sha256)” is not a SHA-256 in hex")
            }
            options.expectedDigest = digest
        }
        _ = try await ImageImporter(store: store).add(url, name: name, options: options) { step in
            switch step {
            case .downloaded(let bytes): progress(Progress(done: Int64(bytes), total: 0))
            case .compressed(let bytes, let total): progress(Progress(done: Int64(bytes), total: Int64(total ?? 0)))
            case .converting: break
            }
        }
    }

    func removeImage(named name: String) async throws { try store.remove(name) }

    private static func summary(_ entry: ImageStore.Entry) -> ImageSummary? {
        let properties = entry.manifest.properties
        return ImageSummary(
            name: entry.name, digest: entry.digest.description, diskBytes: Int64(properties.diskBytes ?? 0),
            dataBytes: Int64(properties.dataBytes ?? 0), storedBytes: Int64(entry.manifest.disk.size),
            chunkCount: Int(((properties.diskBytes ?? 0) + UInt64(ChunkIndex.chunkBytes) - 1) / UInt64(ChunkIndex.chunkBytes)),
            annotations: entry.manifest.annotations ?? [:])
    }
}
