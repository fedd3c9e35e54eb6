internal import FoundationEssentials
internal import Glibc
internal import Model
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import NIOSSL
internal import NIOWebSocket
internal import VirtualRack

/// This terminal at a machine's serial console, through the server's websocket.
enum ConsoleConnection {
    private typealias Frames = NIOAsyncChannel<WebSocketFrame, WebSocketFrame>
    private typealias Bytes = NIOAsyncChannel<ByteBuffer, ByteBuffer>
    private static let frameLimitBytes = 1 << 20
    /// For the server's answer.
    private static let openingLimit = TimeAmount.seconds(15)

    /// Until Ctrl-], the end of input where it is no terminal, or the server's end.
    static func sit(at machine: String, path: String, _ client: APIClient) async throws {
        var ends: [CInt] = [-1, -1]
        guard socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            throw Problem("no-sockets", title: "The system gives no further sockets", detail: String(cString: strerror(errno)))
        }
        let (far, near) = (ends[0], ends[1])
        defer { close(near) }
        guard let frames = try await open(path, client) else {
            close(far)
            // The same by plain HTTP tells why.
            _ = try await client.bytes(.GET, path)
            throw Problem("console-refused", title: "The server did not open the console", remedy: "Is a proxy before it that knows no websockets?")
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await join(frames, far) }
            group.addTask {
                // The terminal blocks its thread.
                try await NIOThreadPool.singleton.runIfActive { ConsoleSession.sit(at: near, machine) }
                shutdown(near, CInt(SHUT_RDWR))
            }
            try await group.waitForAll()
        }
    }

    /// - Parameter far: our end of a connected socket, which is closed with it.
    private static func join(_ frames: Frames, _ far: CInt) async throws {
        try await frames.executeThenClose { fromServer, toServer in
            let local = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).withConnectedSocket(far) { channel in
                channel.eventLoop.makeCompletedFuture { try Bytes(wrappingChannelSynchronously: channel) }
            }
            try await local.executeThenClose { typed, shown in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        for try await frame in fromServer {
                            switch frame.opcode {
                            case .binary, .continuation: try await shown.write(frame.data)
                            case .text: tell(frame.data)
                            case .ping: try await toServer.write(masked(.pong, frame.data))
                            case .connectionClose: return
                            default: break
                            }
                        }
                    }
                    group.addTask {
                        for try await bytes in typed { try await toServer.write(masked(.binary, bytes)) }
                        var reason = ByteBuffer()
                        reason.write(webSocketErrorCode: .normalClosure)
                        try await toServer.write(masked(.connectionClose, reason))
                    }
                    defer { group.cancelAll() }
                    try await group.next()
                }
            }
        }
    }

    /// A note of the server's; only that typing went nowhere is news here.
    private static func tell(_ data: ByteBuffer) {
        struct Note: Decodable { var lost: Bool? }
        if let note = try? JSONDecoder().decode(Note.self, from: Data(data.readableBytesView)), note.lost == true {
            Terminal.write("\r[not typed: the console is not connected]\r\n", to: STDERR_FILENO)
        }
    }

    private static func masked(_ opcode: WebSocketOpcode, _ data: ByteBuffer) -> WebSocketFrame {
        WebSocketFrame(fin: true, opcode: opcode, maskKey: .random(), data: data)
    }

    // MARK: Opening

    /// Nil where the server answers by plain HTTP.
    private static func open(_ path: String, _ client: APIClient) async throws -> Frames? {
        guard let url = URL(string: client.saved.server), let host = url.host else {
            throw Problem("server-address", title: "“\(client.saved.server)” is no URL of a server", remedy: "Write https://SERVER:8443.")
        }
        let isSecure = url.scheme != "http"
        let context = isSecure ? try NIOSSLContext(configuration: client.saved.tls()) : nil
        let port = url.port ?? (isSecure ? 443 : 80)
        let headers = HTTPHeaders([
            ("Host", url.port.map { "\(host):\($0)" } ?? host), ("Authorization", "Bearer \(client.saved.token)"),
            ("User-Agent", "hostler/\(Hostler.version)"), ("Content-Length", "0"),
        ])
        let request = HTTPRequestHead(version: .http1_1, method: .GET, uri: url.path + path, headers: headers)
        do {
            let opening = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).connectTimeout(.seconds(5))
                .connect(host: host, port: port) { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let alarm = channel.eventLoop.scheduleTask(in: openingLimit) { channel.close(promise: nil) }
                        if let context {
                            let isNumeric = (try? SocketAddress(ipAddress: host, port: port)) != nil
                            try channel.pipeline.syncOperations.addHandler(
                                NIOSSLClientHandler(context: context, serverHostname: isNumeric ? nil : host))
                        }
                        let upgrader = NIOTypedWebSocketClientUpgrader<Frames?>(maxFrameSize: frameLimitBytes) { channel, _ in
                            alarm.cancel()
                            return channel.eventLoop.makeCompletedFuture { try Frames(wrappingChannelSynchronously: channel) }
                        }
                        let upgrades = NIOTypedHTTPClientUpgradeConfiguration(upgradeRequestHead: request, upgraders: [upgrader]) { channel in
                            alarm.cancel()
                            channel.close(promise: nil)
                            return channel.eventLoop.makeSucceededFuture(nil)
                        }
                        var pipeline = NIOUpgradableHTTPClientPipelineConfiguration(upgradeConfiguration: upgrades)
                        // The first frames may come with the answer.
                        pipeline.leftOverBytesStrategy = .forwardBytes
                        return try channel.pipeline.syncOperations.configureUpgradableHTTPClientPipeline(configuration: pipeline)
                    }
                }
            return try await opening.get()
        } catch {
            throw await client.refused(error)
        }
    }
}
