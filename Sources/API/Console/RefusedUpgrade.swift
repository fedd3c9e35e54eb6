internal import NIOCore
internal import NIOHTTP1

/// Ends a connection after the answer to a request that asked for another protocol and did not get it.
///
/// The decoder reads nothing after such a request, since what follows may be the other protocol: a client that kept the
/// connection would wait for its next answer for ever (RFC 9110 §7.8 lets a server go on; NIO's cannot).
final class RefusedUpgrade: ChannelDuplexHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    private var requests = 0
    private var responses = 0
    /// The number of the last request that is read.
    private var last: Int?

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if case .head(let head) = Self.unwrapInboundIn(data) {
            requests += 1
            if head.headers.contains(name: "upgrade") { last = requests }
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch Self.unwrapOutboundIn(data) {
        case .head(var head):
            if head.status.code >= 200 { responses += 1 }
            if responses == last { head.headers.replaceOrAdd(name: "Connection", value: "close") }
            context.write(Self.wrapOutboundOut(.head(head)), promise: promise)
        case .end where responses == last:
            let written = promise ?? context.eventLoop.makePromise()
            context.write(data, promise: written)
            written.futureResult.assumeIsolated().whenComplete { _ in context.close(promise: nil) }
        default: context.write(data, promise: promise)
        }
    }
}
