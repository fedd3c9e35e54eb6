public import Logging
public import NIOCore
internal import NIOHTTP1
public import NIOPosix
internal import NIOSSL
internal import Synchronization

/// Puts a virtual BMC on a network: HTTP/1.1, with TLS where it has a certificate.
public final class VirtualBMCServer: Sendable {
    typealias Connection = NIOAsyncChannel<HTTPServerRequestPart, HTTPServerResponsePart>

    public let bmc: VirtualBMC
    /// Where it listens; the port is the real one.
    public let address: SocketAddress
    private let listener: NIOAsyncChannel<Connection, Never>
    private let connections: Connections
    private let log: Logger

    /// Listens at once; answers while `run` does.
    ///
    /// - Parameter certificates: the first is shown in good order, the second where the fault
    ///   `certificate` is in force. Without any it is plain HTTP.
    public convenience init(
        _ bmc: VirtualBMC, host: String, port: Int, certificates: [BMCCertificate],
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton, log: Logger = Logger(label: "hostler.bmc")
    ) async throws {
        let setup = try Setup(bmc, certificates)
        try await self.init(
            bmc, setup, log,
            listener: Self.bootstrap(group).bind(host: host, port: port) { channel in setup.prepare(channel) })
    }

    /// - Parameter socket: bound already, as one in another network namespace; the server closes it.
    public convenience init(
        _ bmc: VirtualBMC, socket: CInt, certificates: [BMCCertificate],
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton, log: Logger = Logger(label: "hostler.bmc")
    ) async throws {
        let setup = try Setup(bmc, certificates)
        try await self.init(
            bmc, setup, log, listener: Self.bootstrap(group).bind(socket) { channel in setup.prepare(channel) })
    }

    private init(
        _ bmc: VirtualBMC, _ setup: Setup, _ log: Logger, listener: NIOAsyncChannel<Connection, Never>
    ) async throws {
        guard let address = listener.channel.localAddress else { throw ChannelError.unknownLocalAddress }
        self.address = address
        self.bmc = bmc
        self.listener = listener
        connections = setup.connections
        self.log = log
    }

    /// What a new connection needs.
    private struct Setup: Sendable {
        let bmc: VirtualBMC
        let contexts: [NIOSSLContext]
        let connections = Connections()

        init(_ bmc: VirtualBMC, _ certificates: [BMCCertificate]) throws {
            self.bmc = bmc
            contexts = try certificates.map { try $0.context() }
        }

        func prepare(_ channel: any Channel) -> EventLoopFuture<Connection> {
            channel.eventLoop.makeCompletedFuture {
                if let first = contexts.first {
                    let context = bmc.faults.contains(.certificate) ? contexts.last ?? first : first
                    try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context))
                }
                try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: true)
                connections.add(channel)
                return try Connection(wrappingChannelSynchronously: channel)
            }
        }
    }

    private static func bootstrap(_ group: any EventLoopGroup) -> ServerBootstrap {
        ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.backlog, value: 64)
            .childChannelOption(.socketOption(.tcp_nodelay), value: 1)
    }

    /// Listens no more; `run` returns.
    public func close() async {
        connections.closeAll()
        try? await listener.channel.close()
    }

    /// Ends all connections, as a BMC does whose web server starts anew: with another certificate, say.
    public func closeConnections() { connections.closeAll() }

    /// Answers until cancelled; follows the machine meanwhile.
    public func run() async throws {
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask { await self.bmc.run() }
            try await listener.executeThenClose { incoming in
                for try await connection in incoming {
                    group.addTask { await self.serve(connection) }
                }
            }
            group.cancelAll()
        }
    }

    private func serve(_ connection: Connection) async {
        do {
            try await connection.executeThenClose { inbound, outbound in
                var parts = inbound.makeAsyncIterator()
                var keepsGoing = true
                while keepsGoing, let request = try await Self.nextRequest(&parts) {
                    keepsGoing = try await answer(request, &parts, outbound)
                }
            }
        } catch {
            log.debug("connection ended", metadata: ["error": "\(error)"])
        }
    }

    // MARK: One request

    private struct Incoming {
        var request: RedfishRequest
        var keepsAlive: Bool
        var isTooLong = false
    }

    private typealias Parts = NIOAsyncChannelInboundStream<HTTPServerRequestPart>.AsyncIterator
    private typealias Writer = NIOAsyncChannelOutboundWriter<HTTPServerResponsePart>

    private static func nextRequest(_ parts: inout Parts) async throws -> Incoming? {
        guard case .head(let head)? = try await parts.next() else { return nil }
        var body: [UInt8] = []
        var isTooLong = false
        while let part = try await parts.next() {
            guard case .body(let buffer) = part else { break }
            if body.count + buffer.readableBytes <= VirtualBMC.bodyLimitBytes {
                body += buffer.readableBytesView
            } else {
                isTooLong = true
            }
        }
        let request = RedfishRequest(
            method: head.method.rawValue, target: head.uri, headers: head.headers.map { ($0.name, $0.value) }, body: body)
        return Incoming(request: request, keepsAlive: head.isKeepAlive, isTooLong: isTooLong)
    }

    /// False where the connection is to close.
    private func answer(_ incoming: Incoming, _ parts: inout Parts, _ writer: Writer) async throws -> Bool {
        let reply = incoming.isTooLong ? .response(RedfishResponse(status: 413)) : await bmc.reply(to: incoming.request)
        switch reply {
        case .close: return false
        case .silence:
            // Until the client has had enough.
            while try await parts.next() != nil {}
            return false
        case .events(let subscription):
            try await sendEvents(subscription, &parts, writer)
            return false
        case .cut(let response, let count):
            try await writer.write(.head(head(response, keepsAlive: true)))
            try await writer.write(.body(.byteBuffer(ByteBuffer(bytes: response.body.prefix(count)))))
            return false
        case .response(let response):
            try await writer.write(.head(head(response, keepsAlive: incoming.keepsAlive)))
            if incoming.request.method != "HEAD", !response.body.isEmpty {
                try await writer.write(.body(.byteBuffer(ByteBuffer(bytes: response.body))))
            }
            try await writer.write(.end(nil))
            return incoming.keepsAlive
        }
    }

    private func head(_ response: RedfishResponse, keepsAlive: Bool) -> HTTPResponseHead {
        var headers = HTTPHeaders(response.headers.map { ($0.name, $0.value) })
        // DSP0266 §8.2.
        headers.add(name: "OData-Version", value: "4.0")
        headers.add(name: "Cache-Control", value: "no-cache")
        if response.status != 204, response.status != 304 {
            headers.add(name: "Content-Length", value: "\(response.body.count)")
        }
        if !keepsAlive { headers.add(name: "Connection", value: "close") }
        return HTTPResponseHead(version: .http1_1, status: .init(statusCode: response.status), headers: headers)
    }

    // MARK: Events

    /// The WHATWG's event stream: an id and the event as JSON on one line.
    private func sendEvents(_ subscription: String, _ parts: inout Parts, _ writer: Writer) async throws {
        defer { bmc.endEvents(subscription) }
        let events = bmc.events(subscription)
        var response = RedfishResponse(status: 200, headers: [.init("Content-Type", "text/event-stream")])
        response.headers.append(.init("Connection", "keep-alive"))
        var head = head(response, keepsAlive: true)
        head.headers.remove(name: "Content-Length")
        try await writer.write(.head(head))
        // A first comment, so that the listener knows that it listens.
        try await writer.write(.body(.byteBuffer(ByteBuffer(string: ": listening\n\n"))))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for await event in events {
                    var buffer = ByteBuffer()
                    if let id = event["Id"]?.text { buffer.writeString("id: \(id)\n") }
                    buffer.writeString("data: ")
                    buffer.writeBytes(event.bytes)
                    buffer.writeString("\n\n")
                    try await writer.write(.body(.byteBuffer(buffer)))
                }
                // The subscription was deleted.
                try await writer.write(.end(nil))
                writer.finish()
            }
            while try await parts.next() != nil {}
            group.cancelAll()
        }
    }
}

/// The open connections of a server.
private final class Connections: Sendable {
    private let open = Mutex<[ObjectIdentifier: any Channel]>([:])

    func add(_ channel: any Channel) {
        let id = ObjectIdentifier(channel)
        open.withLock { $0[id] = channel }
        channel.closeFuture.whenComplete { [weak self] _ in
            self?.open.withLock { _ = $0.removeValue(forKey: id) }
        }
    }

    func closeAll() {
        for channel in open.withLock({ Array($0.values) }) { channel.close(promise: nil) }
    }
}
