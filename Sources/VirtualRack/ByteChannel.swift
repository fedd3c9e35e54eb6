internal import NIOCore
internal import NIOPosix

/// Hands what a channel reads to closures, on the channel's event loop.
final class ByteHandler: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer

    private let onBytes: @Sendable ([UInt8]) -> Void
    private let onClose: @Sendable () -> Void

    init(onBytes: @escaping @Sendable ([UInt8]) -> Void, onClose: @escaping @Sendable () -> Void) {
        self.onBytes = onBytes
        self.onClose = onClose
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        onBytes(Array(unwrapInboundIn(data).readableBytesView))
    }

    func channelInactive(context: ChannelHandlerContext) {
        onClose()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

/// A connected unix socket.
struct ByteChannel: Sendable {
    let channel: any Channel

    static func connect(
        _ path: String, onBytes: @escaping @Sendable ([UInt8]) -> Void, onClose: @escaping @Sendable () -> Void
    ) async throws -> ByteChannel {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.pipeline.addHandler(ByteHandler(onBytes: onBytes, onClose: onClose))
            }
            .connect(unixDomainSocketPath: path).get()
        return ByteChannel(channel: channel)
    }

    /// Sends without waiting; what cannot be sent is lost with the connection.
    func send(_ bytes: some Sequence<UInt8>) {
        channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil)
    }

    func close() { channel.close(promise: nil) }
}

/// Cuts a stream of bytes into lines at LF.
struct LineSplitter: Sendable {
    private var partial: [UInt8] = []
    /// A line longer than this is cut there.
    let limitBytes: Int

    init(limitBytes: Int = 1 << 20) { self.limitBytes = limitBytes }

    /// Complete lines, without LF, empty ones left out.
    mutating func append(_ bytes: some Sequence<UInt8>) -> [[UInt8]] {
        var lines: [[UInt8]] = []
        for byte in bytes {
            if byte != UInt8(ascii: "\n") { partial.append(byte) }
            if byte == UInt8(ascii: "\n") || partial.count >= limitBytes {
                if !partial.isEmpty { lines.append(partial) }
                partial = []
            }
        }
        return lines
    }

    /// The first line if it is complete, and what came after it.
    mutating func firstLine(after bytes: some Sequence<UInt8>) -> (line: [UInt8], rest: [UInt8])? {
        partial.append(contentsOf: bytes)
        guard let end = partial.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
        defer { partial = [] }
        return (Array(partial[..<end]), Array(partial[(end + 1)...]))
    }
}
