internal import Model
internal import NIOCore

extension Session {
    /// Fetches what an installation is made of: waits out a cut network and a control plane that
    /// starts anew, but not for what the control plane says it does not have.
    nonisolated func fetchSource(
        _ what: String, _ body: (ControlClient) async throws(TalkError) -> ByteBuffer
    ) async throws -> ByteBuffer {
        do {
            return try await insist(on: what, isFinal: Self.meansGone, body)
        } catch let error as TalkError {
            throw Problem(
                "source-gone", status: 410, title: "The control plane does not have the \(what) any more",
                detail: "\(error)", remedy: "Add the image again, then install again.")
        }
    }

    private static func meansGone(_ error: TalkError) -> Bool {
        if case .status(let code, _) = error { [404, 410, 416].contains(code) } else { false }
    }
}
