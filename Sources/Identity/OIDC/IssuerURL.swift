public import Model

/// Where relying parties find the issuer's keys: an `https` URL without query
/// and fragment (OpenID Connect Discovery 1.0 §4.1), and no slash at its end.
public struct IssuerURL: Sendable, Equatable, CustomStringConvertible {
    public let text: String
    /// False with `http`, which stock relying parties refuse outside a test.
    public let isSecure: Bool

    public init(_ text: String) throws(Problem) {
        let trimmed = text.hasSuffix("/") ? String(text.dropLast()) : text
        isSecure = trimmed.hasPrefix("https://")
        let rest = trimmed.dropFirst(isSecure ? 8 : 7)
        let isPlain = rest.utf8.allSatisfy { (0x21...0x7e).contains($0) } && !rest.contains { "?#@\"\\<>".contains($0) }
        guard isSecure || trimmed.hasPrefix("http://"), isPlain, let first = rest.first, first != "/", rest.utf8.count <= 255 else {
            throw Problem(
                "issuer-invalid", title: "“\(text)” is no issuer", detail: "An issuer is a URL such as https://hostler.example:8443.",
                remedy: "Set identity.issuer to the URL at which relying parties reach this server.")
        }
        self.text = trimmed
    }

    public var description: String { text }
}
