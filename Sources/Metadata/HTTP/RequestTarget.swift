/// What a request is for: the parts of its path, and its query.
public struct RequestTarget: Sendable, Equatable {
    public static let partLimit = 16

    /// Percent-decoded. A path's last slash is left out: `a/` and `a` are one.
    public var parts: [String]
    /// Two slashes in a row: no such path exists.
    public var hasEmptyPart: Bool
    public var query: [String: String]
    /// Of a target in absolute form, as a proxy is asked.
    public var host: String?

    /// Nil for what is no path, or one that climbs: `.`, `..`, an encoded slash, a control character.
    public init?(_ raw: ArraySlice<UInt8>) {
        guard raw.allSatisfy({ (0x21...0x7e).contains($0) }), !raw.contains(UInt8(ascii: "#")) else { return nil }
        var text = raw
        let scheme = Array("http://".utf8)
        if raw.count > scheme.count, Array(raw.prefix(scheme.count)) == scheme {
            let rest = raw.dropFirst(scheme.count)
            let slash = rest.firstIndex(of: UInt8(ascii: "/")) ?? rest.endIndex
            guard let name = RequestHead.hostName(String(decoding: rest[rest.startIndex..<slash], as: UTF8.self)) else { return nil }
            host = name
            text = rest[slash...]
            if text.isEmpty { text = [UInt8(ascii: "/")][...] }
        }
        guard text.first == UInt8(ascii: "/") else { return nil }
        let mark = text.firstIndex(of: UInt8(ascii: "?")) ?? text.endIndex
        var pieces = text[text.startIndex..<mark].dropFirst().split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        if pieces.last?.isEmpty == true { pieces.removeLast() }
        guard pieces.count <= Self.partLimit else { return nil }
        hasEmptyPart = pieces.contains { $0.isEmpty }
        parts = []
        for piece in pieces {
            guard let bytes = Self.decode(piece), bytes != [46], bytes != [46, 46],
                bytes.allSatisfy({ $0 >= 32 && $0 != 127 && $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "\\") }),
                let part = String(validating: bytes, as: UTF8.self)
            else { return nil }
            parts.append(part)
        }
        query = [:]
        guard mark < text.endIndex else { return }
        for pair in text[text.index(after: mark)...].split(separator: UInt8(ascii: "&")).prefix(Self.partLimit) {
            let halves = pair.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = halves.first.flatMap(Self.decode), let value = halves.count > 1 ? Self.decode(halves[1]) : [],
                let nameText = String(validating: name, as: UTF8.self), let valueText = String(validating: value, as: UTF8.self)
            else { return nil }
            query[nameText] = valueText
        }
    }

    /// RFC 3986 §2.1; nil where a percent sign is not followed by two hexadecimal digits.
    private static func decode(_ piece: ArraySlice<UInt8>) -> [UInt8]? {
        guard piece.contains(UInt8(ascii: "%")) else { return Array(piece) }
        var bytes: [UInt8] = []
        var index = piece.startIndex
        while index < piece.endIndex {
            guard piece[index] == UInt8(ascii: "%") else {
                bytes.append(piece[index])
                index += 1
                continue
            }
            guard index + 2 < piece.endIndex, let high = digit(piece[index + 1]), let low = digit(piece[index + 2]) else { return nil }
            bytes.append(high << 4 | low)
            index += 3
        }
        return bytes
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 48...57: byte - 48
        case 65...70: byte - 55
        case 97...102: byte - 87
        default: nil
        }
    }
}
