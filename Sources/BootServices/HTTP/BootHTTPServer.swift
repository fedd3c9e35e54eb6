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
public final class BootHTTPServer: Sendable {
    /// An inventory of a large machine is about 100 KiB of JSON.
    static let bodyLimitBytes = 4 << 20
    /// A rack of a few hundred machines with eight connections each.
    static let connectionLimit = 4096

    public let counters = Counters()
    private let respond: @Sendable (BootRequest) async -> BootReply
    private let idleSeconds: Int64
    private let connections = Mutex(0)

    /// - Parameter idleSeconds: a peer that says nothing and takes nothing for so long is gone; a long poll is shorter.
    public init(idleSeconds: Int64 = 90, respond: @escaping @Sendable (BootRequest) async -> BootReply) {
        self.idleSeconds = idleSeconds
        self.respond = respond
    }

    /// - Parameter interface: the only one that is listened on; nil: any, for tests on loopback.
    public func start(host: String, port: Int, interface: String?, on group: any EventLoopGroup) async throws -> any Channel {
        let loop = group.next()
        do {
            return try await loop.flatSubmit {
                ServerBootstrap(group: loop, childGroup: group)
                    .serverChannelOption(.backlog, value: 1024)
                    .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                    .serverChannelInitializer { channel in
                        let tied = interface.map { InterfaceSocket.tie(channel, to: $0) } ?? channel.eventLoop.makeSucceededVoidFuture()
                        return tied.flatMap { FrameSource.keep(on: channel) }
                    }
                    .childChannelOption(.socketOption(.tcp_nodelay), value: 1)
                    .childChannelInitializer { channel in
                        FrameSource.read(from: channel).flatMap { self.prepare(channel, frameSource: $0) }
                    }
                    .bind(host: host, port: port)
            }.get()
        } catch {
            throw BootServiceError.bind(service: "HTTP boot", interface: host, port: port, cause: "\(error)")
        }
    }

    private func prepare(_ channel: any Channel, frameSource: MACAddress?) -> EventLoopFuture<Void> {
        let count = connections.withLock {
            $0 += 1; return $0
        }
        channel.closeFuture.whenComplete { _ in self.connections.withLock { $0 -= 1 } }
        guard count <= Self.connectionLimit else {
            counters.add("refused-connections")
            return channel.close()
        }
        return channel.eventLoop.makeCompletedFuture {
            let pipeline = channel.pipeline.syncOperations
            try pipeline.configureHTTPServerPipeline(withErrorHandling: true)
            try pipeline.addHandler(IdleStateHandler(allTimeout: .seconds(self.idleSeconds)))
            try pipeline.addHandler(BootHTTPHandler(frameSource: frameSource, respond: self.respond, counters: self.counters))
        }
    }
}

/// One connection. Requests are answered one at a time: the pipeline holds the next one back.
private final class BootHTTPHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let frameSource: MACAddress?
    private let respond: @Sendable (BootRequest) async -> BootReply
    private let counters: Counters
    private var head: HTTPRequestHead?
    private var body: [UInt8] = []
    private var isTooLarge = false

    init(frameSource: MACAddress?, respond: @escaping @Sendable (BootRequest) async -> BootReply, counters: Counters) {
        self.frameSource = frameSource
        self.respond = respond
        self.counters = counters
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
            body = []
            isTooLarge = false
        case .body(let buffer):
            if body.count + buffer.readableBytes > BootHTTPServer.bodyLimitBytes {
                isTooLarge = true
                body = []
            } else if !isTooLarge {
                body.append(contentsOf: buffer.readableBytesView)
            }
        case .end:
            guard let head else { return }
            self.head = nil
            answer(head, context)
        }
    }

    private func answer(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        counters.add("requests")
        guard !isTooLarge else {
            return send(.bytes(.payloadTooLarge, type: "text/plain", Array("too large\n".utf8)), to: head, context)
        }
        let (path, query) = FormText.split(head.uri)
        let request = BootRequest(
            method: head.method, path: path, query: query, headers: head.headers, body: body,
            remote: context.remoteAddress, frameSource: frameSource)
        body = []
        let respond = respond
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        context.eventLoop.makeFutureWithTask { await respond(request) }.whenSuccess { reply in
            let (handler, context) = bound.value
            handler.send(reply, to: head, context)
        }
    }

    private func send(_ reply: BootReply, to head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        guard context.channel.isActive else { return }
        switch reply {
        case .bytes(let status, let type, let bytes):
            var headers = HTTPHeaders([("content-type", type), ("content-length", "\(bytes.count)")])
            if !head.isKeepAlive { headers.add(name: "connection", value: "close") }
            context.write(wrapOutboundOut(.head(.init(version: head.version, status: status, headers: headers))), promise: nil)
            if head.method == .HEAD { return finish(head, context) }
            send(.bytes(ByteBuffer(bytes: bytes)), of: head, context)
        case .file(let path, let type, let etag):
            sendFile(path, type: type, etag: etag, to: head, context)
        }
    }

    private func sendFile(_ path: String, type: String, etag: String?, to head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        guard let file = OpenFile(path: path) else {
            return send(.bytes(.notFound, type: "text/plain", Array("not there\n".utf8)), to: head, context)
        }
        let tag = "\"\(etag ?? file.defaultTag)\""
        var headers = HTTPHeaders([("content-type", type), ("accept-ranges", "bytes"), ("etag", tag)])
        if !head.isKeepAlive { headers.add(name: "connection", value: "close") }
        if head.headers[canonicalForm: "if-none-match"].contains(where: { $0 == tag || $0 == "*" }) {
            context.write(wrapOutboundOut(.head(.init(version: head.version, status: .notModified, headers: headers))), promise: nil)
            return finish(head, context)
        }
        var status = HTTPResponseStatus.ok
        var range = 0..<file.bytes
        let ifRange = head.headers.first(name: "if-range")
        switch ByteRange.parse(head.headers.first(name: "range"), of: file.bytes) {
        case .range(let wanted) where ifRange == nil || ifRange == tag:
            status = .partialContent
            range = wanted
            headers.add(name: "content-range", value: "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(file.bytes)")
        case .unsatisfiable:
            headers.add(name: "content-range", value: "bytes */\(file.bytes)")
            headers.add(name: "content-length", value: "0")
            context.write(
                wrapOutboundOut(.head(.init(version: head.version, status: .rangeNotSatisfiable, headers: headers))), promise: nil)
            return finish(head, context)
        case .range, .whole: break
        }
        headers.add(name: "content-length", value: "\(range.count)")
        context.write(wrapOutboundOut(.head(.init(version: head.version, status: status, headers: headers))), promise: nil)
        if head.method == .HEAD { return finish(head, context) }
        send(.file(file, range), of: head, context)
    }

    /// Sends a body a piece at a time, each when the one before is with the kernel. A write ends only when all of
    /// it is sent, and nothing else tells a slow peer from one that is gone.
    private func send(_ body: ReplyBody, of head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        var rest = body
        guard let piece = rest.next() else { return finish(head, context) }
        let count = piece.readableBytes
        // A file stays open until its piece is sent, whatever becomes of the rest.
        let bound = NIOLoopBound((self, context, rest), eventLoop: context.eventLoop)
        let sent = context.eventLoop.makePromise(of: Void.self)
        sent.futureResult.whenSuccess {
            let (handler, context, rest) = bound.value
            handler.counters.add("bytes", count)
            handler.send(rest, of: head, context)
        }
        sent.futureResult.whenFailure { _ in _ = bound.value }
        context.writeAndFlush(wrapOutboundOut(.body(piece)), promise: sent)
    }

    private func finish(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        let ended = context.eventLoop.makePromise(of: Void.self)
        if !head.isKeepAlive { ended.futureResult.whenComplete { _ in bound.value.close(promise: nil) } }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: ended)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard event is IdleStateHandler.IdleStateEvent else { return context.fireUserInboundEventTriggered(event) }
        counters.add("idle-closed")
        context.close(promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        counters.add("malformed")
        context.close(promise: nil)
    }
}
