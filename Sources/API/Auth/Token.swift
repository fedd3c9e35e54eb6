internal import Crypto
internal import FoundationEssentials
public import Model
internal import Wire

/// What a token's holder may do.
public enum Role: String, Codable, Sendable, CaseIterable, Comparable {
    /// Reads everything but tokens.
    case viewer
    /// Also changes machines and images.
    case `operator`
    /// Also makes and revokes tokens, and takes backups.
    case admin

    private var rank: Int {
        switch self {
        case .viewer: 0
        case .operator: 1
        case .admin: 2
        }
    }
    public static func < (left: Role, right: Role) -> Bool { left.rank < right.rank }
}

/// An API token as it is shown; its secret is told once, when it is made.
public struct Token: Codable, Sendable, Equatable, Identifiable {
    public var id: TokenID
    public var name: String
    public var role: Role
    public var createdAt: Timestamp
    /// From then on it opens nothing; nil: until it is revoked.
    public var expiresAt: Timestamp?
}

/// A token as the store keeps it: only the hash of its secret.
struct TokenRecord: Codable, Sendable {
    static let prefix = "/tokens/"
    var token: Token
    /// SHA-256 of the secret, in hex.
    var secretHash: String

    /// A token; `secret` is its whole clear text and is not kept.
    static func make(name: String, role: Role, expiresAt: Timestamp?, now: Timestamp) throws -> (record: TokenRecord, secret: String) {
        let name = try DisplayName(name)
        if let expiresAt, expiresAt <= now {
            throw Problem("token-expired", status: 422, title: "The token would be over before it begins", detail: "it ends at \(expiresAt)")
        }
        var generator = SystemRandomNumberGenerator()
        let id = TokenID.random(length: 8, using: &generator)
        let secret = Hex.encode((0..<32).map { _ in UInt8.random(in: .min ... .max, using: &generator) })
        let token = Token(id: id, name: name.text, role: role, createdAt: now, expiresAt: expiresAt)
        return (TokenRecord(token: token, secretHash: hash(secret)), "hst_\(id)_\(secret)")
    }

    static func hash(_ secret: String) -> String { Hex.encode(Array(SHA256.hash(data: Data(secret.utf8)))) }
}
