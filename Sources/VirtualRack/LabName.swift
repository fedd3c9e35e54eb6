internal import CLinux

/// The name of a lab: 1 to 24 of `a`–`z`, `0`–`9` and `-`, a letter first.
///
/// It becomes a file name and, with `hostler-` before it, the name of a
/// network namespace; that is why it is so narrow.
public struct LabName: Hashable, Sendable, Codable, CustomStringConvertible {
    /// What a lab is called that was given no name.
    public static let standard = "lab"
    public let text: String

    public init(_ text: String) throws(LabError) {
        guard Self.isPlain(text, atMost: 24) else {
            throw LabError(
                .invalidName, "“\(text)” cannot name a lab",
                remedy: "Use 1 to 24 of a–z, 0–9 and -, beginning with a letter.")
        }
        self.text = text
    }

    /// The network namespace in which everything of the lab lives.
    public var namespace: String { "hostler-\(text)" }
    public var description: String { text }

    /// Whether the namespace exists now.
    public var namespaceExists: Bool { clinux_netns_exists(namespace) == 1 }

    public init(from decoder: any Decoder) throws {
        try self.init(decoder.singleValueContainer().decode(String.self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }

    static func isPlain(_ text: String, atMost limit: Int) -> Bool {
        guard let first = text.utf8.first, (1...limit).contains(text.utf8.count) else { return false }
        let letters = UInt8(ascii: "a")...UInt8(ascii: "z")
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        return letters.contains(first)
            && text.utf8.allSatisfy { letters.contains($0) || digits.contains($0) || $0 == UInt8(ascii: "-") }
    }
}
