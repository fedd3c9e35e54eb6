public import Wire

/// The DHCP server of one network as a state machine (RFC 2131 §4.3): messages
/// in, actions out. It has no sockets and no clock.
public struct DHCPServer: Sendable {
    public let configuration: DHCPServerConfiguration
    public private(set) var pool: LeasePool
    private let composer: DHCPReplyComposer
    private let isKnown: @Sendable (MACAddress) -> Bool

    /// `leases` are those that were durable when the server last ran; `isKnown` says whether a MAC address is a known
    /// machine's.
    public init(
        _ configuration: DHCPServerConfiguration, leases: some Sequence<DHCPLease> = [],
        isKnown: @escaping @Sendable (MACAddress) -> Bool = { _ in true }
    ) throws(DHCPConfigurationError) {
        try configuration.validate()
        self.configuration = configuration
        self.isKnown = isKnown
        pool = LeasePool(configuration, leases: leases, isKnown: isKnown)
        composer = DHCPReplyComposer(configuration)
    }

    /// The same server with another configuration; its leases are kept where
    /// they still fit.
    public func reconfigured(_ configuration: DHCPServerConfiguration) throws(DHCPConfigurationError) -> DHCPServer {
        try DHCPServer(configuration, leases: pool.leases, isKnown: isKnown)
    }

    /// Frees an address whoever has it.
    public mutating func forget(_ address: IPv4Address) { pool.forget(address) }

    /// As ``LeasePool/takeForgotten()``.
    public mutating func takeForgotten() -> [IPv4Address] { pool.takeForgotten() }

    /// - Parameter boot: what the boot gate answered to `BootQuestion(message)`;
    ///   nil for no network boot.
    public mutating func receive(
        _ message: DHCPMessage, on context: ReceiveContext, nowMilliseconds now: Int64, boot: BootAnswer?
    ) -> DHCPAction {
        if message.isReply { return observe(message) }
        guard let mac = message.mac, mac.value != 0, !mac.isMulticast else { return .drop(.notEthernet) }
        guard message.hops <= 16 else { return .drop(.tooManyHops) }
        guard let type = message.type else { return .drop(.notARequest) }
        if let network = message.relayedNetwork {
            guard isUnicast(message.relayAddress) else { return .drop(.badRelayAddress(message.relayAddress)) }
            guard configuration.prefix.contains(network) else { return .drop(.relayOfAnotherNetwork(network)) }
        }
        if context.port == 4011 { return bootService(message, type, context, boot) }
        if configuration.mode == .proxy { return proxy(message, type, boot) }

        let client = Client(
            message: message, mac: mac,
            isReserved: configuration.identifiesByMAC || pool.reservation(for: mac) != nil, now: now, boot: boot)
        if configuration.isRemote, message.relayedNetwork == nil, !mayComeUnrelayed(client, type) { return .drop(.notRelayed) }
        switch type {
        case .discover: return discover(client)
        case .request: return request(client)
        case .decline: return decline(client, context)
        case .release: return release(client, context)
        case .inform: return inform(client)
        case .offer, .acknowledge, .refuse: return .drop(.notARequest)
        }
    }

    /// A client renews, and gives back, past the relay (RFC 2131 §4.4.5). Whatever else is said of a network behind a relay on
    /// this wire, anybody here could say it.
    private func mayComeUnrelayed(_ client: Client, _ type: DHCPMessageType) -> Bool {
        switch type {
        case .discover, .decline: false
        case .request:
            client.message.serverIdentifier == nil && client.message.clientAddress != .any
                && pool.lease(of: client.key)?.address == client.message.clientAddress
        default: true
        }
    }

    private struct Client {
        let message: DHCPMessage
        let mac: MACAddress
        let key: DHCPClientKey
        let now: Int64
        let boot: BootAnswer?

        /// - Parameter isReserved: a machine with a reservation is one client,
        ///   whatever its firmware and its operating system call themselves.
        init(message: DHCPMessage, mac: MACAddress, isReserved: Bool, now: Int64, boot: BootAnswer?) {
            self.message = message
            self.mac = mac
            self.key = isReserved ? .mac(mac) : message.clientKey(mac: mac)
            self.now = now
            self.boot = boot
        }
    }

    // MARK: Another server on the wire

    private func observe(_ reply: DHCPMessage) -> DHCPAction {
        guard reply.type == .offer || reply.type == .acknowledge || reply.type == .refuse,
            let server = reply.serverIdentifier
        else { return .drop(.notARequest) }
        return server == configuration.serverAddress ? .drop(.ownReply) : .foreignServer(server)
    }

    // MARK: RFC 2131 §4.3.1

    private mutating func discover(_ client: Client) -> DHCPAction {
        let choice = pool.offer(
            to: client.key, mac: client.mac, requested: client.message.requestedAddress, nowMilliseconds: client.now)
        guard case .address(let address) = choice else {
            return .drop(choice == .unknownShareUsed ? .unknownShareUsed : .exhausted)
        }
        let reply = composer.reply(
            .offer, to: client.message, yourAddress: address, leaseSeconds: leaseSeconds(client),
            hostname: pool.reservation(for: client.mac)?.hostname, boot: client.boot)
        return .reply(reply, to: destination(of: reply, for: client))
    }

    // MARK: RFC 2131 §4.3.2

    private mutating func request(_ client: Client) -> DHCPAction {
        let message = client.message
        if let server = message.serverIdentifier { return selecting(client, server) }
        if message.clientAddress == .any {
            guard let requested = message.requestedAddress else { return .drop(.malformed) }
            return initReboot(client, requested)
        }
        return renewing(client, message.clientAddress)
    }

    private mutating func selecting(_ client: Client, _ server: IPv4Address) -> DHCPAction {
        guard server == configuration.serverAddress else {
            pool.withdrawOffer(to: client.key)
            return .drop(.anotherServerChosen(server))
        }
        let fallback = client.message.clientAddress == .any ? nil : client.message.clientAddress
        guard let requested = client.message.requestedAddress ?? fallback else { return .drop(.malformed) }
        guard configuration.prefix.contains(requested) else { return refuse(client, "not an address of this network") }
        // An offer is not durable: after a restart whatever is free is granted.
        if let expected = pool.expectedAddress(of: client.key, mac: client.mac, nowMilliseconds: client.now),
            expected != requested
        {
            return refuse(client, "another address is yours")
        }
        return grant(requested, client)
    }

    private mutating func initReboot(_ client: Client, _ requested: IPv4Address) -> DHCPAction {
        guard configuration.prefix.contains(requested) else { return refuse(client, "not an address of this network") }
        guard let expected = pool.expectedAddress(of: client.key, mac: client.mac, nowMilliseconds: client.now) else {
            // Known, but somebody else has its address by now: it must not go on with it.
            if pool.lease(of: client.key)?.address == requested { return refuse(client, "the address was given away") }
            return .drop(.unknownClient)
        }
        return expected == requested ? grant(requested, client) : refuse(client, "another address is yours")
    }

    /// RENEWING and REBINDING. A client we have no record of keeps an address of
    /// ours that is free: our record may be older than its lease.
    private mutating func renewing(_ client: Client, _ address: IPv4Address) -> DHCPAction {
        guard configuration.prefix.contains(address), pool.contains(address) else {
            return .drop(.foreignAddress(address))
        }
        if let expected = pool.expectedAddress(of: client.key, mac: client.mac, nowMilliseconds: client.now),
            expected != address
        {
            return refuse(client, "another address is yours")
        }
        return grant(address, client)
    }

    private mutating func grant(_ address: IPv4Address, _ client: Client) -> DHCPAction {
        let seconds = leaseSeconds(client)
        let outcome = pool.grant(
            address, to: client.key, mac: client.mac, hostname: client.message.hostname,
            durationMilliseconds: Int64(seconds) * 1_000, nowMilliseconds: client.now)
        guard case .granted(let lease) = outcome else {
            // It may have its address yet, once there is room: silence, not a refusal.
            return outcome == .unknownShareUsed ? .drop(.unknownShareUsed) : refuse(client, "the address is not free")
        }
        let reply = composer.reply(
            .acknowledge, to: client.message, yourAddress: address, leaseSeconds: seconds,
            hostname: pool.reservation(for: client.mac)?.hostname, boot: client.boot)
        return .grant(lease, reply: reply, to: destination(of: reply, for: client))
    }

    private func refuse(_ client: Client, _ why: String) -> DHCPAction {
        let reply = composer.refusal(to: client.message, why: why)
        let relay = client.message.relayAddress
        return .reply(reply, to: relay == .any ? .broadcast : .relay(relay))
    }

    // MARK: RFC 2131 §4.3.3 to §4.3.5

    /// A client that declines an address has none (RFC 2131 §4.4.4): its packet comes from 0.0.0.0, or through a relay.
    private mutating func decline(_ client: Client, _ context: ReceiveContext) -> DHCPAction {
        guard client.message.serverIdentifier ?? configuration.serverAddress == configuration.serverAddress,
            let address = client.message.requestedAddress
        else { return .drop(.malformed) }
        guard isFrom(client, at: .any, context) else { return .drop(.foreignSender(context.source)) }
        switch pool.decline(address, by: client.key, mac: client.mac, nowMilliseconds: client.now) {
        case .quarantined(let lease): return .decline(lease)
        case .refused: return .declineRefused(address)
        case .late: return .drop(.lateDecline(address))
        case .notItsLease: return .drop(.notItsLease(address))
        }
    }

    /// Whether IP header and frame agree with what the message says of its sender. A relay's say nothing of its client, and
    /// the frame of a client behind a router is the router's.
    private func isFrom(_ client: Client, at address: IPv4Address, _ context: ReceiveContext) -> Bool {
        // On our own wire there is no relay between: whoever names one would be believed unseen.
        guard client.message.relayAddress == .any else { return configuration.isRemote }
        guard context.source == address else { return false }
        switch context.frame {
        case .unseen: return true
        case .missing: return configuration.isRemote
        case .from(let mac): return configuration.isRemote || mac == client.mac
        }
    }

    /// A client gives its address back from that address (RFC 2131 §4.4.6), past a relay if there is one. Its sender can make
    /// all of that up: what it then ends is the lease of the machine whose MAC address it names, and no other's.
    private mutating func release(_ client: Client, _ context: ReceiveContext) -> DHCPAction {
        guard client.message.serverIdentifier ?? configuration.serverAddress == configuration.serverAddress else {
            return .drop(.malformed)
        }
        let address = client.message.clientAddress
        guard isFrom(client, at: address, context) else { return .drop(.foreignSender(context.source)) }
        guard let lease = pool.release(address, by: client.key, mac: client.mac, nowMilliseconds: client.now) else {
            return .drop(.notItsLease(address))
        }
        return .release(lease)
    }

    private func inform(_ client: Client) -> DHCPAction {
        let address = client.message.clientAddress
        guard configuration.prefix.contains(address) else { return .drop(.foreignAddress(address)) }
        let reply = composer.reply(
            .acknowledge, to: client.message, yourAddress: .any, leaseSeconds: nil,
            hostname: pool.reservation(for: client.mac)?.hostname, boot: client.boot)
        return .reply(reply, to: .unicast(address, port: 68))
    }

    // MARK: PXE 2.1 §2.2.3, §2.2.4

    private func proxy(_ message: DHCPMessage, _ type: DHCPMessageType, _ boot: BootAnswer?) -> DHCPAction {
        guard type == .discover, message.isPXEClient || message.isHTTPClient || message.isIPXE else {
            return .drop(.notForProxy)
        }
        guard let boot else { return .drop(.nothingToBoot) }
        let reply = composer.bootReply(.offer, to: message, boot: boot)
        // The client has no address yet and gets none from us.
        let relay = message.relayAddress
        return .reply(reply, to: relay == .any ? .broadcast : .relay(relay))
    }

    /// Port 4011: the client has its address and asks for its boot file.
    private func bootService(
        _ message: DHCPMessage, _ type: DHCPMessageType, _ context: ReceiveContext, _ boot: BootAnswer?
    ) -> DHCPAction {
        guard type == .request || type == .inform, message.isPXEClient || message.isIPXE else {
            return .drop(.notForProxy)
        }
        if let server = message.serverIdentifier, server != configuration.serverAddress {
            return .drop(.anotherServerChosen(server))
        }
        guard let boot else { return .drop(.nothingToBoot) }
        let reply = composer.bootReply(.acknowledge, to: message, boot: boot)
        if isUnicast(context.source) {
            return .reply(reply, to: .unicast(context.source, port: context.sourcePort))
        }
        guard isUnicast(message.clientAddress) else { return .drop(.malformed) }
        return .reply(reply, to: .unicast(message.clientAddress, port: context.sourcePort))
    }

    // MARK: Common rules

    /// RFC 2131 §4.1.
    private func destination(of reply: DHCPMessage, for client: Client) -> DHCPDestination {
        let message = client.message
        if message.relayAddress != .any { return .relay(message.relayAddress) }
        if message.clientAddress != .any, configuration.prefix.contains(message.clientAddress) {
            return .unicast(message.clientAddress, port: 68)
        }
        return message.wantsBroadcast ? .broadcast : .hardware(client.mac, reply.yourAddress)
    }

    /// What the client asks for, within 60 s and the configured time, which is short for a client that is not known.
    private func leaseSeconds(_ client: Client) -> UInt32 {
        let longest =
            isKnown(client.mac) ? configuration.leaseSeconds : min(configuration.leaseSeconds, max(60, configuration.unknownLeaseSeconds))
        guard let wanted = client.message.leaseSeconds else { return longest }
        return min(longest, max(60, wanted))
    }

    private func isUnicast(_ address: IPv4Address) -> Bool {
        let first = address.value >> 24
        return first != 0 && first != 127 && first < 224
    }
}
