public import Control
public import Images
public import Model

extension ControlPlane: MachineControl {}
extension BMCDesk: BMCControl, ConsoleControl {}

extension ImageStore: ImageShelf {
    /// Those that can be read; ``damageWarnings`` names the others.
    public func summaries() async throws -> [ImageSummary] { try list().compactMap { try? summary($0) } }

    public func summary(named name: String) async throws -> ImageSummary? {
        let short = try ImageName.short(of: name)
        return try list().first { (try? ImageName.short(of: $0.name)) == short }.map(summary)
    }

    public func removeImage(named name: String) async throws {
        try remove(name)
        try collectGarbage()
    }

    public func importImage(
        _ name: String, from url: String, sha256: String?, progress: @escaping @Sendable (Progress) -> Void
    ) async throws {
        var options = ImageImporter.Options()
        if let sha256 { options.expectedDigest = .init("sha256:\(sha256.lowercased())") }
        _ = try await ImageImporter(store: self).add(url, name: name, options: options) { step in
            switch step {
            case .downloaded(let bytes): progress(Progress(done: Int64(clamping: bytes), total: 0))
            case .converting: break
            case .compressed(let done, let total):
                progress(Progress(done: Int64(clamping: done), total: Int64(clamping: total ?? 0)))
            }
        }
    }

    private func summary(_ entry: Entry) throws -> ImageSummary {
        let index = try chunkIndex(for: entry.manifest)
        return ImageSummary(
            name: try ImageName.short(of: entry.name), digest: entry.digest.description, diskBytes: Int64(clamping: index.diskBytes),
            dataBytes: Int64(clamping: index.dataBytes), storedBytes: Int64(clamping: entry.manifest.disk.size),
            chunkCount: index.chunkCount, annotations: entry.manifest.annotations ?? [:],
            facts: try? facts(of: entry.digest))
    }
}
