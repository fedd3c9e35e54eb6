public import Wire

/// What a message says, read from its fields and options.
extension DHCPMessage {
    /// RFC 2131 §2: the client cannot receive unicast before it has an address.
    public var wantsBroadcast: Bool {
        get { flags & 0x8000 != 0 }
        set { flags = newValue ? flags | 0x8000 : flags & 0x7fff }
    }

    /// The client's Ethernet address; nil where `chaddr` holds something else.
    public var mac: MACAddress? {
        get {
            guard hardwareType == 1 || hardwareType == 6, hardwareLength == 6 else { return nil }
            return MACAddress(value: hardwareHigh >> 16)
        }
        set {
            hardwareType = 1
            hardwareLength = newValue == nil ? 0 : 6
            hardwareHigh = (newValue?.value ?? 0) << 16
            hardwareLow = 0
        }
    }

    /// Nil where option 53 is missing or holds a type this server does not know.
    public var type: DHCPMessageType? { options.uint8(.messageType).flatMap(DHCPMessageType.init(rawValue:)) }
    public var requestedAddress: IPv4Address? { options.address(.requestedAddress) }
    public var serverIdentifier: IPv4Address? { options.address(.serverIdentifier) }
    public var leaseSeconds: UInt32? { options.uint32(.leaseTime) }
    public var renewalSeconds: UInt32? { options.uint32(.renewalTime) }
    public var rebindingSeconds: UInt32? { options.uint32(.rebindingTime) }
    public var subnetMask: IPv4Address? { options.address(.subnetMask) }
    public var routers: [IPv4Address] { addresses(.router) }
    public var domainNameServers: [IPv4Address] { addresses(.domainNameServer) }
    public var vendorClass: String? { options.text(.vendorClass) }

    /// Option 12 where it is sane: 1 to 255 bytes of printable text.
    public var hostname: String? {
        guard let text = options.text(.hostName), !text.isEmpty, text.utf8.count <= 255,
            text.unicodeScalars.allSatisfy({ PrintableText.isPrintable($0) })
        else { return nil }
        return text
    }

    /// The boot file: option 67, or else the `file` field.
    public var bootFile: String? {
        if let name = options.text(.bootFileName), !name.isEmpty { return name }
        return bootFileField.isEmpty ? nil : String(decoding: bootFileField, as: UTF8.self)
    }

    /// RFC 3004's list of user classes, or the one bare name that iPXE sends.
    public var userClasses: [[UInt8]] {
        guard let value = options[.userClass], !value.isEmpty else { return [] }
        var classes: [[UInt8]] = []
        var rest = value
        while let length = rest.first {
            guard length > 0, Int(length) < rest.count else { return [Array(value)] }
            classes.append(Array(rest.dropFirst().prefix(Int(length))))
            rest = rest.dropFirst(1 + Int(length))
        }
        return classes
    }

    /// The first of the architectures in option 93 (RFC 4578 §2.1).
    public var architecture: ClientArchitecture? {
        options.uint16(.clientArchitecture).map(ClientArchitecture.init(rawValue:))
    }

    /// The 16 bytes of option 97, type 0 (RFC 4578 §2.3), as they came.
    public var machineIdentifier: [UInt8]? {
        guard let value = options[.clientMachineIdentifier], value.count == 17, value.first == 0 else { return nil }
        return Array(value.dropFirst())
    }

    public var isPXEClient: Bool { vendorClassStarts("PXEClient") }
    public var isHTTPClient: Bool { vendorClassStarts("HTTPClient") }
    public var isIPXE: Bool {
        guard options.contains(.userClass) else { return false }
        return userClasses.contains { $0.elementsEqual("iPXE".utf8) }
    }

    /// iPXE's encapsulated options; nil where absent or damaged.
    public var ipxe: IPXEOptions? {
        guard let value = options[.ipxe] else { return nil }
        return try? IPXEOptions(parsing: value)
    }

    /// Option 121 (RFC 3442); nil where absent or damaged.
    public var classlessRoutes: [ClasslessRoute]? { options[.classlessRoutes].flatMap(ClasslessRoute.decode) }

    /// RFC 3527: the relay's word on which network the client is on, else `giaddr`.
    /// Nil for a client on the wire itself.
    public var relayedNetwork: IPv4Address? {
        if relayAddress == .any { return nil }
        if let value = options[.relayAgentInformation], let information = try? DHCPOptions(parsing: value),
            let link = information[5], let address = IPv4Address(link)
        {
            return address
        }
        return relayAddress
    }

    /// An address in the network the client is on, to choose the server by; nil
    /// for a client that has none yet and is on the receiving interface's wire.
    public var networkHint: IPv4Address? { relayedNetwork ?? (clientAddress == .any ? nil : clientAddress) }

    /// Whom a lease belongs to: the client identifier where there is one, else
    /// the MAC address. An identifier that only repeats the MAC address counts
    /// as that, so a machine keeps its address from firmware to iPXE to agent.
    public func clientKey(mac: MACAddress) -> DHCPClientKey {
        guard let identifier = options[.clientIdentifier], identifier.count >= 2 else { return .mac(mac) }
        if identifier.count == 7, identifier.first == 1 {
            let value = identifier.dropFirst().reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
            if value == mac.value { return .mac(mac) }
        }
        return .identifier(Array(identifier.prefix(DHCPClientKey.maximumIdentifierBytes)))
    }

    private func vendorClassStarts(_ prefix: StaticString) -> Bool {
        guard let value = options[.vendorClass] else { return false }
        return prefix.withUTF8Buffer { value.starts(with: $0) }
    }

    private func addresses(_ code: DHCPOptionCode) -> [IPv4Address] {
        guard let value = options[code], value.count.isMultiple(of: 4) else { return [] }
        return stride(from: value.startIndex, to: value.endIndex, by: 4).compactMap { IPv4Address(value[$0..<$0 + 4]) }
    }
}
