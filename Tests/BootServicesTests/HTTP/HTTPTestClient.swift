import NIOCore
import NIOPosix
import Synchronization

@testable import BootServices

/// Speaks HTTP/1.1 byte by byte, so that what no client sends can be sent too.
final class HTTPTestClient: Sendable {
    struct Reply: Sendable {
        var status: Int
        var headers: [String: String]
        var body: [UInt8]
        var text: String { String(decoding: body, as: UTF8.self) }
    }

    /// Collects what comes; reads on by itself, or a little every `pause`.
    private final class Inbox: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer
        struct State {
            var bytes: [UInt8] = []
            var isClosed = false
        }
        let state = Mutex(State())
        let pause: TimeAmount?

        init(pause: TimeAmount?) { self.pause = pause }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            state.withLock { $0.bytes += unwrapInboundIn(data).readableBytesView }
        }

        func channelReadComplete(context: ChannelHandlerContext) {
            guard let pause else { return }
            context.eventLoop.assumeIsolated().scheduleTask(in: pause) { context.read() }
        }

        func channelActive(context: ChannelHandlerContext) { if pause != nil { context.read() } }
        func channelInactive(context: ChannelHandlerContext) { state.withLock { $0.isClosed = true } }
        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }

    private let channel: any Channel
    private let inbox: Inbox

    /// - Parameters:
    ///   - pause: between reads of at most 64 KiB each; nil: none.
    ///   - reads: false: nothing is ever read.
    init(
        to server: SocketAddress, on group: any EventLoopGroup = .singletonMultiThreadedEventLoopGroup,
        pause: TimeAmount? = nil, reads: Bool = true
    ) async throws {
        let inbox = Inbox(pause: reads ? pause : nil)
        self.inbox = inbox
        let isSlow = pause != nil || !reads
        let loop = group.next()
        // On the loop's thread: a socket belongs to the network namespace of the thread that makes it.
        channel = try await loop.flatSubmit {
            ClientBootstrap(group: loop)
                .channelOption(.autoRead, value: !isSlow)
                .channelOption(.maxMessagesPerRead, value: UInt(isSlow ? 1 : 16))
                .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 64 << 10))
                .channelOption(.socketOption(.so_rcvbuf), value: isSlow ? 64 << 10 : 4 << 20)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(inbox) }
                }
                .connect(to: server)
        }.get()
    }

    func close() async { try? await channel.close() }

    func send(_ text: String) async throws { try await channel.writeAndFlush(ByteBuffer(string: text)) }

    /// Sends a request and takes its whole reply; nil where the connection ended before.
    func ask(
        _ method: String = "GET", _ target: String, headers: [String] = [], body: String = "", within limit: Duration = .seconds(20)
    ) async throws -> Reply? {
        var lines = ["\(method) \(target) HTTP/1.1", "host: test"] + headers
        if !body.isEmpty { lines.append("content-length: \(body.utf8.count)") }
        try await send(lines.joined(separator: "\r\n") + "\r\n\r\n" + body)
        return await receive(headOnly: method == "HEAD", within: limit)
    }

    func receive(headOnly: Bool = false, within limit: Duration = .seconds(20)) async -> Reply? {
        var reply: Reply?
        _ = await eventually(within: limit) {
            inbox.state.withLock { state in
                reply = Self.take(&state.bytes, headOnly: headOnly)
                return reply != nil || state.isClosed
            }
        }
        return reply
    }

    /// Whether the server closed the connection in time.
    func isClosed(within limit: Duration) async -> Bool {
        await eventually(within: limit) { inbox.state.withLock(\.isClosed) }
    }

    private static func take(_ bytes: inout [UInt8], headOnly: Bool) -> Reply? {
        guard let end = bytes.firstRange(of: Array("\r\n\r\n".utf8)) else { return nil }
        let lines = String(decoding: bytes[..<end.lowerBound], as: UTF8.self).split(separator: "\r\n")
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            headers[parts[0].lowercased()] = parts.count > 1 ? String(parts[1].drop { $0 == " " }) : ""
        }
        let length = headOnly ? 0 : Int(headers["content-length"] ?? "0") ?? 0
        guard bytes.count - end.upperBound >= length else { return nil }
        let body = Array(bytes[end.upperBound..<end.upperBound + length])
        bytes.removeFirst(end.upperBound + length)
        return Reply(status: Int(lines[0].split(separator: " ")[1]) ?? 0, headers: headers, body: body)
    }
}
