internal import Model
internal import NIOCore
internal import NIOHTTP1

/// Closes a connection of the API that does not go on as ``RequestPace`` says, from its first packet on.
final class RequestPaceHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    private var pace: RequestPace
    private let tick: TimeAmount
    private let onLate: @Sendable (RequestPace.Lateness) -> Void
    private var ticking: RepeatedTask?
    private var isDraining = false

    init(_ limits: ConnectionLimits, onLate: @escaping @Sendable (RequestPace.Lateness) -> Void) {
        pace = RequestPace(limits, now: .now)
        tick = .milliseconds(max(1, limits.tick.wholeMilliseconds))
        self.onLate = onLate
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        ticking = context.eventLoop.scheduleRepeatedTask(initialDelay: tick, delay: tick) { _ in
            let (handler, context) = bound.value
            if let lateness = handler.pace.lateness(.now) { handler.end(context, lateness) }
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) { stop() }

    func channelInactive(context: ChannelHandlerContext) {
        stop()
        context.fireChannelInactive()
    }

    private func stop() {
        ticking?.cancel()
        ticking = nil
    }

    private func end(_ context: ChannelHandlerContext, _ lateness: RequestPace.Lateness) {
        stop()
        if lateness != .drain, lateness != .idle { onLate(lateness) }
        context.close(promise: nil)
    }

    // MARK: What comes

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch Self.unwrapInboundIn(data) {
        case .head: pace.headCame(.now)
        case .body(let buffer): pace.bodyCame(buffer.readableBytes, .now)
        case .end: pace.requestEnded(.now)
        }
        guard isDraining else { return context.fireChannelRead(data) }
        if pace.isDrained { end(context, .drain) }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        pace.reading(false, .now)
        if isDraining { context.read() } else { context.fireChannelReadComplete() }
    }

    func read(context: ChannelHandlerContext) {
        pace.reading(true, .now)
        context.read()
    }

    // MARK: What goes

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        // What follows an answer to a request that never came as a whole has no one to go to.
        if isDraining { return promise?.fail(ChannelError.outputClosed) ?? () }
        switch Self.unwrapOutboundIn(data) {
        case .head(var head):
            if head.status.code >= 200, !pace.requestIsWhole { head.headers.replaceOrAdd(name: "Connection", value: "close") }
            context.write(Self.wrapOutboundOut(.head(head)), promise: watched(promise, context))
        case .body(.byteBuffer(var buffer)):
            // In pieces, each of which shows that the client takes what it is sent.
            while buffer.readableBytes > Self.pieceBytes, let piece = buffer.readSlice(length: Self.pieceBytes) {
                context.write(Self.wrapOutboundOut(.body(.byteBuffer(piece))), promise: watched(nil, context))
            }
            context.write(Self.wrapOutboundOut(.body(.byteBuffer(buffer))), promise: watched(promise, context))
        case .body: context.write(data, promise: watched(promise, context))
        case .end:
            context.write(data, promise: watched(promise, context))
            guard pace.answered(.now) else { return }
            isDraining = true
            context.flush()
            context.close(mode: .output, promise: nil)
            context.read()
        }
    }

    private static let pieceBytes = 64 << 10

    private func watched(_ promise: EventLoopPromise<Void>?, _ context: ChannelHandlerContext) -> EventLoopPromise<Void> {
        let promise = promise ?? context.eventLoop.makePromise()
        pace.writeBegan(.now)
        promise.futureResult.assumeIsolated().whenComplete { _ in self.pace.writeEnded(.now) }
        return promise
    }
}
