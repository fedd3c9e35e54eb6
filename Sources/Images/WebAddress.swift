internal import FoundationEssentials

/// An `http:` or `https:` URL, taken apart (RFC 3986, RFC 9110 §4.2).
struct WebAddress: Equatable, CustomStringConvertible {
    enum Scheme: String { case http, https }

    let scheme: Scheme
    /// Lower case, an IPv6 address without its brackets.
    let host: String
    let port: Int
    /// Path and query.
    let target: String
    /// `user:password`, as it goes into Basic authentication (RFC 7617).
    var credentials: String?

    /// What is asked of one origin is not said to another (RFC 6454).
    func hasSameOrigin(as other: WebAddress) -> Bool {
        scheme == other.scheme && host == other.host && port == other.port
    }

    init?(_ text: String) {
        guard let url = URL(string: text) else { return nil }
        self.init(url)
    }

    private init?(_ url: URL) {
        guard let scheme = url.scheme.flatMap({ Scheme(rawValue: $0.lowercased()) }) else { return nil }
        guard var host = url.host(percentEncoded: false)?.lowercased() else { return nil }
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        while host.hasSuffix(".") { host.removeLast() }
        // A name, an IPv4 address, an IPv6 address; neither a scope nor anything that could end the name early.
        func isFit(_ byte: UInt8) -> Bool {
            (0x61...0x7a).contains(byte) || (0x30...0x3a).contains(byte) || byte == 0x2d || byte == 0x2e || byte == 0x5f
        }
        guard !host.isEmpty, host.utf8.count <= 253, host.utf8.allSatisfy(isFit) else { return nil }
        let port = url.port ?? (scheme == .https ? 443 : 80)
        guard (1...65535).contains(port) else { return nil }
        self.scheme = scheme
        self.host = host
        self.port = port
        let path = url.path(percentEncoded: true)
        target = (path.isEmpty ? "/" : path) + (url.query(percentEncoded: true).map { "?\($0)" } ?? "")
        if let user = url.user(percentEncoded: false) {
            credentials = "\(user):\(url.password(percentEncoded: false) ?? "")"
        }
    }

    /// Where a `Location` leads that came from here. The name and password that it may carry are left out: they are the
    /// server's words, not the operator's.
    func following(_ location: String) -> WebAddress? {
        guard let base = URL(string: description), let url = URL(string: location, relativeTo: base) else { return nil }
        guard var next = WebAddress(url.absoluteURL) else { return nil }
        next.credentials = nil
        return next
    }

    /// Without credentials.
    var description: String {
        let name = host.contains(":") ? "[\(host)]" : host
        return "\(scheme.rawValue)://\(name):\(port)\(target)"
    }
}
