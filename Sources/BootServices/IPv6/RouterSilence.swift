internal import CLinux
public import Control
internal import Glibc
public import Logging
internal import Model
public import NIOCore
internal import NetBoot
internal import NIOPosix
internal import Sockets
internal import Synchronization
internal import Wire

/// Spares booting machines the wait for an IPv6 router that is not there.
///
/// iPXE asks for routers (RFC 4861 §6.3.7) beside DHCP, and goes on only when both have ended: on a wire without IPv6
/// it stands still for a quarter of a minute at each boot. It is told at once that there is none. Only a machine whose
/// firmware has just asked this server for something to boot, and has not got it yet, is answered, at its own address
/// alone, with an advertisement that configures nothing; where a router has said that it is there, it speaks, and this
/// stays silent.
///
/// A system that asks can be told that the prefix of the metadata service is on the link; that is so whatever routers
/// there are. It must be, the first time that it asks: having heard any advertisement, it asks no more (§6.3.7).
public final class RouterSilence: Sendable {
    public let counters = Counters()
    fileprivate let interface: String
    private let control: ControlPlane
    private let logger: Logger
    /// What a machine that is not booting hears; nil: nothing.
    private let advertisement: [UInt8]?
    /// Routers by address, and until when they said that they are there (RFC 4861 §6.3.4).
    private let routers = Mutex<[IPv6Address: Timestamp]>([:])
    /// So many at once; of more it is enough to know these.
    private static let routerLimit = 16

    /// - Parameter advertisement: what systems that ask for a router are told beside.
    public init(interface: String, control: ControlPlane, advertisement: [UInt8]? = nil, logger: Logger) {
        self.interface = interface
        self.control = control
        self.advertisement = advertisement
        self.logger = logger
    }

    /// Listens until the channel is closed. Nil where the interface has no IPv6: machines then wait, and boot.
    ///
    /// - Parameter group: its threads are in the interface's network namespace.
    public func start(on group: any EventLoopGroup) async throws -> (any Channel)? {
        let loop = group.next()
        let descriptor = try await loop.submit { [interface] in clinux_router_socket(interface) }.get()
        guard descriptor >= 0 else {
            logger.info(
                "no IPv6 on this interface: iPXE waits some 15 s for a router at each boot",
                metadata: ["interface": "\(interface)", "errno": "\(-descriptor)"])
            return nil
        }
        return try await DatagramBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(RouterSilenceHandler(silence: self))
                }
            }
            .withBoundSocket(descriptor).get()
    }

    /// The answer to a message, if it gets one.
    func answer(to bytes: [UInt8], from source: SocketAddress) -> [UInt8]? {
        let now = control.steady
        // Routers forward nothing of the link's own addresses: it is from this wire.
        guard let sender = MetadataSource(source)?.ipv6, sender.isLinkLocal, let message = RouterDiscovery(parsing: bytes) else {
            counters.add("dropped")
            return nil
        }
        switch message {
        case .advertisement(let lifetime):
            hear(sender, until: now + .seconds(Int(lifetime)), at: now)
            return nil
        case .solicitation(let mac):
            counters.add("asked")
            guard let mac, control.bootTraces.isBooting(mac, at: now) else {
                if advertisement != nil { counters.add("told-prefix") }
                return advertisement
            }
            guard !hearsRouter else { return nil }
            counters.add("answered")
            return RouterDiscovery.nothingHere
        }
    }

    /// Lifetime 0: it is a router no more.
    private func hear(_ router: IPv6Address, until end: Timestamp, at now: Timestamp) {
        routers.withLock { routers in
            routers = routers.filter { now < $0.value }
            routers[router] = nil
            if now < end, routers.count < Self.routerLimit { routers[router] = end }
        }
    }

    /// Whether a router is there by its own word.
    var hearsRouter: Bool {
        let now = control.steady
        return routers.withLock { $0.values.contains { now < $0 } }
    }
}

/// The socket of router discovery.
private final class RouterSilenceHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    private let silence: RouterSilence
    private var clock: RepeatedTask?
    private var questionsLeft = 3

    init(silence: RouterSilence) { self.silence = silence }

    /// A router that has been there for long repeats itself after half an hour: it is asked (RFC 4861 §6.3.7,
    /// RTR_SOLICITATION_INTERVAL, MAX_RTR_SOLICITATIONS).
    func channelActive(context: ChannelHandlerContext) {
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        clock = context.eventLoop.scheduleRepeatedTask(initialDelay: .zero, delay: .seconds(4)) { task in
            let handler = bound.value
            guard handler.questionsLeft > 0, !handler.silence.hearsRouter else { return task.cancel() }
            handler.questionsLeft -= 1
            // By a socket of its own: a failure would close this one. While the link is not up, or our address there is
            // not proved to be unique, it fails.
            if clinux_router_solicit(handler.silence.interface) != 0 { handler.silence.counters.add("not-asked") }
        }
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        clock?.cancel()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let envelope = unwrapInboundIn(data)
        guard let answer = silence.answer(to: Array(envelope.data.readableBytesView), from: envelope.remoteAddress) else {
            return
        }
        // What cannot be sent is asked for again, or waited for.
        if Datagram.send(answer, to: envelope.remoteAddress, on: context.channel) != 0 { silence.counters.add("unsent") }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A message that could not be sent: whoever asked asks again, or waits.
        silence.counters.add("error")
    }
}
