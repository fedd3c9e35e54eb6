public import Logging
public import NIOCore
public import NIOPosix

/// Puts a virtual BMC's IPMI on a network: RMCP+ by UDP.
///
/// Datagrams are answered one after the other, as by the small processor of a BMC.
public final class VirtualIPMIServer: Sendable {
    typealias Datagram = AddressedEnvelope<ByteBuffer>
    /// IPMI 2.0 §13.1.2: RMCP's primary port.
    public static let port: UInt16 = 623

    /// Where it listens; the port is the real one.
    public let address: SocketAddress
    private let bmc: VirtualBMC
    private let channel: NIOAsyncChannel<Datagram, Datagram>
    private let log: Logger

    /// Listens at once; answers while `run` does.
    ///
    /// - Parameter loop: the socket is made on its thread, and so in the network namespace that this is in.
    public convenience init(
        _ bmc: VirtualBMC, host: String, port: Int, loop: any EventLoop = MultiThreadedEventLoopGroup.singleton.next(),
        log: Logger = Logger(label: "hostler.bmc")
    ) async throws {
        let channel = loop.flatSubmit {
            DatagramBootstrap(group: loop).bind(host: host, port: port).flatMap { Self.wrap($0) }
        }
        try await self.init(bmc, log, channel: channel.get())
    }

    private init(_ bmc: VirtualBMC, _ log: Logger, channel: NIOAsyncChannel<Datagram, Datagram>) throws {
        guard let address = channel.channel.localAddress else { throw ChannelError.unknownLocalAddress }
        self.bmc = bmc
        self.log = log
        self.address = address
        self.channel = channel
    }

    private static func wrap(_ channel: any Channel) -> EventLoopFuture<NIOAsyncChannel<Datagram, Datagram>> {
        channel.eventLoop.makeCompletedFuture { try NIOAsyncChannel(wrappingChannelSynchronously: channel) }
    }

    /// Listens no more; `run` returns.
    public func close() async { try? await channel.channel.close() }

    /// Answers until cancelled.
    public func run() async throws {
        try await channel.executeThenClose { inbound, outbound in
            for try await datagram in inbound {
                guard let answer = await bmc.reply(toIPMI: Array(datagram.data.readableBytesView)) else { continue }
                do {
                    try await outbound.write(Datagram(remoteAddress: datagram.remoteAddress, data: ByteBuffer(bytes: answer)))
                } catch let error as IOError {
                    // Whoever asked has gone; the next one has not.
                    log.debug("an IPMI answer was not sent", metadata: ["error": "\(error)"])
                }
            }
        }
    }
}
