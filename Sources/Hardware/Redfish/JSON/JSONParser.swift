/// Why bytes are not JSON, and where.
public struct JSONParseError: Error, Equatable, CustomStringConvertible {
    public enum Reason: String, Sendable {
        case truncated = "it ends in the middle"
        case unexpected = "it is not JSON"
        case tooDeep = "it is nested too deeply"
        case tooLarge = "it holds too many values"
        case notUTF8 = "its text is not UTF-8"
    }
    public var reason: Reason
    /// In bytes from the start.
    public var offset: Int
    public var description: String { "\(reason.rawValue) (byte \(offset))" }
}

/// JSON (RFC 8259) from bytes that may be hostile: depth and number of values are bounded.
public struct JSONParser {
    /// Real BMCs nest some ten deep.
    public static let depthLimit = 32
    /// An expanded log of a thousand entries has some 30,000.
    public static let valueLimit = 200_000

    private let bytes: [UInt8]
    private var offset = 0
    private var values = 0

    private init(_ bytes: [UInt8]) { self.bytes = bytes }

    public static func parse(_ bytes: [UInt8]) throws(JSONParseError) -> JSON {
        var parser = JSONParser(bytes)
        // Some BMCs send a byte order mark.
        if bytes.starts(with: [0xef, 0xbb, 0xbf]) { parser.offset = 3 }
        let value = try parser.value(depth: 0)
        parser.skipSpace()
        guard parser.offset == bytes.count else { throw parser.failure(.unexpected) }
        return value
    }

    private mutating func value(depth: Int) throws(JSONParseError) -> JSON {
        guard depth <= Self.depthLimit else { throw failure(.tooDeep) }
        values += 1
        guard values <= Self.valueLimit else { throw failure(.tooLarge) }
        skipSpace()
        switch try peek() {
        case UInt8(ascii: "{"): return try object(depth)
        case UInt8(ascii: "["): return try array(depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: return try number()
        }
    }

    private mutating func object(_ depth: Int) throws(JSONParseError) -> JSON {
        offset += 1
        var members: [String: JSON] = [:]
        skipSpace()
        if try peek() == UInt8(ascii: "}") {
            offset += 1
            return .object(members)
        }
        while true {
            skipSpace()
            guard try peek() == UInt8(ascii: "\"") else { throw failure(.unexpected) }
            let name = try string()
            skipSpace()
            guard try peek() == UInt8(ascii: ":") else { throw failure(.unexpected) }
            offset += 1
            members[name] = try value(depth: depth + 1)
            if try !more(until: UInt8(ascii: "}")) { return .object(members) }
        }
    }

    private mutating func array(_ depth: Int) throws(JSONParseError) -> JSON {
        offset += 1
        var items: [JSON] = []
        skipSpace()
        if try peek() == UInt8(ascii: "]") {
            offset += 1
            return .array(items)
        }
        while true {
            items.append(try value(depth: depth + 1))
            if try !more(until: UInt8(ascii: "]")) { return .array(items) }
        }
    }

    /// Whether a comma follows; false after the closing byte.
    private mutating func more(until end: UInt8) throws(JSONParseError) -> Bool {
        skipSpace()
        let byte = try peek()
        guard byte == end || byte == UInt8(ascii: ",") else { throw failure(.unexpected) }
        offset += 1
        return byte != end
    }

    private mutating func string() throws(JSONParseError) -> String {
        offset += 1
        var text: [UInt8] = []
        while true {
            let byte = try peek()
            offset += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let string = String(validating: text, as: UTF8.self) else { throw failure(.notUTF8) }
                return string
            case UInt8(ascii: "\\"): try escape(into: &text)
            // Raw line breaks are not allowed, and some BMCs' logs have them all the same.
            default: text.append(byte)
            }
        }
    }

    private mutating func escape(into text: inout [UInt8]) throws(JSONParseError) {
        let byte = try peek()
        offset += 1
        switch byte {
        case UInt8(ascii: "n"): text.append(10)
        case UInt8(ascii: "r"): text.append(13)
        case UInt8(ascii: "t"): text.append(9)
        case UInt8(ascii: "b"): text.append(8)
        case UInt8(ascii: "f"): text.append(12)
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "u"):
            var code = UInt32(try codeUnit())
            if (0xd800..<0xdc00).contains(code), offset + 1 < bytes.count, bytes[offset] == UInt8(ascii: "\\"),
                bytes[offset + 1] == UInt8(ascii: "u")
            {
                offset += 2
                let low = UInt32(try codeUnit())
                code = (0xdc00..<0xe000).contains(low) ? 0x10000 + (code - 0xd800) << 10 + (low - 0xdc00) : 0xfffd
            }
            text += String(Unicode.Scalar(code) ?? "\u{fffd}").utf8
        default: throw failure(.unexpected)
        }
    }

    private mutating func codeUnit() throws(JSONParseError) -> UInt16 {
        guard offset + 4 <= bytes.count else { throw JSONParseError(reason: .truncated, offset: bytes.count) }
        let digits = bytes[offset..<offset + 4]
        guard digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
            let unit = UInt16(String(decoding: digits, as: UTF8.self), radix: 16)
        else { throw failure(.unexpected) }
        offset += 4
        return unit
    }

    private mutating func number() throws(JSONParseError) -> JSON {
        let start = offset
        while offset < bytes.count, "+-.eE0123456789".utf8.contains(bytes[offset]) { offset += 1 }
        guard offset > start else { throw failure(.unexpected) }
        guard let number = Double(String(decoding: bytes[start..<offset], as: UTF8.self)), number.isFinite else {
            throw JSONParseError(reason: offset == bytes.count ? .truncated : .unexpected, offset: start)
        }
        return .number(number)
    }

    private mutating func word(_ word: String, _ value: JSON) throws(JSONParseError) -> JSON {
        for byte in word.utf8 {
            guard try peek() == byte else { throw failure(.unexpected) }
            offset += 1
        }
        return value
    }

    private func peek() throws(JSONParseError) -> UInt8 {
        guard offset < bytes.count else { throw failure(.truncated) }
        return bytes[offset]
    }

    private mutating func skipSpace() {
        while offset < bytes.count {
            switch bytes[offset] {
            case 0x20, 0x09, 0x0a, 0x0d: offset += 1
            default: return
            }
        }
    }

    private func failure(_ reason: JSONParseError.Reason) -> JSONParseError { JSONParseError(reason: reason, offset: offset) }
}
