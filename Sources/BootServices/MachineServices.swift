public import Control
public import Logging
internal import NIOCore
internal import NIOPosix
public import Store
internal import Synchronization

/// All that machines on one network talk to: DHCP, TFTP, HTTP boot, the agent's protocol.
public final class MachineServices: Sendable {
    public let network: BootNetwork
    public let dhcp: DHCPService
    public let http: BootHTTPServer
    private let files: BootFilePaths
    private let logger: Logger
    private let tftp = Mutex<TFTPServer?>(nil)

    /// What each service counted since it started, by service and counter.
    public var counters: [String: [String: Int]] {
        ["dhcp": dhcp.counters.all, "tftp": tftp.withLock { $0?.counters.all } ?? [:], "http": http.counters.all]
    }

    public init(
        network: BootNetwork, control: ControlPlane, store: any StateStore, files: BootFilePaths, logger: Logger
    ) {
        self.network = network
        self.files = files
        self.logger = logger
        dhcp = DHCPService(network: network, control: control, store: store, bootFolder: files.boot, logger: logger)
        let routes = BootRoutes(
            network: network, control: control, files: files, holders: network.mode == .server ? dhcp.holders : nil, logger: logger)
        http = BootHTTPServer { await routes.respond(to: $0) }
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
        var channels = try await dhcp.start(on: group)
        channels.append(try await http.start(host: host, port: network.httpPort, on: group))
        let tftp: TFTPServer
        do {
            tftp = try await TFTPServer.bind(
                to: try SocketAddress(ipAddress: host, port: 69), group: group, source: BootFolder(path: files.boot), logger: logger)
        } catch {
            throw BootServiceError.bind(service: "TFTP", interface: network.interface, port: 69, cause: "\(error)")
        }
        self.tftp.withLock { $0 = tftp }
        logger.notice(
            "serving machines",
            metadata: [
                "network": "\(network.name)", "interface": "\(network.interface)", "address": "\(network.address)",
                "dhcp": "\(network.mode.rawValue)", "http": "\(network.baseURL)",
            ])
        async let probing: Void = dhcp.probeForOthers(on: group)
        await tftp.run()
        await probing
        for channel in channels { try? await channel.close() }
    }
}
