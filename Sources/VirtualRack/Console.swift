internal import Synchronization

/// One machine's serial console: what it wrote, who reads along, who types.
/// Lives through the machine's power cycles.
final class Console: Sendable {
    typealias ReaderID = UInt64
    /// Chunks that a slow reader may lag behind before it loses the oldest.
    private static let readerLimitChunks = 4096

    private struct State {
        var ring: ConsoleRing
        var log: ConsoleLog
        var readers: [ReaderID: AsyncStream<[UInt8]>.Continuation] = [:]
        var nextReader: ReaderID = 1
        var serial: ByteChannel?
        var isSilent = false
        var isClosed = false

        mutating func publish(_ bytes: [UInt8]) {
            ring.append(bytes)
            log.append(bytes)
            for reader in readers.values { reader.yield(bytes) }
        }
    }

    private let state: Mutex<State>

    init(logPath: String, capacityBytes: Int = ConsoleRing.defaultCapacityBytes) {
        state = Mutex(State(ring: ConsoleRing(capacityBytes: capacityBytes), log: ConsoleLog(path: logPath)))
    }

    /// Bytes from the guest.
    func received(_ bytes: [UInt8]) {
        state.withLock { if !$0.isSilent { $0.publish(bytes) } }
    }

    /// A line of the lab's own, so that a reader sees where the power was cut.
    func mark(_ text: String, at time: String) {
        state.withLock { $0.publish(Array("\r\n--- lab: \(text) \(time) ---\r\n".utf8)) }
    }

    func setSilent(_ silent: Bool) { state.withLock { $0.isSilent = silent } }
    func setSerial(_ serial: ByteChannel?) { state.withLock { $0.serial = serial } }

    /// Types at the machine; lost where it is off.
    func type(_ bytes: [UInt8]) { state.withLock { $0.serial }?.send(bytes) }

    var contents: [UInt8] { state.withLock { $0.ring.contents } }
    var totalBytes: UInt64 { state.withLock { $0.ring.totalBytes } }

    /// What is in the ring, then what comes, with no gap between.
    ///
    /// - Parameter withPast: false leaves out what is in the ring.
    func attach(withPast: Bool = true) -> (id: ReaderID, stream: AsyncStream<[UInt8]>) {
        let (stream, sink) = AsyncStream.makeStream(
            of: [UInt8].self, bufferingPolicy: .bufferingNewest(Self.readerLimitChunks))
        let id = state.withLock { state in
            let id = state.nextReader
            state.nextReader += 1
            let past = withPast ? state.ring.contents : []
            if !past.isEmpty { sink.yield(past) }
            if state.isClosed { sink.finish() } else { state.readers[id] = sink }
            return id
        }
        sink.onTermination = { [weak self] _ in self?.detach(id) }
        return (id, stream)
    }

    func detach(_ id: ReaderID) {
        state.withLock { $0.readers.removeValue(forKey: id) }?.finish()
    }

    /// Ends every reader's stream, for good.
    func close() {
        let readers = state.withLock { state in
            defer { state.readers = [:] }
            state.isClosed = true
            return state.readers.values
        }
        for reader in readers { reader.finish() }
    }

    /// Returns when the console has been closed, or the task cancelled.
    func untilClosed() async {
        let (id, stream) = attach()
        defer { detach(id) }
        for await _ in stream {}
    }
}
