internal import Glibc
public import Logging
public import NIOCore
import NIOPosix
public import NetBoot
internal import Sockets

/// The numbers of errors that mean something to TFTP.
enum TFTPErrno {
    /// ECONNREFUSED on Linux.
    static let connectionRefused: CInt = 111

    /// Whether the host lacks open files, or memory, at present.
    static func isShortage(_ error: any Error) -> Bool {
        if case .unavailable? = error as? FileOpenError { return true }
        guard let error = error as? IOError else { return false }
        return [ENFILE, EMFILE, ENOMEM, ENOBUFS].contains(error.errnoCode)
    }
}

/// A read-only TFTP server on one address (RFC 1350).
///
/// Requests come to the one port given; each transfer gets a port and a socket of its own. All sockets are made on
/// threads of the event loop group, which may live in another network namespace than the caller.
public final class TFTPServer: Sendable {
    private let channel: any Channel
    private let interface: String?
    private let group: any EventLoopGroup
    private let source: any TFTPFileSource
    private let session: TFTPReadSession.Limits
    private let desk: TFTPDesk
    private let logger: Logger

    private init(
        channel: any Channel, interface: String?, group: any EventLoopGroup, source: any TFTPFileSource, session: TFTPReadSession.Limits,
        desk: TFTPDesk, logger: Logger
    ) {
        self.channel = channel
        self.interface = interface
        self.group = group
        self.source = source
        self.session = session
        self.desk = desk
        self.logger = logger
    }

    /// Opens the port; requests wait until `run`.
    ///
    /// - Parameter address: of an interface, or any. Port 0 takes a free one.
    public static func bind(
        to address: SocketAddress, group: any EventLoopGroup, source: any TFTPFileSource,
        session: TFTPReadSession.Limits = .init(), limits: TFTPTransferLimits = .init(), logger: Logger
    ) async throws -> TFTPServer {
        try await bind(
            to: address, interface: nil, group: group, source: source, session: session, desk: TFTPDesk(limits: limits), logger: logger)
    }

    /// - Parameter interface: the only one that is answered on; nil: any.
    static func bind(
        to address: SocketAddress, interface: String?, group: any EventLoopGroup, source: any TFTPFileSource,
        session: TFTPReadSession.Limits = .init(), desk: TFTPDesk, logger: Logger
    ) async throws -> TFTPServer {
        let loop = group.next()
        let channel = try await loop.flatSubmit {
            DatagramBootstrap(group: loop).channelInitializer { channel in
                InterfaceSocket.tie(channel, toAny: interface).flatMapThrowing {
                    try channel.pipeline.syncOperations.addHandler(TFTPRequests(desk: desk, logger: logger))
                }
            }.bind(to: address)
        }.get()
        return TFTPServer(
            channel: channel, interface: interface, group: group, source: source, session: session, desk: desk, logger: logger)
    }

    /// Where it listens, with the port that it got.
    public var localAddress: SocketAddress? { channel.localAddress }

    public var counters: TFTPCounters { desk.counters }

    /// Serves until the task is cancelled; then all sockets are closed.
    public func run() async {
        await withDiscardingTaskGroup { tasks in
            for await arrival in desk.arrivals {
                tasks.addTask { await self.serve(arrival) }
            }
        }
        desk.close()
        try? await channel.close()
    }

    private func serve(_ arrival: TFTPDesk.Arrival) async {
        defer { desk.leave(arrival) }
        var logger = logger
        logger[metadataKey: "client"] = "\(arrival.client.ipAddress ?? "")"
        do {
            let file = try await source.open(arrival.path.description, from: arrival.client)
            let transfer = try await open(arrival, file: file, logger: logger)
            guard desk.open(arrival, end: { transfer.pipeline.fireUserInboundEventTriggered(TFTPTransfer.GiveWay()) }) else {
                desk.count(.gaveWay)
                return try await transfer.close()
            }
            try await withTaskCancellationHandler {
                try await transfer.closeFuture.get()
            } onCancel: {
                transfer.close(promise: nil)
            }
        } catch let error as TFTPFileError {
            logger.info("TFTP: refused", metadata: ["file": "\(arrival.path)", "why": "\(error.message)"])
            refuse(arrival.client, error)
        } catch let error where TFTPErrno.isShortage(error) {
            // Without an answer the client asks again, and then it may be possible.
            logger.warning("TFTP: cannot serve now", metadata: ["file": "\(arrival.path)", "error": "\(error)"])
            desk.count(\.overLimit)
        } catch {
            logger.error("TFTP: cannot serve", metadata: ["file": "\(arrival.path)", "error": "\(error)"])
            refuse(arrival.client, TFTPFileError(code: .notDefined, message: "internal error"))
        }
    }

    private func refuse(_ client: SocketAddress, _ error: TFTPFileError) {
        desk.count(\.refused)
        let packet = TFTPPacket.error(code: error.code, message: error.message)
        channel.eventLoop.execute { [channel] in _ = Datagram.send(packet.serialize(), to: client, on: channel) }
    }

    /// Makes the transfer's own socket, on the same address, with a free port.
    private func open(_ arrival: TFTPDesk.Arrival, file: TFTPFile, logger: Logger) async throws -> any Channel {
        let address = try SocketAddress(ipAddress: channel.localAddress?.ipAddress ?? "0.0.0.0", port: 0)
        let loop = group.next()
        let (session, desk, interface) = (session, desk, interface)
        return try await loop.flatSubmit {
            DatagramBootstrap(group: loop).channelInitializer { channel in
                InterfaceSocket.tie(channel, toAny: interface).flatMapThrowing {
                    try channel.pipeline.syncOperations.addHandler(
                        TFTPTransfer(arrival, file: file, limits: session, desk: desk, logger: logger))
                }
            }.bind(to: address)
        }.get()
    }
}

/// The well-known port: takes requests, answers what is refused at once.
private final class TFTPRequests: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>

    private let desk: TFTPDesk
    private let logger: Logger

    init(desk: TFTPDesk, logger: Logger) {
        self.desk = desk
        self.logger = logger
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let envelope = Self.unwrapInboundIn(data)
        let client = envelope.remoteAddress
        guard desk.answers(client) else { return }
        do throws(TFTPParseError) {
            switch TFTPAdmission(try TFTPPacket(parsing: Array(envelope.data.readableBytesView))) {
            case .read(let request, let path):
                desk.admit(TFTPDesk.Arrival(client: client, request: request, path: path))
            case .refuse(let code, let message):
                desk.count(\.refused)
                // From port 0 nobody can be answered; anybody can send from it.
                _ = Datagram.send(TFTPPacket.error(code: code, message: message).serialize(), to: client, on: context.channel)
            case .ignore: break
            }
        } catch {
            desk.count(\.malformed)
            logger.debug("TFTP: malformed packet", metadata: ["client": "\(client)", "error": "\(error)"])
        }
    }

    /// An error of one datagram ("refused", by a client that is gone) must not close the port.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        logger.debug("TFTP: socket error", metadata: ["error": "\(error)"])
    }
}
