internal import CLinux
internal import Control
internal import Logging
internal import Metadata
internal import Model
public import NIOCore
internal import NIOPosix
internal import NetBoot
internal import Wire

/// The metadata service of one network: port 80 of 169.254.169.254, and of fd00:ec2::254 where the interface has IPv6,
/// on its provisioning interface, in its namespace.
public final class MetadataService: Sendable {
    static let port = 80
    static let address = IPv4Address(value: 0xa9fe_a9fe)
    /// Amazon's, in the unique local range (RFC 4193).
    static let address6 = IPv6Address([0xfd, 0, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54])
    /// IP_TTL (ip(7)) and IPV6_UNICAST_HOPS (ipv6(7)), which NIO has no names for.
    private static let timeToLive = NIOBSDSocket.Option(rawValue: 2)
    private static let unicastHops = ChannelOptions.Types.SocketOption(
        level: NIOBSDSocket.OptionLevel(rawValue: 41), name: NIOBSDSocket.Option(rawValue: 16))
    public let counters = Counters()
    private let network: BootNetwork
    private let control: ControlPlane
    private let leases: LeaseTable
    private let routers: RouterPorts
    private let neighbours: NeighbourTable
    private let tokens: (any WorkloadTokens)?
    private let logger: Logger
    private let connectionLimit: Int
    /// Where its refusals go; who runs the service runs it too.
    let refusals: RefusalBook

    /// - Parameters:
    ///   - tokens: gives machines their identity; nil: none is given.
    ///   - connectionLimit: open at once.
    init(
        network: BootNetwork, control: ControlPlane, leases: LeaseTable, routers: RouterPorts? = nil, neighbours: NeighbourTable,
        tokens: (any WorkloadTokens)? = nil, refusals: RefusalBook? = nil, connectionLimit: Int = MetadataDoor.connectionLimit,
        logger: Logger
    ) {
        self.refusals = refusals ?? RefusalBook(interface: network.interface, control: control, logger: logger)
        self.connectionLimit = connectionLimit
        self.network = network
        self.control = control
        self.leases = leases
        self.routers = routers ?? RouterPorts(network: network)
        self.neighbours = neighbours
        self.tokens = tokens
        self.logger = logger
    }

    /// What tells a network's machines that fd00:ec2::254 is on their link; nil: they are not to be told.
    static func advertisement(on network: BootNetwork) -> [UInt8]? {
        let settings = network.metadata
        guard settings.enabled, settings.ipv6, settings.advertise, network.mode == .server else { return nil }
        return address6.map(RouterDiscovery.onLink)
    }

    /// Puts the addresses on the interface and listens. Ends with ``Listening/stop()``.
    public func start(on group: any EventLoopGroup) async throws -> Listening {
        let neighbours = neighbours
        let door = door { neighbours.mac(of: $0) }
        var listening = Listening(control: control, crowds: try await crowds(on: group), interface: network.interface)
        do {
            try await open(.v4(Self.address), door, &listening, on: group)
        } catch {
            await listening.stop()
            throw error
        }
        if network.metadata.ipv6, let address = Self.address6 {
            do {
                try await open(.v6(address), door, &listening, on: group)
            } catch {
                // Without IPv6 on the interface there is no address to have.
                logger.notice("no metadata service by IPv6", metadata: ["interface": "\(network.interface)", "why": "\(error)"])
            }
        }
        observe(&listening)
        return listening
    }

    /// Without an address of its own: for tests on loopback, which say themselves who a neighbour is.
    func start(
        host: String, port: Int, on group: any EventLoopGroup, patience: TimeAmount = MetadataDoor.patience,
        lookUp: @escaping @Sendable (MetadataSource) -> MACAddress?
    ) async throws -> Listening {
        var listening = Listening(control: control, crowds: try await crowds(on: group), interface: nil)
        let address = try SocketAddress(ipAddress: host, port: port)
        listening.channels.append(try await listen(at: address, door(patience: patience, lookUp), listening.crowds, on: group, interface: nil))
        observe(&listening)
        return listening
    }

    /// What the connections of one start share.
    func door(
        patience: TimeAmount = MetadataDoor.patience, _ lookUp: @escaping @Sendable (MetadataSource) -> MACAddress?
    ) -> MetadataDoor {
        let settings = network.metadata
        let policy = MetadataPolicy(allowsTokenless: settings.tokenless, secretsNeedKey: settings.secretsNeedKey)
        return MetadataDoor(
            control: control, desk: MetadataDesk(sessions: control.metadataSessions, policy: policy),
            witness: WireWitness(network: network, control: control, leases: leases, routers: routers, lookUp: lookUp), network: network,
            tokens: tokens,
            refusals: RefusalLog(service: "metadata", book: refusals, counters: counters), patience: patience, connectionLimit: connectionLimit)
    }

    private func crowds(on group: any EventLoopGroup) async throws -> [MetadataCrowd] {
        var crowds: [MetadataCrowd] = []
        for loop in group.makeIterator() {
            let crowd = MetadataCrowd(loop: loop, control: control)
            try await loop.submit { crowd.start() }.get()
            crowds.append(crowd)
        }
        return crowds
    }

    private func observe(_ listening: inout Listening) {
        let crowds = listening.crowds
        listening.observer = control.observeMachines { changed in
            for crowd in crowds { crowd.machinesChanged(changed) }
        }
    }

    // MARK: One address

    private func open(
        _ address: MetadataSource, _ door: MetadataDoor, _ listening: inout Listening, on group: any EventLoopGroup
    ) async throws {
        let interface = network.interface
        let added = try await group.next().submit { address.add(to: interface) }.get()
        guard added >= 0 else {
            throw BootServiceError.bind(
                service: "metadata", interface: interface, port: Self.port, cause: "the address \(address) cannot be added (errno \(-added))")
        }
        if added == 0 { listening.addresses.append(address) }
        let bindTo = try SocketAddress(ipAddress: address.description, port: Self.port)
        // Also where sockets are to share the address: nobody else has it.
        let alone = try await listen(at: bindTo, door, listening.crowds, on: group, interface: interface)
        let routed = address.ipv6 == nil ? network.subnets.filter { $0.metadata.access != .none } : []
        guard !routed.isEmpty else {
            listening.channels.append(alone)
            return
        }
        try await alone.close()
        let distances = Set(routed.map(network.timeToLive(of:))).sorted()
        let filter = ReuseportFilter(
            routed.map { ($0.prefix, UInt32(1 + (distances.firstIndex(of: network.timeToLive(of: $0)) ?? 0))) })
        for (number, timeToLive) in ([network.metadata.hopLimit] + distances).enumerated() {
            listening.channels.append(
                try await listen(
                    at: bindTo, timeToLive: timeToLive, sharing: number == 0 ? .first(filter) : .next, door, listening.crowds, on: group,
                    interface: interface))
        }
    }

    /// Which of several sockets at one address it is.
    private enum Sharing {
        case first(ReuseportFilter)
        case next
    }

    /// - Parameters:
    ///   - timeToLive: of the answers to SYN; connections inherit it until they have their own. Nil: as the network says, so that
    ///     they die at the first router (ip(7), IP_TTL).
    ///   - sharing: nil: nobody else listens there.
    private func listen(
        at address: SocketAddress, timeToLive: Int? = nil, sharing: Sharing? = nil, _ door: MetadataDoor,
        _ crowds: [MetadataCrowd], on group: any EventLoopGroup, interface: String?
    ) async throws -> any Channel {
        let byLoop = Dictionary(crowds.map { (ObjectIdentifier($0.loop), $0) }) { first, _ in first }
        let loop = group.next()
        let hops = Self.hopsOption(isIPv6: address.protocol == .inet6)
        let hopLimit = SocketOptionValue(timeToLive ?? network.metadata.hopLimit)
        do {
            return try await loop.flatSubmit {
                ServerBootstrap(group: loop, childGroup: group)
                    .serverChannelOption(.backlog, value: 4096)
                    .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                    .serverChannelOption(hops, value: hopLimit)
                    .serverChannelInitializer { channel in
                        let tied = InterfaceSocket.prepareListener(channel, interface: interface).flatMap { FrameSource.keep(on: channel) }
                        guard let sharing else { return tied }
                        let shared = tied.flatMap { ReuseportFilter.share(channel) }
                        guard case .first(let filter) = sharing else { return shared }
                        return shared.flatMap { filter.attach(to: channel) }
                    }
                    .childChannelOption(.socketOption(.tcp_nodelay), value: 1)
                    .childChannelInitializer { channel in
                        FrameSource.read(from: channel).flatMap { port in
                            let frame: FrameEvidence = interface == nil ? .noDevice : port.map(FrameEvidence.port) ?? .lost
                            return Self.prepare(channel, frame, door, byLoop)
                        }
                    }
                    .bind(to: address)
            }.get()
        } catch {
            throw BootServiceError.bind(
                service: "metadata", interface: interface ?? "loopback", port: address.port ?? Self.port,
                cause: "\(error); it can be left out with metadata: {enabled: false}")
        }
    }

    private static func prepare(
        _ channel: any Channel, _ frame: FrameEvidence, _ door: MetadataDoor, _ crowds: [ObjectIdentifier: MetadataCrowd]
    ) -> EventLoopFuture<Void> {
        guard let source = channel.remoteAddress.flatMap({ MetadataSource($0) }),
            let crowd = crowds[ObjectIdentifier(channel.eventLoop)], let seat = door.enter(source, frame)
        else { return channel.close() }
        channel.closeFuture.whenComplete { _ in door.leave(seat) }
        return channel.eventLoop.makeCompletedFuture {
            try channel.syncOptions?.setOption(hopsOption(isIPv6: source.ipv6 != nil), value: SocketOptionValue(seat.timeToLive))
            try channel.pipeline.syncOperations.addHandler(
                MetadataConnection(door: door, crowd: crowd, source: source, frame: frame, neighbour: seat.mac))
        }
    }

    private static func hopsOption(isIPv6: Bool) -> ChannelOptions.Types.SocketOption {
        isIPv6 ? unicastHops : .init(level: .ip, name: timeToLive)
    }

    /// A service that runs.
    public struct Listening: Sendable {
        let control: ControlPlane
        let crowds: [MetadataCrowd]
        let interface: String?
        var channels: [any Channel] = []
        /// Those that were added, and are to be taken away again.
        var addresses: [MetadataSource] = []
        var observer: Int?

        public var port: Int? { channels.first?.localAddress?.port }

        public func stop() async {
            if let observer { control.stopObserving(observer) }
            for channel in channels { try? await channel.close() }
            for crowd in crowds { try? await crowd.loop.submit { crowd.stop() }.get() }
            guard let interface, let loop = crowds.first?.loop else { return }
            for address in addresses { _ = try? await loop.submit { address.remove(from: interface) }.get() }
        }
    }
}

extension MetadataSource {
    /// Puts it on an interface of the thread's namespace. 0: added; 1: it was there; else a negated errno.
    fileprivate func add(to interface: String) -> CInt {
        switch self {
        case .v4(let address): clinux_address_add(interface, address.value, 32)
        case .v6(let address): clinux_address6_add(interface, address.bytes, 64)
        }
    }

    fileprivate func remove(from interface: String) -> CInt {
        switch self {
        case .v4(let address): clinux_address_remove(interface, address.value, 32)
        case .v6(let address): clinux_address6_remove(interface, address.bytes, 64)
        }
    }
}
