public import Model

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
}
