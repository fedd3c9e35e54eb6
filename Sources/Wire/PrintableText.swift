/// Text from a machine, a BMC, a disk, a wire or a server, made fit to be stored, logged and shown.
///
/// A terminal obeys some characters: C0 and C1 controls move its cursor, name its window and open links; bidirectional
/// overrides show text in another order than it has. Others take no place and hide. None of them is kept:
///
/// - a run of control characters becomes one `�`, so that what was tried stays visible;
/// - text-direction, zero-width and other format characters, and those that Unicode lets every font ignore, go;
/// - marks on one base character beyond eight go: they would cover the lines above and below;
/// - U+200C and U+200D stay between characters that are not ASCII: emoji, Persian and Indic text need them.
///
/// A machine's serial console is a terminal on purpose: its bytes do not come through here.
public enum PrintableText {
    /// One line of at most `limitBytes` of UTF-8: line ends and tabs become spaces.
    public static func line(_ text: some StringProtocol, limitBytes: Int = .max) -> String {
        clean(text, keepsLines: false, limitBytes: limitBytes)
    }

    /// Lines that end with LF, of at most `limitBytes` of UTF-8 in all: line ends and tabs stay.
    public static func lines(_ text: some StringProtocol, limitBytes: Int = .max) -> String {
        clean(text, keepsLines: true, limitBytes: limitBytes)
    }

    /// Whether a terminal shows this character, and does nothing else with it.
    public static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        switch Kind(scalar) {
        case .shown, .mark: true
        default: false
        }
    }

    /// What ends text that was cut.
    private static let ellipsis = "…"
    private static let marksOnOneBase = 8

    private enum Kind {
        case shown, mark, joiner, tab, lineEnd, carriageReturn, control, invisible

        init(_ scalar: Unicode.Scalar) {
            switch scalar.value {
            case 0x20..<0x7f: self = .shown
            case 0x09: self = .tab
            case 0x0d: self = .carriageReturn
            case 0x0a, 0x85, 0x2028, 0x2029: self = .lineEnd
            case 0x200c, 0x200d: self = .joiner
            // Which of two forms of the character before is meant, as of ❤ and ❤️.
            case 0xfe00...0xfe0f: self = .mark
            default: self = Self.byProperties(scalar.properties)
            }
        }

        private static func byProperties(_ properties: Unicode.Scalar.Properties) -> Kind {
            if properties.isDefaultIgnorableCodePoint || properties.isNoncharacterCodePoint { return .invisible }
            switch properties.generalCategory {
            case .control: return .control
            case .format, .surrogate, .lineSeparator, .paragraphSeparator: return .invisible
            case .nonspacingMark, .enclosingMark: return .mark
            default: return .shown
            }
        }
    }

    private static func clean(_ text: some StringProtocol, keepsLines: Bool, limitBytes: Int) -> String {
        if text.utf8.count <= limitBytes, text.utf8.allSatisfy({ (0x20..<0x7f).contains($0) }) { return String(text) }
        var kept = String.UnicodeScalarView()
        var bytes = 0
        var marks = 0
        var rest = text.unicodeScalars[...]
        while let scalar = rest.popFirst() {
            let shown: Unicode.Scalar
            switch Kind(scalar) {
            case .shown:
                marks = 0
                shown = scalar
            case .mark:
                marks += 1
                guard marks <= marksOnOneBase else { continue }
                shown = scalar
            case .joiner:
                guard let before = kept.last, let next = rest.first, joins(before), joins(next) else { continue }
                shown = scalar
            case .tab: shown = keepsLines ? scalar : " "
            case .carriageReturn:
                if rest.first == "\n" { continue }
                shown = keepsLines ? "\n" : " "
            case .lineEnd: shown = keepsLines ? "\n" : " "
            case .control:
                guard kept.last != "\u{fffd}" else { continue }
                shown = "\u{fffd}"
            case .invisible: continue
            }
            bytes += UTF8.width(shown)
            if bytes > limitBytes { return cut(kept, limitBytes) }
            kept.append(shown)
        }
        return String(kept)
    }

    private static func joins(_ scalar: Unicode.Scalar) -> Bool {
        guard scalar.value >= 0x80, scalar != "\u{fffd}" else { return false }
        return isPrintable(scalar)
    }

    private static func cut(_ kept: String.UnicodeScalarView, _ limitBytes: Int) -> String {
        var kept = kept
        var bytes = String(kept).utf8.count
        while let last = kept.last, bytes + ellipsis.utf8.count > limitBytes {
            bytes -= UTF8.width(last)
            kept.removeLast()
        }
        return limitBytes < ellipsis.utf8.count ? "" : String(kept) + ellipsis
    }
}
