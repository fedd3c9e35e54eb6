public import Control
public import Logging
internal import Model
internal import NIOCore
internal import NIOPosix
public import Store
internal import Synchronization

/// All that machines on one network talk to: DHCP, TFTP, HTTP boot, the agent's protocol.
public final class MachineServices: Sendable {
    public let network: BootNetwork
    public let dhcp: DHCPService
    public let http: BootHTTPServer
    private let logger: Logger
    private let running = Mutex<(group: MultiThreadedEventLoopGroup, channels: [any Channel])?>(nil)

    public init(
        network: BootNetwork, control: ControlPlane, store: any StateStore, files: BootFilePaths, logger: Logger
    ) {
        self.network = network
        self.logger = logger
        dhcp = DHCPService(network: network, control: control, store: store, logger: logger)
        let routes = BootRoutes(network: network, control: control, files: files, logger: logger)
        http = BootHTTPServer { await routes.respond(to: $0) }
        control.setCallHome(network.baseURL)
    }

    /// Listens on the network's interface; throws if any of its ports cannot be had.
    public func start() async throws {
        let group = try await NamespaceThreads.group(namespace: network.namespace, threads: 2)
        do {
            var channels = try await dhcp.start(on: group)
            channels.append(try await http.start(host: network.address.address.description, port: network.httpPort, on: group))
            running.withLock { $0 = (group, channels) }
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
        logger.notice(
            "serving machines",
            metadata: [
                "network": "\(network.name)", "interface": "\(network.interface)", "address": "\(network.address)",
                "dhcp": "\(network.mode.rawValue)", "http": "\(network.baseURL)",
            ])
    }

    public func stop() async {
        let running = running.withLock { held in
            defer { held = nil }
            return held
        }
        guard let running else { return }
        for channel in running.channels { try? await channel.close() }
        try? await running.group.shutdownGracefully()
    }
}
