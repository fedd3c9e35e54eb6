/// A name people see. It may hold any script and emoji, but no control or
/// bidirectional-override characters; at most 64 graphemes on the screen and
/// 256 bytes in the store.
///
/// Comparison is by Swift's canonical equivalence, which is that of NFC.
public struct DisplayName: Hashable, Sendable, Codable, CustomStringConvertible {
    public static let maximumGraphemes = 64
    public static let maximumBytes = 256
    public let text: String

    public init(_ text: String) throws(Problem) {
        guard !text.isEmpty, text.count <= Self.maximumGraphemes, text.utf8.count <= Self.maximumBytes else {
            throw Problem(
                "name-length", title: "The name is empty or too long",
                detail: "\(text.count) characters, \(text.utf8.count) bytes",
                remedy: "Give 1 to \(Self.maximumGraphemes) characters and at most \(Self.maximumBytes) bytes.")
        }
        if let bad = text.unicodeScalars.first(where: Self.isRefused) {
            throw Problem(
                "name-character", title: "The name holds a character that may not stand in names",
                detail: "U+\(String(bad.value, radix: 16, uppercase: true)) is a control or text-direction character",
                remedy: "Leave it out.")
        }
        guard text.first?.isWhitespace == false, text.last?.isWhitespace == false else {
            throw Problem("name-space", title: "The name begins or ends with a space", remedy: "Leave the space out.")
        }
        self.text = text
    }

    private static func isRefused(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .surrogate, .lineSeparator, .paragraphSeparator: true
        default: (0x202A...0x202E).contains(scalar.value) || (0x2066...0x2069).contains(scalar.value)
        }
    }

    public var description: String { text }
    public init(from decoder: any Decoder) throws {
        try self.init(decoder.singleValueContainer().decode(String.self))
    }
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }
}

/// A DNS host name of one label (RFC 1123 §2.1): 1 to 63 of a–z, 0–9 and dash.
public enum HostLabel {
    public static func isValid(_ text: String) -> Bool {
        let utf8 = Array(text.utf8)
        guard (1...63).contains(utf8.count), utf8.first != UInt8(ascii: "-"), utf8.last != UInt8(ascii: "-") else {
            return false
        }
        return utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == UInt8(ascii: "-") }
    }
}
