internal import Consoles
internal import Model
internal import NIOCore
internal import NIOWebSocket
internal import Synchronization

/// A websocket (RFC 6455) between a person and a machine's serial console.
///
/// Binary messages carry bytes both ways. Text messages go to the person only: notes of ours, each a JSON object:
/// first the console's `ConsoleState`, later `{"lost":true}` where what was typed went nowhere.
struct ConsoleSocket: Sendable {
    /// A longer frame from a person is none.
    static let frameLimitBytes = 64 << 10
    private static let pingEvery = Duration.seconds(20)
    /// How often it is looked whether the other side is there.
    private static let lookEvery = Duration.seconds(5)
    /// Without any sign of the other side for so long it is taken to be gone.
    private static let silence = Duration.seconds(60)
    /// Lines of the past that are shown first.
    private static let pastLines = 200

    let visit: ConsoleVisit
    private let lastHeard = Mutexed(ContinuousClock.now)

    init(_ visit: ConsoleVisit) { self.visit = visit }

    typealias Frames = NIOAsyncChannel<WebSocketFrame, WebSocketFrame>

    /// Returns when either side has closed it.
    func run(_ frames: Frames) async throws {
        try await frames.executeThenClose { inbound, outbound in
            let (id, past, stream) = visit.console.follow()
            defer { visit.console.detach(id) }
            try await outbound.write(Self.note(visit.state))
            // The past is told as lines: what a terminal would answer to in it would be typed at the machine today.
            let lines = ConsoleText.lastLines(Self.pastLines, of: past).map { $0 + "\r\n" }.joined()
            if !lines.isEmpty { try await outbound.write(Self.frame(.binary, ByteBuffer(string: lines))) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    for await bytes in stream { try await outbound.write(Self.frame(.binary, ByteBuffer(bytes: bytes))) }
                    try await outbound.write(Self.closing(.goingAway))
                }
                group.addTask { try await self.listen(inbound, outbound) }
                group.addTask {
                    while true {
                        try await outbound.write(Self.frame(.ping, ByteBuffer()))
                        try await Task.sleep(for: Self.pingEvery)
                    }
                }
                // Writes nothing: a reader that does not read would hold it up.
                group.addTask {
                    while ContinuousClock.now - self.lastHeard.value < Self.silence { try await Task.sleep(for: Self.lookEvery) }
                    await Self.shortly { try await outbound.write(Self.closing(.policyViolation)) }
                }
                group.addTask {
                    guard await self.visit.end() else { return }
                    await Self.shortly { try await outbound.write(Self.closing(.policyViolation)) }
                }
                defer { group.cancelAll() }
                try await group.next()
            }
        }
    }

    private func listen(
        _ inbound: NIOAsyncChannelInboundStream<WebSocketFrame>, _ outbound: NIOAsyncChannelOutboundWriter<WebSocketFrame>
    ) async throws {
        for try await frame in inbound {
            lastHeard.value = .now
            // RFC 6455 §5.1: what a client sends is masked.
            guard frame.maskKey != nil else { return try await outbound.write(Self.closing(.protocolError)) }
            switch frame.opcode {
            case .binary, .text, .continuation:
                guard visit.mayType else { return try await outbound.write(Self.closing(.policyViolation)) }
                let bytes = Array(frame.unmaskedData.readableBytesView)
                if !bytes.isEmpty, !visit.console.type(bytes) { try await outbound.write(Self.note(["lost": true])) }
            case .ping: try await outbound.write(Self.frame(.pong, frame.unmaskedData))
            case .connectionClose: return try await outbound.write(Self.closing(.normalClosure))
            default: break
            }
        }
    }

    /// Tries, and gives it up after a second.
    private static func shortly(_ body: @Sendable @escaping () async throws -> Void) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await body() }
            group.addTask { try? await Task.sleep(for: .seconds(1)) }
            await group.next()
            group.cancelAll()
        }
    }

    // MARK: Frames

    private static func frame(_ opcode: WebSocketOpcode, _ data: ByteBuffer) -> WebSocketFrame {
        WebSocketFrame(fin: true, opcode: opcode, data: data)
    }

    private static func note(_ value: some Encodable) throws -> WebSocketFrame { frame(.text, try APIJSON.encode(value)) }

    private static func closing(_ code: WebSocketErrorCode) -> WebSocketFrame {
        var data = ByteBuffer()
        data.write(webSocketErrorCode: code)
        return frame(.connectionClose, data)
    }
}

private final class Mutexed<Value: Sendable>: Sendable {
    private let mutex: Mutex<Value>
    init(_ value: Value) { mutex = Mutex(value) }
    var value: Value {
        get { mutex.withLock { $0 } }
        set { mutex.withLock { $0 = newValue } }
    }
}
