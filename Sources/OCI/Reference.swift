/// The name of an image: `debian-12`, `debian-12:2026-01`,
/// `registry.example:5000/os/debian:12@sha256:…`.
///
/// The grammar is that of the OCI distribution spec 1.1 ("Pulling manifests"):
/// a name is at most 255 bytes, a tag at most 128. A first part with a dot or
/// a colon, or `localhost`, is a registry; there is no default registry.
public struct Reference: Hashable, Sendable, Codable, CustomStringConvertible {
    public let registry: String?
    public let repository: String
    public let tag: String?
    public let digest: Digest?

    public init(_ text: some StringProtocol) throws(ReferenceError) {
        guard text.utf8.count <= 500 else { throw .tooLong }
        var rest = Substring(text)
        if let at = rest.firstIndex(of: "@") {
            guard let digest = Digest(rest[rest.index(after: at)...]) else { throw .invalidDigest }
            self.digest = digest
            rest = rest[..<at]
        } else {
            digest = nil
        }
        let pathStart = rest.lastIndex(of: "/").map { rest.index(after: $0) } ?? rest.startIndex
        if let colon = rest[pathStart...].firstIndex(of: ":") {
            let tag = rest[rest.index(after: colon)...]
            guard Self.isTag(tag) else { throw .invalidTag }
            self.tag = String(tag)
            rest = rest[..<colon]
        } else {
            tag = nil
        }
        var parts = rest.split(separator: "/", omittingEmptySubsequences: false)
        if parts.count > 1, let first = parts.first, first == "localhost" || first.contains(where: { ".:".contains($0) }) {
            guard Self.isRegistry(first) else { throw .invalidRegistry }
            registry = String(first)
            parts.removeFirst()
        } else {
            registry = nil
        }
        guard parts.allSatisfy(Self.isPathPart) else { throw .invalidName }
        repository = parts.joined(separator: "/")
        guard !repository.isEmpty, repository.utf8.count <= 255 else { throw .invalidName }
    }

    /// Whether it is a plain name of the local store: no registry, no slash.
    public var isLocalName: Bool { registry == nil && !repository.utf8.contains(UInt8(ascii: "/")) }

    public var description: String {
        (registry.map { "\($0)/" } ?? "") + repository + (tag.map { ":\($0)" } ?? "") + (digest.map { "@\($0)" } ?? "")
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        do {
            self = try Reference(text)
        } catch {
            throw DecodingError.dataCorruptedError(
                in: container, debugDescription: "not an image reference (\(error)): \(text)")
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }

    /// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
    private static func isTag(_ text: Substring) -> Bool {
        guard let first = text.utf8.first, text.utf8.count <= 128, isWord(first) || first == UInt8(ascii: "_") else {
            return false
        }
        return text.utf8.allSatisfy { isWord($0) || "._-".utf8.contains($0) }
    }

    /// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
    private static func isPathPart(_ text: Substring) -> Bool {
        guard let first = text.utf8.first, let last = text.utf8.last, isLower(first), isLower(last) else { return false }
        var separators: [UInt8] = []
        for byte in text.utf8 {
            if isLower(byte) {
                separators = []
                continue
            }
            guard "._-".utf8.contains(byte) else { return false }
            separators.append(byte)
            let allowed =
                separators.count == 1 || separators.allSatisfy { $0 == UInt8(ascii: "-") }
                || separators == Array("__".utf8)
            guard allowed else { return false }
        }
        return true
    }

    private static func isRegistry(_ text: Substring) -> Bool {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count <= 2, let host = parts.first, !host.isEmpty else { return false }
        if parts.count == 2, UInt16(parts[1]) == nil { return false }
        return host.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            guard let first = label.utf8.first, let last = label.utf8.last else { return false }
            return isWord(first) && isWord(last) && label.utf8.allSatisfy { isWord($0) || $0 == UInt8(ascii: "-") }
        }
    }

    private static func isLower(_ byte: UInt8) -> Bool { (97...122).contains(byte) || (48...57).contains(byte) }
    private static func isWord(_ byte: UInt8) -> Bool { isLower(byte) || (65...90).contains(byte) }
}

/// Which part of an image reference cannot be read.
public enum ReferenceError: Error, Equatable, Sendable {
    case tooLong, invalidDigest, invalidTag, invalidRegistry, invalidName
}
