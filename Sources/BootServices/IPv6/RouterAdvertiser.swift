internal import CLinux
internal import NIOCore
internal import NIOPosix
internal import NetBoot
internal import Wire

/// Tells the machines of one link, at once when one asks and else every minute, that the prefix of the metadata
/// service's IPv6 address is on it (RFC 4861 §6.2).
final class RouterAdvertiser: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    typealias OutboundOut = AddressedEnvelope<ByteBuffer>

    static let pause = TimeAmount.seconds(60)
    /// So that a machine which missed a few still has it.
    private static let lifetimeSeconds: UInt32 = 1800
    /// RFC 4861 §6.2.6: answers to all machines go out at most so often.
    private static let leastPause = TimeAmount.seconds(3)

    private let prefix: IPv6Address
    private let counters: Counters
    private var clock: RepeatedTask?
    private var lastSent: NIODeadline?
    private var pending: Scheduled<Void>?

    private init(prefix: IPv6Address, counters: Counters) {
        self.prefix = prefix
        self.counters = counters
    }

    /// - Parameter loop: one whose thread is in the interface's namespace.
    static func start(prefix: IPv6Address, interface: String, counters: Counters, on loop: any EventLoop) async throws -> any Channel {
        let descriptor = try await loop.submit { clinux_router_socket(interface) }.get()
        guard descriptor >= 0 else {
            throw BootServiceError.bind(
                service: "router advertisement", interface: interface, port: 0, cause: "no ICMPv6 socket (errno \(-descriptor))")
        }
        return try await DatagramBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(RouterAdvertiser(prefix: prefix, counters: counters))
                }
            }
            .withBoundSocket(descriptor).get()
    }

    func channelActive(context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        clock = context.eventLoop.scheduleRepeatedTask(initialDelay: .zero, delay: Self.pause) { _ in
            bound.value.0.advertise(bound.value.1)
        }
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        clock?.cancel()
        pending?.cancel()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = Array(unwrapInboundIn(data).data.readableBytesView)
        guard case .solicitation = RouterDiscovery(parsing: bytes) else { return }
        counters.add("router-solicitations")
        guard pending == nil else { return }
        guard let lastSent, lastSent + Self.leastPause > .now() else { return advertise(context) }
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        pending = context.eventLoop.scheduleTask(deadline: lastSent + Self.leastPause) {
            bound.value.0.pending = nil
            bound.value.0.advertise(bound.value.1)
        }
    }

    private func advertise(_ context: ChannelHandlerContext) {
        guard let everybody = try? SocketAddress(ipAddress: "ff02::1", port: 0) else { return }
        lastSent = .now()
        counters.add("router-advertisements")
        let bytes = RouterAdvertisement(prefix: prefix, lifetimeSeconds: Self.lifetimeSeconds).bytes
        let envelope = AddressedEnvelope(remoteAddress: everybody, data: context.channel.allocator.buffer(bytes: bytes))
        // One that the link did not take is followed by another.
        context.writeAndFlush(wrapOutboundOut(envelope), promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { counters.add("router-failed") }
}
