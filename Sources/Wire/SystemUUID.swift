/// A machine's UUID, in whatever form firmware, a BMC or a tool writes it.
///
/// SMBIOS before 2.6, IPMI and some BMCs have its first three fields in the other byte order, and some tools print all sixteen
/// bytes backwards: such forms are one UUID here.
public struct SystemUUID: Sendable, Hashable, CustomStringConvertible {
    /// As it was written, 16 bytes.
    public let bytes: [UInt8]

    /// Takes any case, and dashes, colons, spaces, braces and `urn:uuid:` around 32 hex digits; nil: it is no UUID.
    public init?(_ text: some StringProtocol) {
        var plain = text.lowercased()[...]
        guard plain.utf8.count <= 128 else { return nil }
        while let first = plain.first, first.isWhitespace || first == "{" { plain = plain.dropFirst() }
        for prefix in ["urn:uuid:", "0x"] where plain.hasPrefix(prefix) { plain = plain.dropFirst(prefix.count) }
        let digits = plain.filter { !"-:{} \t_".contains($0) }
        guard digits.utf8.count == 32, let bytes = Hex.decode(digits) else { return nil }
        self.bytes = bytes
    }

    /// From exactly 16 bytes.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 16 else { return nil }
        self.bytes = Array(bytes)
    }

    /// The orders in which it may be written: as it is, with the first fields swapped, and both backwards. All that follow from
    /// these are listed, so that every form of one UUID has the same ones.
    public var orders: [[UInt8]] {
        let forwards = [bytes, Self.swapped(bytes), Self.swappedBehind(bytes), Self.swappedBehind(Self.swapped(bytes))]
        return forwards + forwards.map { $0.reversed() }
    }

    /// Alike for all forms of one UUID.
    public var canonical: [UInt8] { orders.min { $0.lexicographicallyPrecedes($1) } ?? bytes }

    public static func == (left: Self, right: Self) -> Bool { left.canonical == right.canonical }
    public func hash(into hasher: inout Hasher) { hasher.combine(canonical) }

    public var description: String {
        let hex = Array(Hex.encode(bytes))
        return [hex[0..<8], hex[8..<12], hex[12..<16], hex[16..<20], hex[20..<32]].map { String($0) }.joined(separator: "-")
    }

    private static func swapped(_ bytes: [UInt8]) -> [UInt8] {
        [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].map { bytes[$0] }
    }

    /// What swapping does to one that is written backwards.
    private static func swappedBehind(_ bytes: [UInt8]) -> [UInt8] { swapped(bytes.reversed()).reversed() }
}
