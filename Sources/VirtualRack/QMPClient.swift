internal import FoundationEssentials
internal import NIOCore
internal import Synchronization

/// Something QEMU tells unasked, as `SHUTDOWN` or `RESET`.
struct QMPEvent: Hashable, Sendable {
    let name: String
    let data: JSONValue
}

/// One message from QEMU (qmp-spec: greeting, return, error, event).
enum QMPMessage: Hashable, Sendable {
    case greeting
    case answer(id: Int64?, Result)
    case event(QMPEvent)

    enum Result: Hashable, Sendable {
        case value(JSONValue)
        case error(String)
    }

    /// Nil where the line is none of them.
    init?(_ line: [UInt8]) {
        guard let json = try? JSONDecoder().decode(JSONValue.self, from: Data(line)) else { return nil }
        if json["QMP"] != nil {
            self = .greeting
        } else if let name = json["event"]?.text {
            self = .event(QMPEvent(name: name, data: json["data"] ?? .null))
        } else if let value = json["return"] {
            self = .answer(id: json["id"]?.number, .value(value))
        } else if let error = json["error"] {
            self = .answer(id: json["id"]?.number, .error(error["desc"]?.text ?? "no description"))
        } else {
            return nil
        }
    }
}

/// A connection to QEMU's machine protocol (QMP).
final class QMPClient: Sendable {
    private struct State {
        var splitter = LineSplitter()
        var nextID: Int64 = 1
        var waiting: [Int64: CheckedContinuation<JSONValue, any Error>] = [:]
        var channel: ByteChannel?
        var isClosed = false
    }

    /// Ends when the connection does, which is when QEMU ends.
    let events: AsyncStream<QMPEvent>
    private let eventSink: AsyncStream<QMPEvent>.Continuation
    private let state = Mutex(State())

    private init() {
        (events, eventSink) = AsyncStream.makeStream(of: QMPEvent.self)
    }

    /// Connects and negotiates; throws at once where nobody listens.
    static func connect(_ path: String) async throws -> QMPClient {
        let client = QMPClient()
        let channel = try await ByteChannel.connect(
            path, onBytes: { client.received($0) }, onClose: { client.closed() })
        client.state.withLock { $0.channel = channel }
        try await client.execute("qmp_capabilities")
        return client
    }

    /// The command's return value. Throws `.qmpFailed` with QEMU's words, and
    /// after 10 seconds without an answer.
    @discardableResult
    func execute(_ command: String, _ arguments: JSONValue = [:], timeout: TimeAmount = .seconds(10)) async throws
        -> JSONValue
    {
        let id = state.withLock { state in
            defer { state.nextID += 1 }
            return state.nextID
        }
        let request: JSONValue = ["execute": .string(command), "arguments": arguments, "id": .integer(id)]
        let line = try Array(JSONEncoder().encode(request)) + [UInt8(ascii: "\n")]
        return try await withCheckedThrowingContinuation { continuation in
            let channel = state.withLock { state -> ByteChannel? in
                guard !state.isClosed, let channel = state.channel else { return nil }
                state.waiting[id] = continuation
                return channel
            }
            guard let channel else { return continuation.resume(throwing: Self.failure(command, "QEMU is gone")) }
            channel.send(line)
            channel.channel.eventLoop.scheduleTask(in: timeout) { [weak self] in
                let late = self?.state.withLock { $0.waiting.removeValue(forKey: id) }
                late?.resume(throwing: Self.failure(command, "no answer in time"))
            }
        }
    }

    func close() { state.withLock { $0.channel }?.close() }

    private func received(_ bytes: [UInt8]) {
        for line in state.withLock({ $0.splitter.append(bytes) }) {
            switch QMPMessage(line) {
            case .event(let event): eventSink.yield(event)
            case .answer(let id?, let result):
                let waiting = state.withLock { $0.waiting.removeValue(forKey: id) }
                switch result {
                case .value(let value): waiting?.resume(returning: value)
                case .error(let text): waiting?.resume(throwing: Self.failure("QMP", text))
                }
            case .greeting, .answer, nil: break
            }
        }
    }

    private func closed() {
        let waiting = state.withLock { state in
            state.isClosed = true
            defer { state.waiting = [:] }
            return state.waiting.values
        }
        for continuation in waiting { continuation.resume(throwing: Self.failure("QMP", "QEMU is gone")) }
        eventSink.finish()
    }

    private static func failure(_ command: String, _ why: String) -> LabError {
        LabError(.qmpFailed, "\(command): \(why)", remedy: "See the machine's qemu.log; power it off and on.")
    }
}
