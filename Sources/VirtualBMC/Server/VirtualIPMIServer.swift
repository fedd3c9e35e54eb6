public import Logging
public import NIOCore
internal import NIOPosix
internal import Sockets
internal import Synchronization

/// Puts a virtual BMC's IPMI on a network: RMCP+ by UDP.
///
/// Datagrams are answered one after the other, as by the small processor of a BMC.
public final class VirtualIPMIServer: Sendable {
    typealias Inbound = AddressedEnvelope<ByteBuffer>
    /// IPMI 2.0 §13.1.2: RMCP's primary port.
    public static let port = IPMIService.port

    /// Where it listens; the port is the real one.
    public let address: SocketAddress
    private let bmc: VirtualBMC
    private let channel: NIOAsyncChannel<Inbound, Never>
    private let log: Logger
    /// What wakes it when something is due.
    private let timer = Mutex<Scheduled<Void>?>(nil)

    /// Listens at once; answers while `run` does.
    public convenience init(
        _ bmc: VirtualBMC, host: String, port: Int, log: Logger = Logger(label: "hostler.bmc")
    ) async throws {
        let channel = Self.bootstrap.bind(host: host, port: port).flatMap { Self.wrap($0) }
        try await self.init(bmc, log, channel: channel.get())
    }

    /// The same on a UDP socket that is bound already, which may be one of another network namespace. It is its own now.
    public convenience init(
        _ bmc: VirtualBMC, socket: CInt, log: Logger = Logger(label: "hostler.bmc")
    ) async throws {
        let channel = Self.bootstrap.withBoundSocket(socket).flatMap { Self.wrap($0) }
        try await self.init(bmc, log, channel: channel.get())
    }

    private static var bootstrap: DatagramBootstrap {
        DatagramBootstrap(group: MultiThreadedEventLoopGroup.singleton)
    }

    private init(_ bmc: VirtualBMC, _ log: Logger, channel: NIOAsyncChannel<Inbound, Never>) throws {
        guard let address = channel.channel.localAddress else { throw ChannelError.unknownLocalAddress }
        self.bmc = bmc
        self.log = log
        self.address = address
        self.channel = channel
        bmc.listens(atIPMI: address.port.map { UInt16(truncatingIfNeeded: $0) })
    }

    private static func wrap(_ channel: any Channel) -> EventLoopFuture<NIOAsyncChannel<Inbound, Never>> {
        channel.eventLoop.makeCompletedFuture { try NIOAsyncChannel(wrappingChannelSynchronously: channel) }
    }

    /// Listens no more; `run` returns.
    public func close() async {
        bmc.listens(atIPMI: nil)
        try? await channel.channel.close()
    }

    /// Answers until cancelled. What a machine writes on its serial port comes as long as the BMC runs, too.
    public func run() async throws {
        bmc.onConsole { [weak self] in self?.sendWhatIsDue() }
        defer {
            bmc.onConsole(nil)
            timer.withLock { $0 }?.cancel()
        }
        try await channel.executeThenClose { inbound in
            for try await datagram in inbound {
                let remote = datagram.remoteAddress
                guard let address = remote.ipv4, let port = remote.port else { continue }
                let peer = IPMIPeer(address: address, port: UInt16(truncatingIfNeeded: port))
                let answer = await bmc.reply(toIPMI: Array(datagram.data.readableBytesView), from: peer)
                channel.channel.eventLoop.execute {
                    if let answer { self.send(answer, to: remote) }
                    self.sendDue()
                }
            }
        }
    }

    private func sendWhatIsDue() { channel.channel.eventLoop.execute { self.sendDue() } }

    /// On the event loop.
    private func sendDue() {
        while let datagram = bmc.nextForConsole() {
            send(datagram.bytes, to: SocketAddress(datagram.peer.address, port: datagram.peer.port))
        }
        let wait = bmc.consoleWait
        timer.withLock { timer in
            timer?.cancel()
            timer = wait.map { wait in
                // The BMC's clock counts milliseconds.
                channel.channel.eventLoop.scheduleTask(in: max(.milliseconds(1), TimeAmount(wait))) { [weak self] in self?.sendDue() }
            }
        }
    }

    private func send(_ bytes: [UInt8], to remote: SocketAddress) {
        let refused = Datagram.send(bytes, to: remote, on: channel.channel)
        // Whoever asked has gone; the next one has not.
        if refused != 0 { log.debug("an IPMI datagram was not sent", metadata: ["errno": "\(refused)"]) }
    }
}
