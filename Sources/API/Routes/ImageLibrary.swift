internal import Images
internal import Logging
public import Model
internal import Synchronization

/// What the API needs of the image store.
public protocol ImageShelf: Sendable {
    func summaries() async throws -> [ImageSummary]
    /// Nil where there is none of that name.
    func summary(named name: String) async throws -> ImageSummary?
    /// Fetches an image and adds it; throws a `Problem` where it cannot.
    /// - Parameter sha256: of the file in hex; nil: not checked.
    func importImage(
        _ name: String, from url: String, sha256: String?, progress: @escaping @Sendable (Progress) -> Void
    ) async throws
    /// Throws a `Problem` where the image is needed.
    func removeImage(named name: String) async throws
}

/// The images, and those that are on their way: an import runs behind the
/// request that asked for it. What was under way when the server stopped is
/// asked for again; nothing of it is in the store.
final class ImageLibrary: Sendable {
    /// The most imports that wait or failed.
    static let maximumImports = 64

    struct Import: Sendable {
        var name: String
        var url: String
        var sha256: String?
        var progress: Progress?
        var problem: Problem?
    }

    private let shelf: any ImageShelf
    private let logger: Logger
    private let imports = Mutex<[String: Import]>([:])
    private let queue: AsyncStream<String>
    private let feed: AsyncStream<String>.Continuation

    init(shelf: any ImageShelf, logger: Logger) {
        self.shelf = shelf
        self.logger = logger
        (queue, feed) = AsyncStream.makeStream(of: String.self)
    }

    func list() async throws -> [ImageReply] {
        let ready = try await shelf.summaries().map(Self.reply)
        let names = Set(ready.map(\.name))
        let coming = imports.withLock { $0.values.filter { !names.contains($0.name) } }.map(Self.reply)
        return (ready + coming).sorted { $0.name < $1.name }
    }

    func get(_ name: String) async throws -> ImageReply {
        if let summary = try await shelf.summary(named: name) { return Self.reply(summary) }
        if let coming = imports.withLock({ $0[name] }) { return Self.reply(coming) }
        throw Problem.notFound("image", name)
    }

    func startImport(_ name: String, from url: String, sha256: String?) async throws -> ImageReply {
        guard try await shelf.summary(named: name) == nil else {
            throw Problem(
                "image-exists", status: 409, title: "There is an image “\(name)” already",
                remedy: "Give the new one another name, or delete the old one first.")
        }
        let new = Import(name: name, url: url, sha256: sha256)
        try imports.withLock { imports throws(Problem) in
            if let old = imports[name], old.problem == nil {
                throw Problem("image-importing", status: 409, title: "“\(name)” is being imported already")
            }
            if imports.count >= Self.maximumImports, let failed = imports.values.first(where: { $0.problem != nil }) {
                imports[failed.name] = nil
            }
            guard imports.count < Self.maximumImports else {
                throw Problem("imports-full", status: 429, title: "Too many imports wait", remedy: "Wait for some to end.")
            }
            imports[name] = new
        }
        feed.yield(name)
        return Self.reply(new)
    }

    func remove(_ name: String) async throws {
        let wasFailed = imports.withLock { imports in
            guard imports[name]?.problem != nil else { return false }
            imports[name] = nil
            return true
        }
        if try await shelf.summary(named: name) == nil {
            if wasFailed { return }
            throw Problem.notFound("image", name)
        }
        try await shelf.removeImage(named: name)
    }

    /// Runs the imports that were asked for, one after the other, until cancelled.
    func runImports() async {
        for await name in queue {
            guard let job = imports.withLock({ $0[name] }) else { continue }
            logger.info("importing an image", metadata: ["image": "\(name)", "url": "\(ImageImporter.shown(job.url))"])
            do {
                try await shelf.importImage(name, from: job.url, sha256: job.sha256) { progress in
                    self.imports.withLock { $0[name]?.progress = progress }
                }
                imports.withLock { $0[name] = nil }
            } catch {
                logger.error("an image could not be imported", metadata: ["image": "\(name)", "error": "\(error)"])
                let problem =
                    error as? Problem
                    ?? Problem("image-import", status: 502, title: "The image could not be imported", detail: "\(error)")
                imports.withLock { $0[name]?.problem = problem }
            }
        }
    }

    private static func reply(_ summary: ImageSummary) -> ImageReply {
        ImageReply(name: summary.name, state: .ready, image: summary)
    }

    private static func reply(_ coming: Import) -> ImageReply {
        ImageReply(
            name: coming.name, state: coming.problem == nil ? .importing : .failed, progress: coming.progress,
            problem: coming.problem)
    }
}
