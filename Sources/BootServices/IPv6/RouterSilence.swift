internal import CLinux
public import Control
internal import Glibc
public import Logging
internal import Model
public import NIOCore
internal import NetBoot
internal import NIOPosix
internal import Synchronization
internal import Wire

/// Spares booting machines the wait for an IPv6 router that is not there.
///
/// iPXE asks for routers (RFC 4861 §6.3.7) beside DHCP, and goes on only when both have ended: on a wire without IPv6
/// it stands still for a quarter of a minute at each boot. It is told at once that there is none. Only a machine whose
/// firmware has just asked this server for something to boot is answered, at its own address alone, with an
/// advertisement that configures nothing; where a router is heard, it speaks, and this stays silent.
///
/// A system that asks can be told that the prefix of the metadata service is on the link; that is so whatever routers
/// there are.
public final class RouterSilence: Sendable {
    public let counters = Counters()
    private let interface: String
    private let control: ControlPlane
    private let logger: Logger
    /// What a machine that is not booting hears; nil: nothing.
    private let advertisement: [UInt8]?
    private let routerHeard = Mutex<Timestamp?>(nil)

    /// Routers repeat themselves at least every half hour (RFC 4861 §6.2.1, MaxRtrAdvInterval).
    private static let routersMemory = Duration.seconds(1800)

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
        let now = control.now
        guard source.isLinkLocal, let message = RouterDiscovery(parsing: bytes) else {
            counters.add("dropped")
            return nil
        }
        switch message {
        case .advertisement(let lifetime):
            if lifetime > 0 { routerHeard.withLock { $0 = now } }
            return nil
        case .solicitation(let mac):
            counters.add("asked")
            guard let mac, control.bootTraces.isBooting(mac, at: now) else {
                if advertisement != nil { counters.add("told-prefix") }
                return advertisement
            }
            if let heard = routerHeard.withLock({ $0 }), now - heard < Self.routersMemory { return nil }
            counters.add("answered")
            return RouterDiscovery.nothingHere
        }
    }
}

extension SocketAddress {
    /// fe80::/10 (RFC 4291 §2.5.6): from this wire, as routers forward none.
    fileprivate var isLinkLocal: Bool {
        guard case .v6(let address) = self else { return false }
        return withUnsafeBytes(of: address.address.sin6_addr) { $0[0] == 0xfe && $0[1] & 0xc0 == 0x80 }
    }
}

/// The socket of router discovery.
private final class RouterSilenceHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    typealias OutboundOut = AddressedEnvelope<ByteBuffer>
    private let silence: RouterSilence

    init(silence: RouterSilence) { self.silence = silence }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let envelope = unwrapInboundIn(data)
        guard let answer = silence.answer(to: Array(envelope.data.readableBytesView), from: envelope.remoteAddress) else {
            return
        }
        let reply = AddressedEnvelope(remoteAddress: envelope.remoteAddress, data: ByteBuffer(bytes: answer))
        context.writeAndFlush(wrapOutboundOut(reply), promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A message that could not be sent: whoever asked asks again, or waits.
        silence.counters.add("error")
    }
}
