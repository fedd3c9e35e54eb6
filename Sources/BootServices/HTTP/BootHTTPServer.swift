public import NIOCore
public import NIOHTTP1
internal import NIOPosix
internal import Synchronization
public import Wire

/// What a machine asked, whole: bodies are short here.
public struct BootRequest: Sendable {
    public var method: HTTPMethod
    /// The path without the query, percent-decoding left to whoever needs it.
    public var path: String
    public var query: [String: String]
    public var headers: HTTPHeaders
    public var body: [UInt8]
    /// The asking machine's address.
    public var remote: SocketAddress?
    /// The Ethernet source of the frame that opened the connection: the machine's port, or the router that it is behind.
    public var frameSource: MACAddress?

    /// The path for a log: of a call home without its last part, which is a proof, of an image's file without its capability.
    var loggedPath: String {
        let parts = path.split(separator: "/", maxSplits: 3)
        switch parts.first {
        case "call-home" where parts.count > 2: return "/\(parts[0])/\(parts[1])/…"
        case "images" where parts.count > 3: return "/\(parts[0])/\(parts[1])/\(parts[2])/…"
        default: return path
        }
    }

    /// The bearer token, if one was given (RFC 6750 §2.1).
    public var bearer: String? {
        headers.first(name: "authorization").flatMap { $0.hasPrefix("Bearer ") ? String($0.dropFirst(7)) : nil }
    }
}

/// What it gets.
public enum BootReply: Sendable {
    case bytes(HTTPResponseStatus, type: String, [UInt8])
    /// A file, by range and ETag where asked so, through sendfile(2).
    case file(path: String, type: String, etag: String?)
}

/// The HTTP server that machines boot from: NIO's HTTP/1.1, files sent without
/// passing through user space.
///
/// Any host on the wire can ask. So connections, bodies and the time that a peer takes have limits, for each owner and for all, and
/// known machines have room that nobody else can take (``ConnectionBudget``, ``ConnectionDeadlines``).
public final class BootHTTPServer: Sendable {
    /// What the server must know of a request before it reads on, and of a peer before it serves it. Asked on an event loop.
    struct Hooks: Sendable {
        /// How many bytes of body a request may have, by its head.
        var bodyLimit: @Sendable (HTTPRequestHead, SocketAddress?) -> Int = { head, _ in head.method == .POST ? bodyLimitBytes : 0 }
        var caller: @Sendable (SocketAddress?, MACAddress?) -> Caller = { remote, _ in
            remote?.ipv4.map { Caller(owner: .address($0), isKnown: false) } ?? .nobody
        }
    }

    /// An inventory of a large machine is about 100 KiB of JSON.
    static let bodyLimitBytes = 4 << 20
    /// Of a request's line and its headers: the agent's are below 1 KiB.
    static let headLimitBytes = 16 << 10
    /// Of what a refused peer still sends.
    static let lingerLimitBytes = 1 << 20
    /// How often it is looked whether somebody takes too long.
    private static let tick = TimeAmount.milliseconds(250)

    public let counters: Counters
    let gate: ConnectionGate
    let hooks: Hooks
    let deadlines: ConnectionDeadlines
    let refusals: RefusalLog?
    let respond: @Sendable (BootRequest) async -> BootReply

    init(
        limits: ConnectionBudget.Limits = .init(), deadlines: ConnectionDeadlines = .init(), hooks: Hooks = Hooks(),
        counters: Counters = Counters(), refusals: RefusalLog? = nil, respond: @escaping @Sendable (BootRequest) async -> BootReply
    ) {
        gate = ConnectionGate(limits)
        self.deadlines = deadlines
        self.hooks = hooks
        self.counters = counters
        self.refusals = refusals
        self.respond = respond
    }

    /// - Parameter interface: the only one that is answered on; nil: any.
    func start(host: String, port: Int, interface: String? = nil, on group: any EventLoopGroup) async throws -> any Channel {
        let loop = group.next()
        var sweeps: [ObjectIdentifier: ConnectionSweep] = [:]
        for loop in group.makeIterator() { sweeps[ObjectIdentifier(loop)] = ConnectionSweep(loop: loop, every: Self.tick) }
        let started = sweeps
        do {
            let channel = try await loop.flatSubmit {
                ServerBootstrap(group: loop, childGroup: group)
                    .serverChannelOption(.backlog, value: 1024)
                    .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                    .serverChannelInitializer { channel in
                        InterfaceSocket.prepareListener(channel, interface: interface).flatMap { FrameSource.keep(on: channel) }
                    }
                    .childChannelOption(.socketOption(.tcp_nodelay), value: 1)
                    .childChannelInitializer { channel in
                        FrameSource.read(from: channel).flatMap { self.prepare(channel, started, frameSource: $0) }
                    }
                    .bind(host: host, port: port)
            }.get()
            channel.closeFuture.whenComplete { _ in for sweep in started.values { sweep.stop() } }
            return channel
        } catch {
            for sweep in started.values { sweep.stop() }
            throw BootServiceError.bind(service: "HTTP boot", interface: interface ?? host, port: port, cause: "\(error)")
        }
    }

    private func prepare(
        _ channel: any Channel, _ sweeps: [ObjectIdentifier: ConnectionSweep], frameSource: MACAddress?
    ) -> EventLoopFuture<Void> {
        let remote = channel.remoteAddress
        let caller = hooks.caller(remote, frameSource)
        guard let sweep = sweeps[ObjectIdentifier(channel.eventLoop)], case .place(let place, let closing) = gate.enter(channel, caller) else {
            note("connections", caller, remote)
            return channel.close()
        }
        if let closing { note("connection-gave-way", closing.caller, nil) }
        channel.closeFuture.whenComplete { _ in self.gate.leave(place) }
        return channel.eventLoop.makeCompletedFuture {
            let pipeline = channel.pipeline.syncOperations
            let connection = BootConnection(server: self, place: place, remote: remote, frameSource: frameSource, now: .now())
            try pipeline.addHandler(BootConnection.ByteCount(connection))
            try pipeline.configureHTTPServerPipeline(withErrorHandling: true)
            try pipeline.addHandler(connection)
            sweep.add(connection)
        }
    }

    /// Counts and reports a refusal.
    func note(_ why: String, _ caller: Caller, _ remote: SocketAddress?) {
        guard let refusals else { return counters.add("refused-" + why) }
        refusals.note(why, of: caller, source: remote?.ipAddress ?? caller.name)
    }
}

/// Looks at the connections of one event loop every so often.
final class ConnectionSweep: @unchecked Sendable {
    // Unchecked: touched on its event loop only.
    private var connections: [ObjectIdentifier: BootConnection] = [:]
    private var clock: RepeatedTask?
    private let loop: any EventLoop

    init(loop: any EventLoop, every interval: TimeAmount) {
        self.loop = loop
        loop.execute { [self] in
            let bound = NIOLoopBound(self, eventLoop: loop)
            clock = loop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in
                let now = NIODeadline.now()
                for connection in Array(bound.value.connections.values) { connection.timePassed(now) }
            }
        }
    }

    func stop() {
        loop.execute { [self] in
            clock?.cancel()
            clock = nil
        }
    }

    func add(_ connection: BootConnection) {
        connections[ObjectIdentifier(connection)] = connection
        connection.onEnd = { [weak self] connection in self?.connections[ObjectIdentifier(connection)] = nil }
    }
}
