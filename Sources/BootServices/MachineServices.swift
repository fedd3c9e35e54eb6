public import Control
public import Logging
public import Model
internal import NIOCore
internal import NIOPosix
public import Store
internal import Synchronization

/// All that machines on one network talk to: DHCP, TFTP, HTTP boot, the agent's protocol.
public final class MachineServices: Sendable {
    public let network: BootNetwork
    public let dhcp: DHCPService
    public let http: BootHTTPServer
    public let metadata: MetadataService
    private let routers: RouterSilence
    private let refusals: RefusalBook
    private let callers: CallerDirectory
    private let budget: OpenFileBudget
    private let tftpRefusals: RefusalLog
    private let neighbours: NeighbourTable
    private let files: BootFilePaths
    private let logger: Logger
    private let tftp = Mutex<TFTPServer?>(nil)

    /// What each service counted since it started, by service and counter.
    public var counters: [String: [String: Int]] {
        [
            "dhcp": dhcp.counters.all,
            "tftp": (tftp.withLock { $0?.counters.all } ?? [:]).merging(tftpRefusals.counters.all) { $1 }, "http": http.counters.all,
            "metadata": metadata.counters.all, "ipv6": routers.counters.all,
        ]
    }

    /// - Parameter networks: how many there are that share this process's open files.
    public init(
        network: BootNetwork, control: ControlPlane, store: any StateStore, files: BootFilePaths,
        tokens: (any WorkloadTokens)? = nil, networks: Int = 1, logger: Logger
    ) {
        self.network = network
        self.files = files
        self.logger = logger
        budget = OpenFileBudget.current(networks: networks)
        let book = RefusalBook(interface: network.interface, control: control, logger: logger)
        refusals = book
        tftpRefusals = RefusalLog(service: "tftp", book: book, counters: Counters())
        dhcp = DHCPService(
            network: network, control: control, store: store, bootFolder: files.boot, refusals: book, logger: logger)
        routers = RouterSilence(
            interface: network.interface, control: control, advertisement: MetadataService.advertisement(on: network), logger: logger)
        let neighbours = NeighbourTable(interface: network.interface)
        self.neighbours = neighbours
        let callers = CallerDirectory(network: network, control: control, leases: dhcp.leases) { neighbours.mac(of: $0) }
        self.callers = callers
        let counters = Counters()
        let bootRefusals = RefusalLog(service: "boot", book: book, counters: counters)
        let routes = BootRoutes(
            network: network, control: control, files: files, leases: dhcp.leases, routers: dhcp.routers, refusals: bootRefusals, logger: logger
        ) { neighbours.mac(of: $0) }
        http = BootHTTPServer(
            limits: .init(total: budget.http),
            hooks: .init(bodyLimit: { routes.bodyLimit($0, from: $1) }, caller: { callers.caller(at: $0, frameSource: $1) }), counters: counters,
            refusals: bootRefusals
        ) { await routes.respond(to: $0) }
        metadata = MetadataService(
            network: network, control: control, leases: dhcp.leases, routers: dhcp.routers, neighbours: neighbours, tokens: tokens, refusals: book,
            connectionLimit: budget.metadata, logger: logger)
    }

    /// Serves until the task is cancelled. Throws if any port cannot be had.
    public func run() async throws {
        let group = try await NamespaceThreads.group(namespace: network.namespace, threads: 2)
        do {
            try await serve(on: group)
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
        try await group.shutdownGracefully()
    }

    private func serve(on group: MultiThreadedEventLoopGroup) async throws {
        let host = network.address.address.description
        try await neighbours.open(on: group.next())
        var channels = try await dhcp.start(on: group)
        if network.speaksOnItsWire, let listening = try await routers.start(on: group) { channels.append(listening) }
        let listening = network.metadata.enabled ? try await metadata.start(on: group) : nil
        do {
            try await serve(host, &channels, on: group)
        } catch {
            await listening?.stop()
            throw error
        }
        await listening?.stop()
        for channel in channels { try? await channel.close() }
    }

    private func serve(_ host: String, _ channels: inout [any Channel], on group: MultiThreadedEventLoopGroup) async throws {
        channels.append(try await http.start(host: host, port: network.httpPort, interface: network.interface, on: group))
        // Who only watches gives no files either.
        guard !network.answersNobody else {
            tellThatItServes()
            return await refusals.run()
        }
        let tftp: TFTPServer
        var limits = TFTPTransferLimits()
        limits.total = budget.transfers
        limits.reservedForKnown = budget.transfers / 4
        let (network, callers) = (network, callers)
        do {
            tftp = try await TFTPServer.bind(
                to: try SocketAddress(ipAddress: host, port: 69), interface: network.interface, group: group,
                source: BootFolder(path: files.boot),
                desk: TFTPDesk(
                    limits: limits, refusals: tftpRefusals, serves: { network.policy(at: $0.ipv4) != .watch }, caller: { callers.caller(at: $0) }),
                logger: logger)
        } catch {
            throw BootServiceError.bind(service: "TFTP", interface: network.interface, port: 69, cause: "\(error)")
        }
        self.tftp.withLock { $0 = tftp }
        tellThatItServes()
        async let probing: Void = network.speaksOnItsWire ? dhcp.probeForOthers(on: group) : ()
        async let telling: Void = refusals.run()
        await tftp.run()
        await probing
        await telling
    }

    private func tellThatItServes() {
        logger.notice(
            "serving machines",
            metadata: [
                "network": "\(network.name)", "interface": "\(network.interface)", "address": "\(network.address)",
                "dhcp": "\(network.mode.rawValue)", "http": "\(network.baseURL)", "policy": "\(network.policy.rawValue)",
            ])
    }
}
