internal import FoundationEssentials

/// A message, or a part of one, by RFC 2045 and 2046: as much of it as it takes to find what is in it. Anything parses.
struct MIMEEntity {
    /// In lower case; nil: it says none.
    private(set) var type: String?
    private var boundary: [UInt8]?
    private var encoding = ""
    private let body: ArraySlice<UInt8>

    /// Parts of one message; more are not looked at.
    private static let partLimit = 1024

    var isMultipart: Bool { type?.hasPrefix("multipart/") == true }

    init(_ bytes: ArraySlice<UInt8>) {
        var rest = bytes
        var fields: [(name: String, value: String)] = []
        while let line = Self.line(of: rest) {
            let isBlank = line.content.isEmpty
            // A continuation (RFC 5322 §2.2.3).
            if let first = line.content.first, first == 0x20 || first == 0x09, !fields.isEmpty {
                fields[fields.count - 1].value += String(decoding: line.content, as: UTF8.self)
            } else if let colon = line.content.firstIndex(of: UInt8(ascii: ":")), !isBlank {
                let name = String(decoding: line.content[..<colon], as: UTF8.self).lowercased()
                fields.append((name, String(decoding: line.content[(colon + 1)...], as: UTF8.self)))
            } else {
                // What is no header ends them, and is of the body unless it is the blank line.
                if isBlank { rest = rest[line.end...] }
                break
            }
            rest = rest[line.end...]
        }
        body = rest
        func value(_ name: String) -> String? { fields.first { $0.name == name }?.value }
        encoding = Self.token(value("content-transfer-encoding") ?? "").lowercased()
        guard let given = value("content-type") else { return }
        type = Self.token(given).lowercased()
        boundary = Self.boundary(in: given)
    }

    /// Its parts, of a `multipart` one.
    var parts: [MIMEEntity] {
        guard let boundary else { return [] }
        let separator = Array("--".utf8) + boundary
        var parts: [MIMEEntity] = []
        var start: Int?
        var rest = body
        while let line = Self.line(of: rest), parts.count < Self.partLimit {
            if line.content.starts(with: separator) {
                let tail = Self.token(String(decoding: line.content.dropFirst(separator.count), as: UTF8.self))
                if tail.isEmpty || tail == "--" {
                    if let start { parts.append(MIMEEntity(body[start..<line.content.startIndex])) }
                    start = line.end
                    guard tail.isEmpty else { return parts }
                }
            }
            rest = rest[line.end...]
        }
        // A message that was cut off has its last part as far as it goes.
        if let start, start < body.endIndex { parts.append(MIMEEntity(body[start...])) }
        return parts
    }

    /// Decoded.
    var content: ArraySlice<UInt8> {
        switch encoding {
        case "base64":
            Data(base64Encoded: Data(body), options: .ignoreUnknownCharacters).map { Array($0)[...] } ?? body
        case "quoted-printable": Self.decoded(quotedPrintable: body)
        default: body
        }
    }

    /// RFC 2045 §6.7; what is no escape stands for itself.
    private static func decoded(quotedPrintable bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var decoded: [UInt8] = []
        var rest = bytes
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "=") else {
                decoded.append(byte)
                continue
            }
            if rest.starts(with: "\r\n".utf8) {
                rest = rest.dropFirst(2)
            } else if rest.first == UInt8(ascii: "\n") {
                rest = rest.dropFirst()
            } else if rest.count >= 2, let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) {
                decoded.append(value)
                rest = rest.dropFirst(2)
            } else {
                decoded.append(byte)
            }
        }
        return decoded[...]
    }

    /// The first line without its line ending, and the index of the next line; nil: nothing is left.
    private static func line(of bytes: ArraySlice<UInt8>) -> (content: ArraySlice<UInt8>, end: Int)? {
        guard !bytes.isEmpty else { return nil }
        let newline = bytes.firstIndex(of: UInt8(ascii: "\n"))
        var content = bytes[..<(newline ?? bytes.endIndex)]
        if content.last == UInt8(ascii: "\r") { content = content.dropLast() }
        return (content, newline.map { $0 + 1 } ?? bytes.endIndex)
    }

    /// A header's value before its parameters.
    private static func token(_ value: String) -> String {
        let word = value.prefix { $0 != ";" }
        guard let first = word.firstIndex(where: { !$0.isWhitespace }), let last = word.lastIndex(where: { !$0.isWhitespace }) else { return "" }
        return String(word[first...last])
    }

    private static func boundary(in value: String) -> [UInt8]? {
        let bytes = Array(value.utf8)
        let name = Array("boundary=".utf8)
        let lower = bytes.map { (65...90).contains($0) ? $0 + 32 : $0 }
        guard let start = lower.indices.first(where: { lower[$0...].starts(with: name) }) else { return nil }
        let rest = bytes[(start + name.count)...]
        let quote = UInt8(ascii: "\"")
        let found = rest.first == quote ? rest.dropFirst().prefix { $0 != quote } : rest.prefix { $0 != UInt8(ascii: ";") && $0 > 0x20 }
        return found.isEmpty ? nil : Array(found)
    }
}
