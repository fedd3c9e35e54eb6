internal import FoundationEssentials
internal import Hummingbird
internal import HummingbirdCore
internal import HummingbirdTLS
public import Identity
public import Logging
public import NIOCore
internal import NIOSSL
internal import Synchronization

/// Where the API listens.
public struct APIConfiguration: Sendable {
    /// A numeric address or a host name.
    public var address: String
    /// 0: any free one.
    public var port: Int
    public var tls: TLS
    public var connections = ConnectionLimits()

    public enum TLS: Sendable {
        /// With a CA of our own, whose files lie in `directory`.
        case generated(directory: String)
        /// Certificate chain and key in PEM files.
        case files(certificate: String, key: String)
        case off
    }

    public init(address: String = "0.0.0.0", port: Int = 8443, tls: TLS) {
        self.address = address
        self.port = port
        self.tls = tls
    }
}

/// The people-facing HTTP API.
public struct APIServer: Sendable {
    private let configuration: APIConfiguration
    private let state: ServerState
    private let eventLoopGroup: any EventLoopGroup
    private let logger: Logger
    private let onRunning: @Sendable (_ port: Int) async -> Void

    /// - Parameter onRunning: is told the port once the server listens.
    public init(
        configuration: APIConfiguration, control: any MachineControl, images: any ImageShelf, tokens: TokenStore,
        identity: IdentityService? = nil, surroundings: APISurroundings, bmcs: (any BMCControl)? = nil,
        consoles: (any ConsoleControl)? = nil,
        eventLoopGroup: any EventLoopGroup, logger: Logger,
        onRunning: @escaping @Sendable (_ port: Int) async -> Void = { _ in }
    ) {
        self.configuration = configuration
        state = ServerState(
            control: control, images: ImageLibrary(shelf: images, logger: logger), tokens: tokens,
            surroundings: surroundings, bmcs: bmcs, consoles: consoles, startedAt: TokenStore.wallClock(),
            identity: identity, connections: ConnectionCount(configuration.connections),
            watchBuffer: configuration.connections.watch)
        self.eventLoopGroup = eventLoopGroup
        self.logger = logger
        self.onRunning = onRunning
    }

    /// Serves until cancelled.
    public func run() async throws {
        let identity = try TLSIdentity(configuration.tls)
        let state = state.showing(authorityPEM: identity?.authorityPEM)
        let tls = try identity?.configuration()
        let limits = configuration.connections
        let count = state.connections
        let server = HTTPServerBuilder { responder in
            let channel = UpgradableChannel(responder: responder, state: state, connections: limits)
            guard let tls else { return CountedChannel(base: channel, count: count, refusals: state.refusals) }
            return CountedChannel(base: try TLSChannel(channel, tlsConfiguration: tls), count: count, refusals: state.refusals)
        }
        let application = Application(
            router: APIRouter.build(state), server: server,
            configuration: .init(address: .hostname(configuration.address, port: configuration.port), serverName: "hostler"),
            onServerRunning: { channel in await onRunning(channel.localAddress?.port ?? 0) },
            eventLoopGroupProvider: .shared(eventLoopGroup), logger: logger)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await state.tokens.watchChanges() }
            group.addTask { await state.images.runImports() }
            group.addTask { await state.refusals.run(state.control, logger) }
            if let identity {
                group.addTask { try await identity.renewForEver(logger) }
            }
            defer { group.cancelAll() }
            try await application.run()
        }
    }
}
