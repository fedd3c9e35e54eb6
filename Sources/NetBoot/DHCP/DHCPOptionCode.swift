/// The number of a DHCPv4 option (RFC 2132 and the IANA registry).
public struct DHCPOptionCode: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    private init(_ rawValue: UInt8) { self.rawValue = rawValue }

    public static let pad = Self(0)
    public static let subnetMask = Self(1)
    public static let router = Self(3)
    public static let domainNameServer = Self(6)
    public static let hostName = Self(12)
    public static let domainName = Self(15)
    public static let interfaceMTU = Self(26)
    public static let broadcastAddress = Self(28)
    public static let ntpServers = Self(42)
    public static let vendorSpecific = Self(43)
    public static let requestedAddress = Self(50)
    public static let leaseTime = Self(51)
    public static let overload = Self(52)
    public static let messageType = Self(53)
    public static let serverIdentifier = Self(54)
    public static let parameterRequestList = Self(55)
    public static let message = Self(56)
    public static let maximumMessageSize = Self(57)
    public static let renewalTime = Self(58)
    public static let rebindingTime = Self(59)
    public static let vendorClass = Self(60)
    public static let clientIdentifier = Self(61)
    public static let tftpServerName = Self(66)
    public static let bootFileName = Self(67)
    /// RFC 3004; iPXE writes its bare name.
    public static let userClass = Self(77)
    /// RFC 3046.
    public static let relayAgentInformation = Self(82)
    /// RFC 4578 §2.1.
    public static let clientArchitecture = Self(93)
    /// RFC 4578 §2.2.
    public static let clientNetworkInterface = Self(94)
    /// RFC 4578 §2.3.
    public static let clientMachineIdentifier = Self(97)
    /// RFC 3442.
    public static let classlessRoutes = Self(121)
    /// Etherboot and iPXE encapsulated options.
    public static let ipxe = Self(175)
    public static let end = Self(255)
}

/// The message types of RFC 2132 §9.6.
public enum DHCPMessageType: UInt8, Hashable, Sendable, CaseIterable {
    case discover = 1
    case offer, request, decline, acknowledge, refuse, release, inform
}

/// Why bytes are no DHCP message. Such a message is dropped and counted.
public enum DHCPParseError: Error, Hashable, Sendable {
    /// Less than the fixed header and the magic cookie, 240 bytes.
    case tooShort(bytes: Int)
    /// More than ``DHCPMessage/maximumParsedBytes``.
    case tooLong(bytes: Int)
    /// `op` is neither request (1) nor reply (2).
    case unknownOperation(UInt8)
    /// `hlen` is over 16.
    case badHardwareLength(UInt8)
    /// Not 99.130.83.99: plain BOOTP or something else.
    case badMagicCookie
    /// The option's length runs past the end of its field.
    case truncatedOption(code: UInt8)
    /// Option 52 with a value other than 1, 2 or 3.
    case badOverload
}
