internal import Hummingbird
internal import Logging
internal import Model

extension ServerState {
    /// The token in an `Authorization` header (RFC 6750 §2.1), once it is known to be good enough.
    ///
    /// - Parameter address: the client's; after failures it waits longer for each answer.
    func token(in header: String?, of needed: Role, from address: String, logger: Logger) async throws -> Token {
        let token = try await authenticate(header, from: address, logger: logger)
        guard token.role >= needed else {
            throw Problem(
                "role-too-low", status: 403, title: "This token may not do that",
                detail: "it is a \(token.role.rawValue)'s, and this needs \(needed.rawValue)",
                remedy: "Use another token; an admin makes one with: hostler token create NAME --role \(needed.rawValue)")
        }
        return token
    }

    /// What an `Authorization` header of the scheme Bearer holds; nil where it is of another.
    static func bearer(in header: String) -> String? {
        let parts = header.split(separator: " ", maxSplits: 1)
        return parts.count == 2 && parts[0].lowercased() == "bearer" ? String(parts[1]) : nil
    }

    private func authenticate(_ header: String?, from address: String, logger: Logger) async throws -> Token {
        guard let header else {
            throw Problem(
                "token-missing", status: 401, title: "This needs a token",
                remedy: "Send Authorization: Bearer hst_…; with the CLI: hostler login URL --token hst_…")
        }
        if let text = Self.bearer(in: header), let token = try await tokens.verify(text) {
            failedAttempts.succeeded(address)
            return token
        }
        let delay = failedAttempts.failed(address, at: .now)
        logger.warning(
            "a token was refused", metadata: ["address": "\(address)", "failures": "\(failedAttempts.count(address))"])
        try await Task.sleep(for: delay)
        throw Problem(
            "token-refused", status: 401, title: "This token is not valid",
            detail: "it was mistyped, revoked, or belongs to another server",
            remedy: "Ask an admin for another: hostler token create NAME")
    }
}
