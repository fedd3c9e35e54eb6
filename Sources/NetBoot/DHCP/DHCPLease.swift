public import Wire

/// Whom an address belongs to. Text form: `52:54:00:12:34:56`, or `id:` and
/// the client identifier in hexadecimal.
public enum DHCPClientKey: Hashable, Sendable, Codable, CustomStringConvertible {
    /// No client identifier, or one that only repeats the MAC address.
    case mac(MACAddress)
    /// Option 61 (RFC 2132 §9.14, RFC 4361).
    case identifier([UInt8])

    /// Longer identifiers are cut: RFC 4361's are at most 137 bytes.
    public static let maximumIdentifierBytes = 255

    public init?(_ text: String) {
        if text.hasPrefix("id:") {
            guard let bytes = Hex.decode(text.dropFirst(3)), !bytes.isEmpty,
                bytes.count <= Self.maximumIdentifierBytes
            else { return nil }
            self = .identifier(bytes)
        } else {
            guard let mac = MACAddress(text) else { return nil }
            self = .mac(mac)
        }
    }

    public var description: String {
        switch self {
        case .mac(let mac): mac.description
        case .identifier(let bytes): "id:" + Hex.encode(bytes)
        }
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let key = DHCPClientKey(text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a DHCP client: \(text)")
        }
        self = key
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// An address given to a client for a time.
public struct DHCPLease: Hashable, Sendable, Codable {
    public enum State: String, Hashable, Sendable, Codable {
        /// Offered and held for a short while; never durable.
        case offered
        /// Granted; over once `expiresMilliseconds` has passed.
        case bound
        /// Given back by the client; kept so that it gets the same address again.
        case released
        /// The client found it in use by somebody else: given to nobody until `expiresMilliseconds`.
        case declined
    }

    public var address: IPv4Address
    public var client: DHCPClientKey
    public var mac: MACAddress
    /// What the client calls itself (option 12): untrusted text without control characters.
    public var hostname: String?
    /// Since 1970-01-01 UTC.
    public var grantedMilliseconds: Int64
    /// Since 1970-01-01 UTC.
    public var expiresMilliseconds: Int64
    public var state: State
    /// Of a known machine's released lease: given to nobody else until then. Who released it can only be taken at the word of
    /// its packet. Since 1970-01-01 UTC.
    public var keptUntilMilliseconds: Int64?

    public init(
        address: IPv4Address, client: DHCPClientKey, mac: MACAddress, hostname: String? = nil,
        grantedMilliseconds: Int64, expiresMilliseconds: Int64, state: State
    ) {
        self.address = address
        self.client = client
        self.mac = mac
        self.hostname = hostname
        self.grantedMilliseconds = grantedMilliseconds
        self.expiresMilliseconds = expiresMilliseconds
        self.state = state
    }

    public func isActive(atMilliseconds now: Int64) -> Bool { state == .bound && expiresMilliseconds > now }
}
