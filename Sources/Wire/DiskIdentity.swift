/// What a disk says that it is called, brought into the form in which it is compared; nil where that names nothing.
public enum DiskIdentity {
    /// A world wide name: an NAA name, EUI-64, NGUID or namespace UUID, as 16, 24 or 32 lowercase hexadecimal digits.
    ///
    /// Prefixes as `naa.`, `eui.`, `uuid.`, `wwn-0x` and separators do not count. A name that controllers make up of the
    /// serial number (`nvme.…`, `t10.…`) is no more than that serial number, and a value that many devices share is none.
    public static func worldWide(_ text: String) -> String? {
        var rest = trimmed(text).lowercased()[...]
        for prefix in ["wwn-", "naa.", "eui.", "nguid.", "uuid.", "0x"] where rest.hasPrefix(prefix) { rest = rest.dropFirst(prefix.count) }
        guard rest.utf8.count <= longestText else { return nil }
        let digits = rest.filter { $0 != "-" && $0 != ":" && $0 != " " }
        guard [16, 24, 32].contains(digits.utf8.count), digits.utf8.allSatisfy(isHex), !isFiller(worldWide: digits) else { return nil }
        return digits
    }

    /// A serial number without outer spaces. Case and inner spaces are part of it.
    public static func serial(_ text: String) -> String? {
        let trimmed = trimmed(text)
        return isFiller(serial: trimmed) ? nil : trimmed
    }

    /// A UUID with hyphens has 36 characters, eight bytes with colons 23.
    private static let longestText = 64

    private static func isHex(_ byte: UInt8) -> Bool { (48...57).contains(byte) || (97...102).contains(byte) }

    /// All zeros, all F, a small number, or counting: what firmware holds that nobody has given a name.
    private static func isFiller(worldWide digits: String) -> Bool {
        // The first digit of an NAA name is its kind; 5 and then zeros names nothing either.
        let value = Array(digits.utf8.dropFirst())
        if value.dropLast(2).allSatisfy({ $0 == UInt8(ascii: "0") }) || Set(value).count == 1 { return true }
        return isCounting(digits)
    }

    /// What makers leave where a serial number should be.
    private static func isFiller(serial: String) -> Bool {
        let folded = serial.lowercased()
        if words.contains(folded) || folded.hasPrefix("to be ") { return true }
        let significant = String(folded.unicodeScalars.filter { $0.properties.isAlphabetic || $0.properties.numericType != nil })
        // A single digit or letter may be a virtual disk's real name.
        if significant.isEmpty || significant.allSatisfy({ $0 == "0" }) { return true }
        return significant.utf8.count >= 4 && (Set(significant).count == 1 || isCounting(significant))
    }

    private static let words: Set<String> = [
        "none", "null", "n/a", "na", "unknown", "undefined", "empty", "invalid", "not specified", "not available", "not applicable",
        "not present", "default string", "default", "serial", "serial number", "serialnumber", "system serial number", "sn", "oem",
        "o.e.m.", "deadbeef", "filled by oem", "fill by oem", "no serial", "noserial", "virtual disk", "test",
    ]

    /// `0123456789…`, `123456789abcdef…` and their like, six digits at least.
    private static func isCounting(_ text: String) -> Bool {
        guard text.utf8.count >= 6 else { return false }
        let decimal = String(repeating: "0123456789", count: 8)
        let hexadecimal = String(repeating: "0123456789abcdef", count: 4)
        let mixed = String(repeating: "1234567890abcdef", count: 4)
        return [decimal, hexadecimal, mixed].contains { $0.contains(text) || String($0.reversed()).contains(text) }
    }

    private static func trimmed(_ text: String) -> String {
        var rest = text[...]
        while let first = rest.first, first.isWhitespace { rest = rest.dropFirst() }
        while let last = rest.last, last.isWhitespace { rest = rest.dropLast() }
        return String(rest)
    }
}
