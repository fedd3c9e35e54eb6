import Testing
import Wire

@Suite("Text that may be shown") struct PrintableTextTests {
    @Test("plain text stays as it is") func plain() {
        for text in ["", "debian-12", "Größe 日本 한글", "🎄 ❤️ 👩‍🚀 👨‍👩‍👧", "سلام می‌خواهم", "क्‍ष", "e\u{301}"] {
            #expect(PrintableText.line(text) == text)
            #expect(PrintableText.lines(text) == text)
        }
    }

    @Test("what a terminal obeys becomes one sign") func controls() {
        #expect(PrintableText.line("a\u{1b}[2Jb\u{7}") == "a�[2Jb�")
        #expect(PrintableText.line("\u{1b}\u{1b}\u{0}x") == "�x")
        // The window's name, and a link, by ESC and by the C1 control that stands for ESC and a bracket.
        #expect(PrintableText.line("\u{1b}]0;root@bank\u{7}") == "�]0;root@bank�")
        #expect(PrintableText.line("\u{9d}8;;https://x\u{9c}y") == "�8;;https://x�y")
        #expect(PrintableText.line("\u{9b}31m") == "�31m")
        #expect(PrintableText.line("a\u{7f}b\u{8}c") == "a�b�c")
    }

    @Test("a line has no line ends, lines have one kind of them") func lineEnds() {
        #expect(PrintableText.line("a\r\nb\rc\nd\u{85}e\u{2028}f\u{2029}g\th") == "a b c d e f g h")
        #expect(PrintableText.lines("a\r\nb\rc\nd\u{85}e\u{2028}f\th") == "a\nb\nc\nd\ne\nf\th")
        // A carriage return would write over what stands at the line's start.
        #expect(PrintableText.lines("ok\rFAILED") == "ok\nFAILED")
    }

    @Test("what turns text around, or takes no place, goes") func invisible() {
        for scalar: Unicode.Scalar in [
            "\u{202a}", "\u{202b}", "\u{202c}", "\u{202d}", "\u{202e}", "\u{2066}", "\u{2067}", "\u{2068}", "\u{2069}", "\u{200b}",
            "\u{200e}", "\u{200f}", "\u{61c}", "\u{2060}", "\u{2064}", "\u{206a}", "\u{feff}", "\u{ad}", "\u{180e}", "\u{fff9}", "\u{e0001}",
            "\u{e0041}", "\u{e0100}", "\u{3164}", "\u{115f}", "\u{34f}", "\u{fffe}", "\u{1ffff}", "\u{1d173}",
        ] {
            #expect(PrintableText.line("a\(scalar)b") == "ab", "U+\(String(scalar.value, radix: 16))")
            #expect(!PrintableText.isPrintable(scalar))
        }
        // Joiners stay only where they join.
        #expect(PrintableText.line("a\u{200d}b\u{200c}") == "ab")
        #expect(PrintableText.line("日\u{200d}") == "日")
        #expect(PrintableText.line("🚀\u{200d}\u{200d}\u{1b}") == "🚀�")
    }

    @Test("marks are not piled up without end") func marks() {
        let pile = "a" + String(repeating: "\u{301}", count: 500) + "b"
        #expect(PrintableText.line(pile).unicodeScalars.count == 10)
    }

    @Test("text is cut between characters, and says so") func length() {
        #expect(PrintableText.line("0123456789", limitBytes: 10) == "0123456789")
        #expect(PrintableText.line("0123456789a", limitBytes: 10) == "0123456…")
        #expect(PrintableText.line("日本日本", limitBytes: 11) == "日本…")
        for limit in 0...40 {
            let text = PrintableText.lines("日\u{1b}🚀é\n\u{202e}aé日\u{200b}🚀", limitBytes: limit)
            #expect(text.utf8.count <= limit)
        }
    }

    @Test("no scalar value comes through that may not, and cleaning twice is cleaning once") func everyScalar() {
        var wrong: [String] = []
        for value in UInt32(0)...0x10ffff {
            guard let scalar = Unicode.Scalar(value) else { continue }
            let text = PrintableText.lines("x\(scalar)")
            let category = scalar.properties.generalCategory
            let isLeftOver = category == .control && scalar != "\n" && scalar != "\t" && text.unicodeScalars.contains(scalar)
            if isLeftOver || (category == .format && text != "x") || PrintableText.lines(text) != text {
                wrong.append(String(value, radix: 16))
            }
        }
        #expect(wrong.isEmpty)
    }
}
