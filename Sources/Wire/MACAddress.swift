/// A 48-bit Ethernet address (IEEE 802). Text form: `52:54:00:12:34:56`.
public struct MACAddress: Hashable, Sendable, Comparable, Codable, CustomStringConvertible {
    /// The address in the low 48 bits.
    public let value: UInt64

    public init(value: UInt64) { self.value = value & 0xffff_ffff_ffff }

    /// From exactly six bytes.
    public init?(_ bytes: some Collection<UInt8>) {
        guard bytes.count == 6 else { return nil }
        value = bytes.reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// Accepts `52:54:00:12:34:56`, `52-54-00-12-34-56` and `525400123456`, in either case.
    public init?(_ text: some StringProtocol) {
        let separators = text.filter { $0 == ":" || $0 == "-" }
        guard separators.isEmpty || separators.count == 5 else { return nil }
        if !separators.isEmpty {
            guard text.split(whereSeparator: { $0 == ":" || $0 == "-" }).allSatisfy({ $0.utf8.count == 2 }) else {
                return nil
            }
        }
        guard let bytes = Hex.decode(String(text.filter { $0 != ":" && $0 != "-" })) else { return nil }
        self.init(bytes)
    }

    public var bytes: [UInt8] { (0..<6).map { UInt8(truncatingIfNeeded: value >> (40 - 8 * UInt64($0))) } }
    public var isMulticast: Bool { value >> 40 & 1 == 1 }
    /// Whether it was made up by whoever uses it, rather than given to a vendor (IEEE 802 §8.4, the U/L bit).
    public var isLocallyAdministered: Bool { value >> 41 & 1 == 1 }
    public static let broadcast = MACAddress(value: 0xffff_ffff_ffff)

    public var description: String { bytes.map { Hex.encode([$0]) }.joined(separator: ":") }
    public static func < (left: Self, right: Self) -> Bool { left.value < right.value }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let address = MACAddress(text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a MAC address: \(text)")
        }
        self = address
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
