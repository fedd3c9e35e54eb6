internal import Wire

/// What every command prints with, in place of the standard library's `print`: what came from a machine, a BMC or a
/// server cannot move the cursor, name the window or turn text around, wherever in the text it stands.
func print(_ text: String, terminator: String = "\n") {
    Terminal.write(Terminal.shown(text, keepsColour: Terminal.standard.hasColour) + terminator)
}

extension Terminal {
    /// Lines as a terminal may be sent them: printable text, and of control sequences only those of ``paint(_:_:)``.
    static func shown(_ text: String, keepsColour: Bool) -> String {
        guard keepsColour, text.utf8.contains(0x1b) else { return PrintableText.lines(text) }
        var result = ""
        var plain = String.UnicodeScalarView()
        var rest = text.unicodeScalars[...]
        while let scalar = rest.first {
            if scalar == "\u{1b}", let length = paintLength(rest) {
                result += PrintableText.lines(String(plain)) + String(String.UnicodeScalarView(rest.prefix(length)))
                plain = .init()
                rest = rest.dropFirst(length)
            } else {
                plain.append(scalar)
                rest = rest.dropFirst()
            }
        }
        return result + PrintableText.lines(String(plain))
    }

    /// How many characters of a sequence that ``paint(_:_:)`` writes `text` begins with; nil: none.
    private static func paintLength(_ text: Substring.UnicodeScalarView) -> Int? {
        let sequences = [0, 1, 31, 32, 33, 34, 90].map { "\u{1b}[\($0)m" }
        return sequences.first { text.starts(with: $0.unicodeScalars) }?.unicodeScalars.count
    }
}

/// JSON that can be shown: an encoder escapes the C0 controls only.
enum JSONText {
    /// The same JSON, with what is not printable as `\u…`. Outside of strings JSON has none of it.
    static func escaped(_ json: String) -> String {
        if json.utf8.allSatisfy({ (0x20..<0x7f).contains($0) || $0 == 0x0a }) { return json }
        var text = String.UnicodeScalarView()
        for scalar in json.unicodeScalars {
            if scalar == "\n" || scalar == "\u{200c}" || scalar == "\u{200d}" || PrintableText.isPrintable(scalar) {
                text.append(scalar)
            } else {
                for unit in String(scalar).utf16 {
                    let digits = String(unit, radix: 16)
                    text.append(contentsOf: ("\\u" + String(repeating: "0", count: 4 - digits.count) + digits).unicodeScalars)
                }
            }
        }
        return String(text)
    }

    /// Whether text holds what ``escaped(_:)`` would escape.
    static func needsEscapes(_ text: String) -> Bool {
        !text.utf8.allSatisfy { (0x20..<0x7f).contains($0) || $0 == 0x0a } && escaped(text) != text
    }
}
