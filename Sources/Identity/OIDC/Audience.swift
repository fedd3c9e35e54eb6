public import Model

/// Whom a token is for: the name that a relying party knows itself by, most often a URL.
public struct Audience: Sendable, Equatable {
    /// In bytes.
    public static let limit = 255
    public let text: String

    /// Characters of a URI (RFC 3986 §2), 1 to 255: what every relying party can compare byte for byte.
    public init(_ text: String) throws(Problem) {
        let allowed = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:/?#[]@!$&'()*+,;=%".utf8)
        guard (1...Self.limit).contains(text.utf8.count), text.utf8.allSatisfy(allowed.contains) else {
            throw Problem(
                "audience-invalid", title: "That is no audience for a token",
                detail: "It has 1 to \(Self.limit) characters of a URI, without spaces.",
                remedy: "Ask with ?audience=NAME, where NAME is what the relying party expects in “aud”.")
        }
        self.text = text
    }
}
