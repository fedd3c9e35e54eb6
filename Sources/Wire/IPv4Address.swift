/// An IPv4 address. Text form: dotted decimal, `10.0.0.1`.
public struct IPv4Address: Hashable, Sendable, Comparable, Codable, CustomStringConvertible {
    /// Host byte order: 10.0.0.1 is 0x0a000001.
    public let value: UInt32

    public init(value: UInt32) { self.value = value }

    public init?(_ bytes: some Collection<UInt8>) {
        guard bytes.count == 4 else { return nil }
        value = bytes.reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// Strict dotted decimal: four parts, no leading zeros, no spaces.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt32 = 0
        for part in parts {
            guard !part.isEmpty, part.utf8.count <= 3, part.utf8.allSatisfy({ (48...57).contains($0) }),
                part.utf8.count == 1 || part.utf8.first != UInt8(ascii: "0"), let octet = UInt8(part)
            else { return nil }
            value = value << 8 | UInt32(octet)
        }
        self.value = value
    }

    public static let any = IPv4Address(value: 0)
    public static let broadcast = IPv4Address(value: .max)

    public var bytes: [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }
    public var description: String { bytes.map(String.init).joined(separator: ".") }
    public static func < (left: Self, right: Self) -> Bool { left.value < right.value }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let address = IPv4Address(text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not an IPv4 address: \(text)")
        }
        self = address
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// An IPv4 network with its prefix length: `10.77.0.0/24`, or an interface's
/// own address in it: `10.77.0.1/24`.
public struct IPv4Prefix: Hashable, Sendable, Codable, CustomStringConvertible {
    public let address: IPv4Address
    /// 0 to 32.
    public let length: Int

    public init?(address: IPv4Address, length: Int) {
        guard (0...32).contains(length) else { return nil }
        self.address = address
        self.length = length
    }

    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPv4Address(parts[0]), let length = Int(parts[1]) else { return nil }
        self.init(address: address, length: length)
    }

    public var mask: IPv4Address { IPv4Address(value: length == 0 ? 0 : .max << UInt32(32 - length)) }
    public var network: IPv4Address { IPv4Address(value: address.value & mask.value) }
    public var broadcast: IPv4Address { IPv4Address(value: network.value | ~mask.value) }
    public func contains(_ other: IPv4Address) -> Bool { other.value & mask.value == network.value }
    public var description: String { "\(address)/\(length)" }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let prefix = IPv4Prefix(text) else {
            throw DecodingError.dataCorruptedError(
                in: container, debugDescription: "not an IPv4 network (address/length): \(text)")
        }
        self = prefix
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
