internal import Control
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

    func get(_ given: String) async throws -> ImageReply {
        let name = try ImageName.short(of: given)
        if let summary = try await shelf.summary(named: name) { return Self.reply(summary) }
        if let coming = imports.withLock({ $0[name] }) { return Self.reply(coming) }
        throw Problem.notFound("image", name)
    }

    func startImport(_ given: String, from url: String, sha256: String?) async throws -> ImageReply {
        let name = try ImageName.short(of: given)
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

    /// What removing it costs; throws where an operation needs it.
    func removal(of given: String, _ control: any MachineControl) async throws -> Consequence {
        let name = try ImageName.short(of: given)
        guard let image = try await shelf.summary(named: name) else {
            guard imports.withLock({ $0[name]?.problem != nil }) else { throw Problem.notFound("image", name) }
            return .naming(.removeImage, target: name, name: name, losses: [])
        }
        let others = try await shelf.summaries().filter { $0.digest == image.digest && $0.name != name }.map(\.name)
        if others.isEmpty {
            let operations = try await control.records.all(Model.Operation.self).map(\.value)
            let user = ImageUse.operation(in: operations, needing: image.digest, names: Self.names(name))
            if let user { throw ImageUse.refusal(by: user) }
        }
        var what = "the image “\(name)”, \(image.storedBytes / 1_000_000) MB, \(image.digest)"
        if let other = others.first { what = "the name “\(name)”; the image stays as “\(other)”" }
        return .naming(.removeImage, target: name, name: name, losses: [.init(.image, id: image.digest, what)])
    }

    private static func names(_ short: String) -> Set<String> { short.contains(":") ? [short] : [short, short + ":latest"] }

    func remove(_ given: String, _ control: any MachineControl, by actor: String) async throws {
        let name = try ImageName.short(of: given)
        let wasFailed = imports.withLock { imports in
            guard imports[name]?.problem != nil else { return false }
            imports[name] = nil
            return true
        }
        guard let image = try await shelf.summary(named: name) else {
            if wasFailed { return }
            throw Problem.notFound("image", name)
        }
        let isLast = try await shelf.summaries().count { $0.digest == image.digest } == 1
        try await control.removingImage(digest: image.digest, names: Self.names(name), isLast: isLast) {
            try await self.shelf.removeImage(named: name)
        }
        try await control.recordEvent(
            kind: "image.removed", machine: nil, operation: nil, actor: actor, message: "The image “\(name)” was removed",
            evidence: ["image": name, "digest": image.digest])
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
