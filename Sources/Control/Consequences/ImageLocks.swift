public import Model
internal import Store
internal import Synchronization

/// Keeps an image from being removed between the moment in which an installation looks at it and that in which its operation
/// is in the record.
final class ImageLocks: Sendable {
    private struct State {
        var starting: [String: Int] = [:]
        var removing: Set<String> = []
    }
    private let state = Mutex(State())

    /// One installation that begins; what it looks at stays until ``end()``.
    final class Start: Sendable {
        private let locks: ImageLocks
        private let digests = Mutex<[String]>([])

        init(_ locks: ImageLocks) { self.locks = locks }

        func use(_ digest: String) throws(Problem) {
            try locks.state.withLock { state throws(Problem) in
                guard !state.removing.contains(digest) else {
                    throw Problem("image-being-removed", status: 409, title: "The image is being removed", remedy: "See: hostler image list")
                }
                state.starting[digest, default: 0] += 1
            }
            digests.withLock { $0.append(digest) }
        }

        func end() {
            let used = digests.withLock { digests in
                defer { digests = [] }
                return digests
            }
            locks.state.withLock { state in
                for digest in used { state.starting[digest] = state.starting[digest].flatMap { $0 > 1 ? $0 - 1 : nil } }
            }
        }
    }

    /// - Parameter user: the operation that uses the image, if one does.
    func remove(_ digest: String, unless user: () async throws -> Model.Operation?, _ body: () async throws -> Void) async throws {
        try state.withLock { state throws(Problem) in
            guard state.starting[digest] == nil, state.removing.insert(digest).inserted else {
                throw Problem(
                    "image-in-use", status: 409, title: "An installation with this image begins now", remedy: "Look at: hostler operation list")
            }
        }
        defer { _ = state.withLock { $0.removing.remove(digest) } }
        if let user = try await user() { throw ImageUse.refusal(by: user) }
        try await body()
    }
}

/// Which operations need an image.
public enum ImageUse {
    /// The open operation whose machine is being given the image of that digest; `names` are what it is called, for requests that
    /// were made before digests were pinned.
    public static func operation(in operations: [Model.Operation], needing digest: String, names: Set<String>) -> Model.Operation? {
        operations.first { operation in
            guard operation.isOpen, case .install(let request) = operation.request else { return false }
            return request.digest.map { $0 == digest } ?? names.contains(request.image)
        }
    }

    public static func refusal(by user: Model.Operation) -> Problem {
        var image = "an image"
        if case .install(let request) = user.request { image = "“\(request.image)”" }
        let verb = user.state == .waiting ? "waits to install" : "is installing"
        return Problem(
            "image-in-use", status: 409, title: "\(user.id) \(verb) \(image) on \(user.machine)",
            detail: "The machine reads the image until its system is written; without it, it would be left without a system.",
            remedy: "Wait for it, or: hostler operation cancel \(user.id)")
    }
}

extension ControlPlane {
    /// Runs `body`, which removes the image, unless an operation needs it; none that needs it begins meanwhile.
    ///
    /// - Parameter isLast: whether no other name stands for the same image.
    public func removingImage(digest: String, names: Set<String>, isLast: Bool, _ body: @Sendable () async throws -> Void) async throws {
        guard isLast else { return try await body() }
        try await imageLocks.remove(digest) {
            ImageUse.operation(in: try await records.all(Model.Operation.self).map(\.value), needing: digest, names: names)
        } _: {
            try await body()
        }
    }
}
