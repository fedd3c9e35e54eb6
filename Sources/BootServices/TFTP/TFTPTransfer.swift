import Logging
import NIOCore
import NetBoot

/// One read transfer on its own port: performs what the session says.
final class TFTPTransfer: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    typealias OutboundOut = ByteBuffer

    /// Sent to a transfer that ends to make room. Its client gets no packet: most likely it never asked.
    struct GiveWay: Sendable {}

    private let arrival: TFTPDesk.Arrival
    private var client: SocketAddress { arrival.client }
    private var request: TFTPRequest { arrival.request }
    private var isProved = false
    private let file: TFTPFile
    private let desk: TFTPDesk
    private let logger: Logger
    private var session: TFTPReadSession
    /// The packets of one window, one after the other; used again for the next one.
    private var window = ByteBuffer()
    /// The packets of the window that comes next, read while the client's acknowledgement was on its way.
    private var ahead: (blocks: TFTPBlocks, packets: ByteBuffer)?
    private var isOver = false
    /// When the session's timer is due. The event loop's timer may come earlier and is then set
    /// again: so the common case, an answer in time, costs no scheduling.
    private var deadline = NIODeadline.distantFuture
    private var timer: (task: Scheduled<Void>, due: NIODeadline)?
    /// The client's port is closed. Its last acknowledgement may still be unread: the kernel
    /// tells of the error first.
    private var isClientGone = false

    init(_ arrival: TFTPDesk.Arrival, file: TFTPFile, limits: TFTPReadSession.Limits, desk: TFTPDesk, logger: Logger) {
        self.arrival = arrival
        session = TFTPReadSession(limits: limits)
        self.file = file
        self.desk = desk
        self.logger = logger
    }

    func channelActive(context: ChannelHandlerContext) {
        // Connected, the kernel drops what comes from anybody else (RFC 1350 §4).
        context.connect(to: client).assumeIsolated().whenComplete { result in
            switch result {
            case .success:
                self.desk.count(\.started)
                self.perform(self.session.start(self.request, fileBytes: self.file.bytes), context)
            case .failure(let error):
                self.logger.debug("TFTP: cannot connect to the client", metadata: ["error": "\(error)"])
                self.end(.failed, context)
            }
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let datagram = Self.unwrapInboundIn(data).data
        if !isProved {
            isProved = true
            desk.prove(arrival)
        }
        // Nearly all are acknowledgements: four bytes, no array for them.
        if datagram.readableBytes == 4, let header = datagram.getInteger(at: datagram.readerIndex, as: UInt32.self),
            header >> 16 == 4
        {
            perform(session.receive(.acknowledgement(block: UInt16(truncatingIfNeeded: header))), context)
            return
        }
        do throws(TFTPParseError) {
            perform(session.receive(try TFTPPacket(parsing: Array(datagram.readableBytesView))), context)
        } catch {
            desk.count(\.malformed)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let refused = error as? IOError, refused.errnoCode == TFTPErrno.connectionRefused else {
            logger.debug("TFTP: transfer's socket failed", metadata: ["error": "\(error)"])
            end(.failed, context)
            return
        }
        guard !isOver, !isClientGone else { return }
        isClientGone = true
        setTimer(.now() + .milliseconds(100), context)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard event is GiveWay else { return context.fireUserInboundEventTriggered(event) }
        end(.gaveWay, context)
    }

    func channelInactive(context: ChannelHandlerContext) { end(.failed, context) }

    private func perform(_ action: TFTPReadSession.Action, _ context: ChannelHandlerContext) {
        switch action {
        case .sendOptionAcknowledgement(let options):
            send(.optionAcknowledgement(options), context)
            arm(context)
        case .sendBlocks(let blocks):
            do {
                try send(blocks, context)
                arm(context)
            } catch {
                logger.error(
                    "TFTP: cannot read a boot file", metadata: ["file": "\(request.fileName)", "error": "\(error)"])
                perform(session.readFailed(), context)
            }
        case .finished: end(.finished, context)
        case .fail(let code, let message):
            send(.error(code: code, message: message), context)
            end(.failed, context)
        case .abandon(.stopped(let code, let message)):
            logger.debug(
                "TFTP: stopped by the client", metadata: ["code": "\(code.rawValue)", "message": "\(message)"])
            end(.stopped, context)
        case .abandon(.timedOut):
            logger.info("TFTP: the client fell silent", metadata: ["file": "\(request.fileName)"])
            end(.timedOut, context)
        case .ignore: break
        }
    }

    private func send(_ packet: TFTPPacket, _ context: ChannelHandlerContext) {
        context.writeAndFlush(Self.wrapOutboundOut(ByteBuffer(bytes: packet.serialize())), promise: nil)
    }

    /// Sends slices of one buffer: an allocation a window at the most, and one sendmmsg. Then reads the next window's
    /// blocks, so that its acknowledgement waits for no file.
    private func send(_ blocks: TFTPBlocks, _ context: ChannelHandlerContext) throws {
        if let ready = ahead, ready.blocks == blocks {
            ahead = (blocks, window)
            window = ready.packets
        } else {
            try fill(&window, with: blocks)
        }
        while window.readableBytes > 0, let packet = window.readSlice(length: min(blocks.blockBytes + 4, window.readableBytes)) {
            context.write(Self.wrapOutboundOut(packet), promise: nil)
        }
        context.flush()
        readAhead(of: blocks)
    }

    private func fill(_ packets: inout ByteBuffer, with blocks: TFTPBlocks) throws {
        packets.clear(minimumCapacity: blocks.count * (blocks.blockBytes + 4))
        for index in 0..<blocks.count {
            packets.writeMultipleIntegers(UInt16(3), blocks.wireNumber(at: index))
            try file.write(blocks.byteRange(at: index), to: &packets)
        }
    }

    /// What cannot be read yet is tried again, and then told, when it is due.
    private func readAhead(of blocks: TFTPBlocks) {
        var packets = ahead?.packets ?? ByteBuffer()
        ahead = nil
        guard let next = blocks.following, (try? fill(&packets, with: next)) != nil else { return }
        ahead = (next, packets)
    }

    private func arm(_ context: ChannelHandlerContext) {
        if !isClientGone { setTimer(.now() + TimeAmount(session.timeout), context) }
    }

    private func setTimer(_ deadline: NIODeadline, _ context: ChannelHandlerContext) {
        self.deadline = deadline
        if let timer, timer.due <= deadline { return }
        timer?.task.cancel()
        schedule(context)
    }

    private func schedule(_ context: ChannelHandlerContext) {
        let task = context.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) {
            self.timer = nil
            self.timerFired(context)
        }
        timer = (task, deadline)
    }

    private func timerFired(_ context: ChannelHandlerContext) {
        if isOver { return }
        if NIODeadline.now() < deadline {
            schedule(context)
        } else if isClientGone {
            end(.stopped, context)
        } else {
            perform(session.timerFired(), context)
        }
    }

    private func end(_ outcome: TFTPDesk.Outcome, _ context: ChannelHandlerContext) {
        guard !isOver else { return }
        isOver = true
        timer?.task.cancel()
        timer = nil
        desk.count(outcome)
        context.close(promise: nil)
    }
}
