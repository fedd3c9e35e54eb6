internal import Wire

/// Builds the replies of one network's server.
struct DHCPReplyComposer: Sendable {
    private struct Prepared: Sendable {
        let code: UInt8
        let always: Bool
        let value: [UInt8]
    }

    private let serverAddress: IPv4Address
    private let mask: IPv4Address
    /// What the network says to everybody, the most important first.
    private let prepared: [Prepared]

    /// PXE_DISCOVERY_CONTROL = 8: load the file named here, ask nobody else (PXE 2.1 table 2-1).
    private static let bootDirectly: [UInt8] = [6, 1, 8, 255]
    private static let bootItemCode: UInt8 = 71

    init(_ configuration: DHCPServerConfiguration) {
        serverAddress = configuration.serverAddress
        mask = configuration.prefix.mask
        var prepared: [Prepared] = []
        func add(_ code: DHCPOptionCode, _ value: [UInt8], always: Bool = false) {
            if !value.isEmpty { prepared.append(Prepared(code: code.rawValue, always: always, value: value)) }
        }
        add(.router, configuration.router?.bytes ?? [], always: true)
        add(.domainNameServer, configuration.dns.flatMap(\.bytes), always: true)
        if !configuration.classlessRoutes.isEmpty {
            // A client that takes these ignores option 3 (RFC 3442), so the default route is in both.
            var routes = configuration.classlessRoutes
            if let router = configuration.router, !routes.contains(where: { $0.destination.length == 0 }),
                let everything = IPv4Prefix(address: .any, length: 0)
            {
                routes.append(ClasslessRoute(destination: everything, router: router))
            }
            add(.classlessRoutes, ClasslessRoute.encode(routes))
        }
        add(.broadcastAddress, configuration.prefix.length < 31 ? configuration.prefix.broadcast.bytes : [])
        add(.domainName, Array((configuration.domain ?? "").utf8))
        add(.ntpServers, configuration.ntp.flatMap(\.bytes))
        if let mtu = configuration.mtu { add(.interfaceMTU, [UInt8(mtu >> 8), UInt8(mtu & 0xff)]) }
        let own = Self.ownCodes.union(prepared.map(\.code))
        var extra: Set<UInt8> = []
        for option in configuration.extraOptions
        where !own.contains(option.code) && extra.insert(option.code).inserted {
            prepared.append(Prepared(code: option.code, always: option.always, value: option.value))
        }
        self.prepared = prepared
    }

    /// Options the protocol itself sets; extra options cannot replace them.
    private static let ownCodes: Set<UInt8> = [
        0, 1, 12, 43, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 67, 82, 97, 175, 255,
    ]

    /// An OFFER, or an ACK; one without `leaseSeconds` answers INFORM.
    func reply(
        _ type: DHCPMessageType, to message: DHCPMessage, yourAddress: IPv4Address, leaseSeconds: UInt32?,
        hostname: String?, boot: BootAnswer?
    ) -> DHCPMessage {
        var reply = start(type, message)
        reply.yourAddress = yourAddress
        if type == .acknowledge { reply.clientAddress = message.clientAddress }
        if let leaseSeconds { reply.options.append(.leaseTime, word: leaseSeconds) }
        reply.options.append(.subnetMask, word: mask.value)
        if let boot { add(boot, to: &reply, for: message) }
        let asked = message.options[.parameterRequestList]
        for option in prepared where option.always || asked?.contains(option.code) ?? true {
            reply.options.append(option.code, option.value[...])
        }
        if let leaseSeconds {
            reply.options.append(.renewalTime, word: leaseSeconds / 2)
            reply.options.append(.rebindingTime, word: UInt32(UInt64(leaseSeconds) * 7 / 8))
        }
        if let hostname { reply.options.append(.hostName, Array(hostname.utf8.prefix(255))) }
        echo(message, in: &reply)
        return reply
    }

    /// A reply that gives a boot file and no address.
    func bootReply(_ type: DHCPMessageType, to message: DHCPMessage, boot: BootAnswer) -> DHCPMessage {
        var reply = start(type, message)
        if type == .acknowledge { reply.clientAddress = message.clientAddress }
        add(boot, to: &reply, for: message)
        echo(message, in: &reply)
        return reply
    }

    /// RFC 2131 table 3: a NAK carries nothing but why.
    func refusal(to message: DHCPMessage, why: String) -> DHCPMessage {
        var reply = start(.refuse, message)
        // The relay must broadcast it: the client's address is wrong (RFC 2131 §4.3.2).
        if message.relayAddress != .any { reply.wantsBroadcast = true }
        reply.options.append(.message, Array(why.utf8))
        if let identifier = message.options[.clientIdentifier] {
            reply.options.append(DHCPOptionCode.clientIdentifier.rawValue, identifier)
        }
        echoRelay(message, in: &reply)
        return reply
    }

    private func start(_ type: DHCPMessageType, _ message: DHCPMessage) -> DHCPMessage {
        var reply = DHCPMessage()
        reply.isReply = true
        reply.hardwareType = message.hardwareType
        reply.hardwareLength = message.hardwareLength
        reply.hardwareHigh = message.hardwareHigh
        reply.hardwareLow = message.hardwareLow
        reply.transactionID = message.transactionID
        reply.flags = message.flags
        reply.relayAddress = message.relayAddress
        if let size = message.options.uint16(.maximumMessageSize) {
            // It counts the IP and UDP headers of 28 bytes.
            reply.sizeLimitBytes = min(
                max(Int(size) - 28, DHCPMessage.minimumSizeLimitBytes), DHCPMessage.maximumSizeLimitBytes)
        } else {
            reply.sizeLimitBytes = DHCPMessage.minimumSizeLimitBytes
        }
        reply.options.reserve(320)
        reply.options.append(.messageType, byte: type.rawValue)
        reply.options.append(.serverIdentifier, serverAddress)
        return reply
    }

    private func add(_ boot: BootAnswer, to reply: inout DHCPMessage, for message: DHCPMessage) {
        let isHTTP = message.isHTTPClient
        reply.nextServer = boot.nextServer
        let name = Array(boot.bootFile.utf8.prefix(255))
        let asked = message.options[.parameterRequestList]?.contains(DHCPOptionCode.bootFileName.rawValue) ?? false
        if name.count < DHCPMessage.bootFileBytes { reply.bootFileField = name }
        if isHTTP || asked || name.count >= DHCPMessage.bootFileBytes { reply.options.append(.bootFileName, name) }
        if isHTTP {
            // UEFI 2.10 §24.7.3.1: an offer without it is not one of HTTP boot.
            reply.options.append(.vendorClass, Array("HTTPClient".utf8))
        } else if message.isPXEClient {
            reply.options.append(.vendorClass, Array("PXEClient".utf8))
            reply.options.append(.vendorSpecific, vendorSpecific(for: message))
        }
        if message.isIPXE { reply.options.append(.ipxe, IPXEOptions(noPXEDHCP: true).encoded) }
    }

    private func vendorSpecific(for message: DHCPMessage) -> [UInt8] {
        // A boot server's answer repeats the item that was chosen (PXE 2.1 table 2-6).
        guard let value = message.options[.vendorSpecific], let options = try? DHCPOptions(parsing: value),
            let item = options[Self.bootItemCode], item.count == 4
        else { return Self.bootDirectly }
        return [Self.bootItemCode, 4] + item + Self.bootDirectly
    }

    private func echo(_ message: DHCPMessage, in reply: inout DHCPMessage) {
        // RFC 6842 and RFC 4578 §2.3.
        for code in [DHCPOptionCode.clientIdentifier, .clientMachineIdentifier] {
            if let value = message.options[code] { reply.options.append(code.rawValue, value) }
        }
        echoRelay(message, in: &reply)
    }

    private func echoRelay(_ message: DHCPMessage, in reply: inout DHCPMessage) {
        guard message.relayAddress != .any, let value = message.options[.relayAgentInformation] else { return }
        reply.options.append(DHCPOptionCode.relayAgentInformation.rawValue, value)
    }
}
