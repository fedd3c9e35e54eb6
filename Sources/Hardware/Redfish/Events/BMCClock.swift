public import Model

/// Times as BMCs write them: DSP0266 §7.5.3 wants RFC 3339 with an offset; some leave out the offset's colon, or all of it.
public enum BMCClock {
    /// Nil where it is no time.
    public static func time(_ text: String?) -> Timestamp? {
        guard let text, (19...40).contains(text.utf8.count) else { return nil }
        if text.hasSuffix("Z") { return Timestamp(text) }
        let date = text.prefix(19)
        var rest = text.dropFirst(19)
        var fraction = ""
        if rest.first == "." {
            fraction = String(rest.prefix { $0 == "." || $0.isNumber })
            rest = rest.dropFirst(fraction.count)
        }
        guard let local = Timestamp("\(date)\(fraction)Z") else { return nil }
        guard let sign = rest.first else { return local }
        let digits = rest.dropFirst().filter { $0 != ":" }
        guard sign == "+" || sign == "-", digits.count == 4, let hours = Int(digits.prefix(2)), let minutes = Int(digits.suffix(2)),
            hours < 24, minutes < 60
        else { return nil }
        let offset = Duration.seconds(hours * 3600 + minutes * 60)
        return local + (sign == "+" ? Duration.zero - offset : offset)
    }
}
