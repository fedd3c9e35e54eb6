internal import NIOCore
internal import NIOHTTP1
internal import Wire

/// One connection of machines' HTTP. Requests are answered one at a time: the pipeline holds the next one back.
final class BootConnection: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    /// Stands before the decoder, and counts what comes.
    final class ByteCount: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias InboundOut = ByteBuffer
        private let connection: BootConnection

        init(_ connection: BootConnection) { self.connection = connection }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            connection.willHear(unwrapInboundIn(data).readableBytes)
            // What a refused peer still sends is not even parsed.
            if connection.clock.phase != .lingering { context.fireChannelRead(data) }
            connection.heard()
        }
    }

    private let server: BootHTTPServer
    private let place: ConnectionGate.Place
    private let remote: SocketAddress?
    private let frameSource: MACAddress?
    private var clock: ConnectionClock
    private var head: HTTPRequestHead?
    private var body: [UInt8] = []
    private var limit = 0
    /// Of the head that is being read, or of what a refused peer sends.
    private var heardBytes = 0
    private var context: ChannelHandlerContext?
    /// Called once, when it is over.
    var onEnd: ((BootConnection) -> Void)?

    init(server: BootHTTPServer, place: ConnectionGate.Place, remote: SocketAddress?, frameSource: MACAddress?, now: NIODeadline) {
        self.frameSource = frameSource
        self.server = server
        self.place = place
        self.remote = remote
        clock = ConnectionClock(server.deadlines, now: now)
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        onEnd?(self)
        onEnd = nil
    }

    private func enter(_ phase: ConnectionClock.Phase) {
        let now = NIODeadline.now()
        clock.enter(phase, now: now)
        heardBytes = 0
        switch phase {
        case .fresh, .idle, .head, .lingering: place.set(.idle, since: now)
        case .body: place.set(.body, since: now)
        case .answering, .sending: place.set(.answer, since: now)
        }
    }

    // MARK: What comes

    private func willHear(_ count: Int) {
        clock.heard(now: .now())
        heardBytes += count
    }

    private func heard() {
        switch clock.phase {
        // It is not whole yet, or its phase would be another.
        case .head where heardBytes > BootHTTPServer.headLimitBytes: cut("head-too-large")
        case .lingering where heardBytes > BootHTTPServer.lingerLimitBytes: context?.close(promise: nil)
        default: break
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard clock.phase != .lingering else { return }
        switch unwrapInboundIn(data) {
        case .head(let head): begin(head, context)
        case .body(let buffer): collect(buffer, context)
        case .end:
            guard let head else { return }
            self.head = nil
            answer(head, context)
        }
    }

    /// Decides by the head, before any byte of the body is kept.
    private func begin(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        self.head = head
        body = []
        limit = server.hooks.bodyLimit(head, remote)
        let declared = head.headers.first(name: "content-length").map { Int($0) ?? .max } ?? 0
        let isChunked = head.headers.contains(name: "transfer-encoding")
        guard declared <= limit, !isChunked || limit > 0 else { return refuse(.payloadTooLarge, "body-too-large", head, context) }
        enter(.body)
        guard declared > 0 || isChunked, head.headers[canonicalForm: "expect"].contains(where: { $0.lowercased() == "100-continue" })
        else { return }
        // RFC 9110 §10.1.1: the client waits for this before it sends its body.
        context.writeAndFlush(wrapOutboundOut(.head(.init(version: head.version, status: .continue))), promise: nil)
    }

    private func collect(_ buffer: ByteBuffer, _ context: ChannelHandlerContext) {
        guard let head else { return }
        let count = buffer.readableBytes
        clock.heardBody(bytes: count)
        guard body.count + count <= limit else { return refuse(.payloadTooLarge, "body-too-large", head, context) }
        guard server.gate.take(count, for: place) else { return refuse(.serviceUnavailable, "bodies", head, context) }
        body.append(contentsOf: buffer.readableBytesView)
    }

    private func answer(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        server.counters.add("requests")
        enter(.answering)
        let (path, query) = FormText.split(head.uri)
        let request = BootRequest(
            method: head.method, path: path, query: query, headers: head.headers, body: body, remote: remote,
            frameSource: frameSource)
        let hadBody = !body.isEmpty
        body = []
        let respond = server.respond
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        context.eventLoop.makeFutureWithTask { await respond(request) }.whenSuccess { reply in
            let (connection, context) = bound.value
            // Its bytes are kept until it is answered.
            if hadBody { connection.server.gate.giveBack(connection.place) }
            connection.send(reply, to: head, context)
        }
    }

    // MARK: Refusals

    /// Answers a request whose body is not read, and ends the connection: the peer has a moment to read why.
    private func refuse(_ status: HTTPResponseStatus, _ why: String, _ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        server.note(why, place.caller, remote)
        self.head = nil
        body = []
        server.gate.giveBack(place)
        enter(.lingering)
        let text = Array("\(status.reasonPhrase)\n".utf8)
        var headers = HTTPHeaders([("content-type", "text/plain"), ("content-length", "\(text.count)"), ("connection", "close")])
        if status == .serviceUnavailable { headers.add(name: "retry-after", value: "5") }
        context.write(wrapOutboundOut(.head(.init(version: head.version, status: status, headers: headers))), promise: nil)
        if head.method != .HEAD { context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: text)))), promise: nil) }
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in bound.value.close(mode: .output, promise: nil) }
    }

    /// Ends the connection without a word.
    private func cut(_ why: String) {
        server.note(why, place.caller, remote)
        server.gate.giveBack(place)
        context?.close(promise: nil)
    }

    /// Called several times a second.
    func timePassed(_ now: NIODeadline) {
        guard let context, let lateness = clock.lateness(at: now) else { return }
        switch lateness {
        case .slowHead:
            // One that never said a word is not worth an event.
            if clock.phase == .fresh { server.counters.add("idle-closed") } else { server.note("head-slow", place.caller, remote) }
        case .slowBody:
            if let head { return refuse(.requestTimeout, "body-slow", head, context) }
        case .idle: server.counters.add("idle-closed")
        case .untaken:
            server.counters.add("idle-closed")
            server.counters.add("reply-untaken")
        case .lingered: break
        }
        server.gate.giveBack(place)
        context.close(promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // Anything else is a connection that broke.
        if let error = error as? HTTPParserError, error != .invalidEOFState { server.counters.add("malformed") }
        context.close(promise: nil)
    }

    // MARK: Replies

    private func send(_ reply: BootReply, to head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        guard context.channel.isActive else { return }
        enter(.sending)
        switch reply {
        case .bytes(let status, let type, let bytes):
            var headers = HTTPHeaders([("content-type", type), ("content-length", "\(bytes.count)")])
            if !head.isKeepAlive { headers.add(name: "connection", value: "close") }
            if status == .serviceUnavailable || status == .tooManyRequests { headers.add(name: "retry-after", value: "5") }
            context.write(wrapOutboundOut(.head(.init(version: head.version, status: status, headers: headers))), promise: nil)
            if head.method == .HEAD { return finish(head, context) }
            send(.bytes(ByteBuffer(bytes: bytes)), of: head, context)
        case .file(let path, let type, let etag):
            sendFile(path, type: type, etag: etag, to: head, context)
        }
    }

    private func sendFile(_ path: String, type: String, etag: String?, to head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        let file: OpenFile
        do throws(FileOpenError) {
            file = try OpenFile(path: path)
        } catch .absent {
            return send(.bytes(.notFound, type: "text/plain", Array("not there\n".utf8)), to: head, context)
        } catch {
            // Not a 404, which the agent takes for final.
            server.counters.add("file-unavailable")
            return send(.bytes(.serviceUnavailable, type: "text/plain", Array("not now\n".utf8)), to: head, context)
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
            let (connection, context, rest) = bound.value
            connection.server.counters.add("bytes", count)
            connection.enter(.sending)
            connection.send(rest, of: head, context)
        }
        sent.futureResult.whenFailure { _ in _ = bound.value }
        context.writeAndFlush(wrapOutboundOut(.body(piece)), promise: sent)
    }

    private func finish(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let ended = context.eventLoop.makePromise(of: Void.self)
        ended.futureResult.whenComplete { _ in
            let (connection, context) = bound.value
            guard head.isKeepAlive else { return context.close(promise: nil) }
            // The pipeline may have handed on the next request already.
            if connection.clock.phase == .sending { connection.enter(.idle) }
        }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: ended)
    }
}
