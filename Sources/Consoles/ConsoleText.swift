/// A console's bytes as lines for people: terminals' control sequences and what cannot be printed are left out.
public enum ConsoleText {
    /// A longer line is cut.
    static let lineLimit = 400

    /// The last `count` lines with anything in them, oldest first.
    public static func lastLines(_ count: Int, of bytes: some Sequence<UInt8>) -> [String] {
        var lines: [String] = []
        var line: [UInt8] = []
        func end() {
            let scalars = String(decoding: line, as: UTF8.self).unicodeScalars.lazy.filter { !isControl($0) }.prefix(lineLimit)
            let text = String(String.UnicodeScalarView(scalars))
            if text.contains(where: { !$0.isWhitespace }) { lines.append(text) }
            line = []
        }
        var filter = ControlSequenceFilter()
        for byte in bytes {
            guard let kept = filter.pass(byte) else { continue }
            if kept == UInt8(ascii: "\n") || kept == UInt8(ascii: "\r") { end() } else { line.append(kept) }
        }
        end()
        return Array(lines.suffix(count))
    }

    /// C1 controls (ECMA-48 §8.3), which terminals obey in UTF-8 as well, and what turns the direction of text.
    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x7f...0x9f, 0x200e, 0x200f, 0x202a...0x202e, 0x2066...0x2069: true
        default: false
        }
    }
}

/// Takes a terminal's escape sequences (ECMA-48 §5.3, §5.4, §5.6) and control characters out of a stream.
struct ControlSequenceFilter {
    private enum State { case text, escape, sequence, string, stringEscape }
    private var state = State.text

    /// The byte, where it is text, a line end or a tab; nil where it is part of something else.
    mutating func pass(_ byte: UInt8) -> UInt8? {
        switch state {
        case .text:
            switch byte {
            case 0x1b: state = .escape
            case 0x09, 0x0a, 0x0d, 0x20...0x7e, 0x80...: return byte
            default: break
            }
        case .escape:
            switch byte {
            // CSI; then DCS, SOS, OSC, PM and APC, which go on until ST.
            case UInt8(ascii: "["): state = .sequence
            case UInt8(ascii: "P"), UInt8(ascii: "X"), UInt8(ascii: "]"), UInt8(ascii: "^"), UInt8(ascii: "_"): state = .string
            // Intermediate bytes; the final one follows.
            case 0x20...0x2f: break
            case 0x1b: break
            default: state = .text
            }
        case .sequence:
            // A line end within one: it was cut off.
            if byte == 0x0a || byte == 0x0d {
                state = .text
                return byte
            }
            if (0x40...0x7e).contains(byte) { state = .text }
        case .string:
            if byte == 0x07 || byte == 0x0a || byte == 0x0d { state = .text }
            if byte == 0x1b { state = .stringEscape }
        case .stringEscape: state = .text
        }
        return nil
    }
}
