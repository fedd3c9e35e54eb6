public import Wire

/// Who asks to be booted, and how: what the boot gate decides on.
public struct BootQuestion: Hashable, Sendable {
    public var mac: MACAddress
    /// Option 97 as it came, 16 bytes.
    public var machineIdentifier: [UInt8]?
    public var architecture: ClientArchitecture?
    /// iPXE itself asks: it wants a script's URL.
    public var isIPXE: Bool
    public var isHTTPClient: Bool
    public var isPXEClient: Bool

    public init(
        mac: MACAddress, machineIdentifier: [UInt8]? = nil, architecture: ClientArchitecture? = nil,
        isIPXE: Bool = false, isHTTPClient: Bool = false, isPXEClient: Bool = false
    ) {
        self.mac = mac
        self.machineIdentifier = machineIdentifier
        self.architecture = architecture
        self.isIPXE = isIPXE
        self.isHTTPClient = isHTTPClient
        self.isPXEClient = isPXEClient
    }

    /// Nil for a message that is no request of an Ethernet client that boots
    /// from the network: an operating system's DHCP client asks no such question.
    public init?(_ message: DHCPMessage) {
        guard !message.isReply, let mac = message.mac else { return nil }
        let isIPXE = message.isIPXE
        let isHTTPClient = message.isHTTPClient
        let isPXEClient = message.isPXEClient
        guard isIPXE || isHTTPClient || isPXEClient else { return nil }
        self.init(
            mac: mac, machineIdentifier: message.machineIdentifier, architecture: message.architecture,
            isIPXE: isIPXE, isHTTPClient: isHTTPClient, isPXEClient: isPXEClient)
    }

    /// The SMBIOS system UUID as text. Firmware sends SMBIOS's bytes unchanged,
    /// whose first three fields are little-endian (SMBIOS §7.2.1).
    public var uuid: String? {
        guard let id = machineIdentifier, id.count == 16 else { return nil }
        let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15]
        let hex = Array(Hex.encode(order.map { id[$0] }).utf8)
        return [0..<8, 8..<12, 12..<16, 16..<20, 20..<32]
            .map { String(decoding: hex[$0], as: UTF8.self) }.joined(separator: "-")
    }
}

/// What a machine that asked is to load.
public struct BootAnswer: Hashable, Sendable {
    /// Where the file is fetched from, by TFTP; 0.0.0.0 for none.
    public var nextServer: IPv4Address
    /// A file name, or for iPXE and HTTP clients a URL. At most 255 bytes.
    public var bootFile: String

    public init(nextServer: IPv4Address, bootFile: String) {
        self.nextServer = nextServer
        self.bootFile = bootFile
    }
}
