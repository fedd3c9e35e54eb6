internal import CLinux
internal import Control
internal import Logging
internal import Metadata
internal import Model
public import NIOCore
internal import NIOPosix
internal import Wire

/// The metadata service of one network: 169.254.169.254 port 80 on its provisioning interface, in its namespace.
public final class MetadataService: Sendable {
    static let port = 80
    /// IP_TTL (ip(7)), which NIO has no name for.
    private static let timeToLive = NIOBSDSocket.Option(rawValue: 2)
    public let counters = Counters()
    private let network: BootNetwork
    private let control: ControlPlane
    private let leases: LeaseTable
    private let neighbours: NeighbourTable
    private let tokens: (any WorkloadTokens)?
    private let logger: Logger

    /// - Parameter tokens: gives machines their identity; nil: none is given.
    init(
        network: BootNetwork, control: ControlPlane, leases: LeaseTable, neighbours: NeighbourTable,
        tokens: (any WorkloadTokens)? = nil, logger: Logger
    ) {
        self.network = network
        self.control = control
        self.leases = leases
        self.neighbours = neighbours
        self.tokens = tokens
        self.logger = logger
    }

    /// Puts the address on the interface and listens. Ends with ``Listening/stop()``.
    public func start(on group: any EventLoopGroup) async throws -> Listening {
        let loop = group.next()
        let address = IPv4Address(value: 0xa9fe_a9fe)
        let interface = network.interface
        let added = try await loop.submit { clinux_address_add(interface, address.value, 32) }.get()
        guard added >= 0 else {
            throw BootServiceError.bind(
                service: "metadata", interface: interface, port: Self.port, cause: "the address \(address) cannot be added (errno \(-added))")
        }
        do {
            let neighbours = neighbours
            let door = door { neighbours.mac(of: $0) }
            return try await listen(host: address.description, port: Self.port, door, on: group, interface: interface, ownsAddress: added == 0)
        } catch {
            if added == 0 { _ = try? await loop.submit { clinux_address_remove(interface, address.value, 32) }.get() }
            throw error
        }
    }

    /// Without an address of its own: for tests on loopback, which say themselves who a neighbour is.
    func start(
        host: String, port: Int, on group: any EventLoopGroup, patience: TimeAmount = MetadataDoor.patience,
        lookUp: @escaping @Sendable (IPv4Address) -> MACAddress?
    ) async throws -> Listening {
        try await listen(host: host, port: port, door(patience: patience, lookUp), on: group, interface: nil, ownsAddress: false)
    }

    private func door(patience: TimeAmount = MetadataDoor.patience, _ lookUp: @escaping @Sendable (IPv4Address) -> MACAddress?) -> MetadataDoor {
        let settings = network.metadata
        let policy = MetadataPolicy(allowsTokenless: settings.tokenless, secretsNeedKey: settings.secretsNeedKey)
        return MetadataDoor(
            control: control, desk: MetadataDesk(sessions: control.metadataSessions, policy: policy),
            witness: WireWitness(network: network, control: control, leases: leases, lookUp: lookUp), network: network, tokens: tokens,
            refusals: RefusalLog(control: control, counters: counters, logger: logger), patience: patience)
    }

    private func listen(
        host: String, port: Int, _ door: MetadataDoor, on group: any EventLoopGroup, interface: String?, ownsAddress: Bool
    ) async throws -> Listening {
        var crowds: [MetadataCrowd] = []
        for loop in group.makeIterator() {
            let crowd = MetadataCrowd(loop: loop, control: control)
            try await loop.submit { crowd.start() }.get()
            crowds.append(crowd)
        }
        let byLoop = Dictionary(crowds.map { (ObjectIdentifier($0.loop), $0) }) { first, _ in first }
        let loop = group.next()
        let hopLimit = network.metadata.hopLimit
        let channel: any Channel
        do {
            channel = try await loop.flatSubmit {
                ServerBootstrap(group: loop, childGroup: group)
                    .serverChannelOption(.backlog, value: 4096)
                    .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                    // Connections inherit it, so that already the answer to SYN dies at the first router (ip(7), IP_TTL).
                    .serverChannelOption(.ipOption(Self.timeToLive), value: hopLimit)
                    .serverChannelInitializer { channel in
                        interface.map { InterfaceSocket.tie(channel, to: $0) } ?? channel.eventLoop.makeSucceededVoidFuture()
                    }
                    .childChannelOption(.socketOption(.tcp_nodelay), value: 1)
                    .childChannelInitializer { channel in Self.prepare(channel, door, byLoop) }
                    .bind(host: host, port: port)
            }.get()
        } catch {
            throw BootServiceError.bind(
                service: "metadata", interface: interface ?? host, port: port,
                cause: "\(error); it can be left out with metadata: {enabled: false}")
        }
        let held = crowds
        let observer = control.observeMachines { changed in
            for crowd in held { crowd.machinesChanged(changed) }
        }
        return Listening(
            channel: channel, crowds: crowds, control: control, observer: observer, interface: ownsAddress ? interface : nil)
    }

    private static func prepare(
        _ channel: any Channel, _ door: MetadataDoor, _ crowds: [ObjectIdentifier: MetadataCrowd]
    ) -> EventLoopFuture<Void> {
        guard let source = channel.remoteAddress?.ipAddress.flatMap({ IPv4Address($0) }),
            let crowd = crowds[ObjectIdentifier(channel.eventLoop)], door.enter(source)
        else {
            door.refusals.note("connections", source: channel.remoteAddress?.ipAddress ?? "nobody")
            return channel.close()
        }
        channel.closeFuture.whenComplete { _ in door.leave(source) }
        return channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(MetadataConnection(door: door, crowd: crowd, source: source))
        }
    }

    /// A service that runs.
    public struct Listening: Sendable {
        let channel: any Channel
        let crowds: [MetadataCrowd]
        let control: ControlPlane
        let observer: Int
        /// Where the address was added, and is to be taken away again.
        let interface: String?

        public var port: Int? { channel.localAddress?.port }

        public func stop() async {
            control.stopObserving(observer)
            try? await channel.close()
            for crowd in crowds { try? await crowd.loop.submit { crowd.stop() }.get() }
            guard let interface else { return }
            _ = try? await channel.eventLoop.submit { clinux_address_remove(interface, 0xa9fe_a9fe, 32) }.get()
        }
    }
}
