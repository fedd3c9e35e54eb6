internal import Wire

/// Text as firmware and switches send it: made safe to show, junk told apart.
enum FirmwareText {
    /// The printable text in the first KiB of `bytes` up to the first NUL: what
    /// ``PrintableText`` does not show is dropped, outer spaces trimmed.
    static func decode(_ bytes: some Sequence<UInt8>) -> String {
        let text = String(decoding: bytes.prefix(1024).prefix { $0 != 0 }, as: UTF8.self)
        var kept = String.UnicodeScalarView()
        for scalar in text.unicodeScalars where PrintableText.isPrintable(scalar) { kept.append(scalar) }
        return trim(String(kept))
    }

    static func trim(_ text: some StringProtocol) -> String {
        var rest = text[...]
        while let first = rest.first, first.isWhitespace { rest = rest.dropFirst() }
        while let last = rest.last, last.isWhitespace { rest = rest.dropLast() }
        return String(rest)
    }

    /// `text`, or nil where it is what vendors leave in a field nobody filled.
    static func meaningful(_ text: String) -> String? {
        let trimmed = trim(text)
        let folded = trimmed.lowercased()
        if Filler.isFiller(text: folded) { return nil }
        let significant = folded.utf8.filter { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "-") }
        for filler in [UInt8(ascii: "0"), UInt8(ascii: "f"), UInt8(ascii: "x"), UInt8(ascii: ".")]
        where significant.allSatisfy({ $0 == filler }) {
            // One "F" or "X" may be a slot's or a revision's real name.
            if filler == UInt8(ascii: "0") || filler == UInt8(ascii: ".") || significant.count >= 4 { return nil }
        }
        return trimmed
    }
}
