internal import Crypto
internal import FoundationEssentials
internal import NIOCore
internal import NIOHTTP1
internal import NIOHTTPTypesHTTP1
internal import NIOWebSocket

/// Decides by a connection's first request what it is: HTTP, or a console's websocket (RFC 6455 §4.2).
///
/// Only a request that asks for a console's socket waits for the decision. A refusal is told by the route of the same
/// path, to which the request goes on as it came.
final class ConsoleUpgrade: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private enum Standing {
        case unknown
        case judged(key: String)
        case decided
    }

    typealias Handlers = (encoder: HTTPResponseEncoder, decoder: ByteToMessageHandler<HTTPRequestDecoder>, pace: RequestPaceHandler)

    private let http: Handlers
    private let conversation: EventLoopPromise<UpgradableChannel.Conversation>
    /// Who may sit at the console that a request is for.
    private let visit: @Sendable (HTTPRequestHead) async throws -> ConsoleVisit?
    private var standing = Standing.unknown
    /// What came of the request that is judged: its head and its end.
    private var held: [HTTPServerRequestPart] = []

    init(
        http: Handlers,
        conversation: EventLoopPromise<UpgradableChannel.Conversation>,
        visit: @escaping @Sendable (HTTPRequestHead) async throws -> ConsoleVisit?
    ) {
        self.http = http
        self.conversation = conversation
        self.visit = visit
    }

    // MARK: What comes

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch standing {
        case .unknown:
            let part = Self.unwrapInboundIn(data)
            held = [part]
            guard case .head(let head) = part, let key = Self.key(in: head) else { return becomeHTTP(context) }
            standing = .judged(key: key)
            let promise = context.eventLoop.makePromise(of: ConsoleVisit?.self)
            promise.completeWithTask { [visit] in try await visit(head) }
            promise.futureResult.assumeIsolated().whenComplete { self.judged($0, context) }
        case .judged:
            let part = Self.unwrapInboundIn(data)
            held.append(part)
            // Nobody who wants a websocket sends more than a head before the answer.
            if case .end = part, held.count == 2 { return }
            becomeHTTP(context)
        case .decided: context.fireChannelRead(data)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A request that is none is answered by those who know how.
        if case .decided = standing { context.fireErrorCaught(error) } else { becomeHTTP(context, telling: error) }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .decided = standing {} else if let end = event as? ChannelEvent, end == .inputClosed { context.close(promise: nil) }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        fail(ChannelError.eof)
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) { fail(ChannelError.inappropriateOperationForState) }

    private func fail(_ error: any Error) {
        if case .decided = standing { return }
        standing = .decided
        conversation.fail(error)
    }

    /// The key of a request for a console's socket; nil for any other.
    private static func key(in head: HTTPRequestHead) -> String? {
        guard head.method == .GET, head.version == .http1_1, ConsoleVisit.machine(in: head.uri) != nil,
            head.headers[canonicalForm: "upgrade"].contains(where: { $0.lowercased() == "websocket" }),
            head.headers[canonicalForm: "connection"].contains(where: { $0.lowercased() == "upgrade" }),
            head.headers["sec-websocket-version"] == ["13"], let key = head.headers.first(name: "sec-websocket-key"),
            Data(base64Encoded: key)?.count == 16
        else { return nil }
        return key
    }

    // MARK: The decision

    private func judged(_ result: Result<ConsoleVisit?, any Error>, _ context: ChannelHandlerContext) {
        guard case .judged(let key) = standing, context.channel.isActive else { return }
        guard case .success(let visit?) = result else { return becomeHTTP(context) }
        becomeConsole(visit, key: key, context)
    }

    private func becomeHTTP(_ context: ChannelHandlerContext, telling error: (any Error)? = nil) {
        standing = .decided
        let operations = context.pipeline.syncOperations
        do {
            try operations.addHandlers([RefusedUpgrade(), HTTP1ToHTTPServerCodec(secure: false)])
            let channel = try UpgradableChannel.HTTP(
                wrappingChannelSynchronously: context.channel,
                configuration: .init(backPressureStrategy: .init(lowWatermark: 2, highWatermark: 4), isOutboundHalfClosureEnabled: true))
            conversation.succeed(.http(channel))
        } catch {
            conversation.fail(error)
            return context.close(promise: nil)
        }
        for part in held { context.fireChannelRead(Self.wrapInboundOut(part)) }
        if !held.isEmpty { context.fireChannelReadComplete() }
        held = []
        // Before this handler goes: it has no neighbour then.
        if let error { context.fireErrorCaught(error) }
        operations.removeHandler(context: context, promise: nil)
    }

    private func becomeConsole(_ visit: ConsoleVisit, key: String, _ context: ChannelHandlerContext) {
        standing = .decided
        held = []
        let headers: HTTPHeaders = [
            "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": Self.accepted(key), "Server": "hostler",
        ]
        context.write(
            Self.wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: .switchingProtocols, headers: headers))), promise: nil)
        context.writeAndFlush(Self.wrapOutboundOut(.end(nil)), promise: nil)
        let operations = context.pipeline.syncOperations
        do {
            try operations.addHandler(WebSocketFrameEncoder())
            try operations.addHandler(ByteToMessageHandler(WebSocketFrameDecoder(maxFrameSize: ConsoleSocket.frameLimitBytes)))
            try operations.addHandler(WebSocketProtocolErrorHandler())
            let frames = try ConsoleSocket.Frames(wrappingChannelSynchronously: context.channel)
            conversation.succeed(.console(frames, visit))
        } catch {
            conversation.fail(error)
            return context.close(promise: nil)
        }
        operations.removeHandler(context: context, promise: nil)
        operations.removeHandler(http.pace, promise: nil)
        operations.removeHandler(http.encoder, promise: nil)
        // What it has read already goes on to the frames' decoder.
        operations.removeHandler(http.decoder, promise: nil)
    }

    /// RFC 6455 §4.2.2, 5.4.
    static func accepted(_ key: String) -> String {
        Data(Insecure.SHA1.hash(data: Data((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8))).base64EncodedString()
    }
}
