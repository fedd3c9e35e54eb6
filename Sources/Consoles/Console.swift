internal import Synchronization

/// One machine's serial console: what it wrote, who reads along, who types.
/// Lives through the machine's power cycles.
public final class Console: Sendable {
    public typealias ReaderID = UInt64
    /// Chunks that a slow reader may lag behind before it loses the oldest: 4 MiB at most.
    private static let readerLimitChunks = 1024
    private static let chunkLimitBytes = 4096

    private struct State {
        var ring: ConsoleRing
        var log: ConsoleLog?
        var readers: [ReaderID: AsyncStream<[UInt8]>.Continuation] = [:]
        var nextReader: ReaderID = 1
        var keyboard: (@Sendable ([UInt8]) -> Bool)?
        var isSilent = false
        var isClosed = false

        mutating func publish(_ bytes: [UInt8]) {
            ring.append(bytes)
            log?.append(bytes)
            guard bytes.count > Console.chunkLimitBytes else {
                for reader in readers.values { reader.yield(bytes) }
                return
            }
            var rest = bytes[...]
            while !rest.isEmpty {
                let chunk = Array(rest.prefix(Console.chunkLimitBytes))
                rest = rest.dropFirst(Console.chunkLimitBytes)
                for reader in readers.values { reader.yield(chunk) }
            }
        }
    }

    private let state: Mutex<State>

    /// How much is kept, and where.
    public struct Keeping: Sendable {
        /// Of what a new reader is told first.
        public var memoryBytes = ConsoleRing.defaultCapacityBytes
        /// The file that all is appended to; nil: memory only.
        public var path: String?
        /// At this size the file becomes `PATH.1`, in the place of the one before.
        public var fileBytes = ConsoleLog.rotateBytes
        /// Begin with what the file ends with.
        public var resumes = false

        public init(path: String? = nil) { self.path = path }
    }

    public init(_ keeping: Keeping) {
        var ring = ConsoleRing(capacityBytes: keeping.memoryBytes)
        let log = keeping.path.map { ConsoleLog(path: $0, limitBytes: keeping.fileBytes) }
        if keeping.resumes, let log { ring.append(log.tail(keeping.memoryBytes)) }
        state = Mutex(State(ring: ring, log: log))
    }

    /// Bytes from the machine.
    public func received(_ bytes: [UInt8]) {
        state.withLock { if !$0.isSilent { $0.publish(bytes) } }
    }

    /// A line of our own, so that a reader sees where the power was cut.
    public func mark(_ text: String) {
        state.withLock { $0.publish(Array("\r\n--- \(text) ---\r\n".utf8)) }
    }

    public func setSilent(_ silent: Bool) { state.withLock { $0.isSilent = silent } }

    /// Where typing goes, and whether it arrived; nil: nowhere for now.
    public func setKeyboard(_ keyboard: (@Sendable ([UInt8]) -> Bool)?) { state.withLock { $0.keyboard = keyboard } }

    /// Types at the machine. False where nothing takes it: it is lost.
    @discardableResult
    public func type(_ bytes: [UInt8]) -> Bool {
        guard let keyboard = state.withLock({ $0.keyboard }) else { return false }
        return keyboard(bytes)
    }

    /// What is in memory, oldest first.
    public var contents: [UInt8] { state.withLock { $0.ring.contents } }
    /// Bytes since it was made, of which the oldest may be gone.
    public var totalBytes: UInt64 { state.withLock { $0.ring.totalBytes } }
    /// Bytes that `recorded` could give.
    public var recordedBytes: Int { state.withLock { $0.log?.recordedBytes ?? $0.ring.count } }
    public var readerCount: Int { state.withLock { $0.readers.count } }

    /// What was recorded last, at most `limit` bytes: from the file, where there is one.
    public func recorded(_ limit: Int) -> [UInt8] {
        state.withLock { state in state.log?.tail(limit) ?? Array(state.ring.contents.suffix(limit)) }
    }

    /// What is in the ring, then what comes, with no gap between.
    public func attach() -> (id: ReaderID, stream: AsyncStream<[UInt8]>) {
        let (id, _, stream) = attach(replaying: true)
        return (id, stream)
    }

    /// What is in the ring, and beside it what comes from then on.
    public func follow() -> (id: ReaderID, past: [UInt8], stream: AsyncStream<[UInt8]>) { attach(replaying: false) }

    private func attach(replaying: Bool) -> (id: ReaderID, past: [UInt8], stream: AsyncStream<[UInt8]>) {
        let (stream, sink) = AsyncStream.makeStream(
            of: [UInt8].self, bufferingPolicy: .bufferingNewest(Self.readerLimitChunks))
        let (id, past) = state.withLock { state in
            let id = state.nextReader
            state.nextReader += 1
            let past = state.ring.contents
            if replaying, !past.isEmpty { sink.yield(past) }
            if state.isClosed { sink.finish() } else { state.readers[id] = sink }
            return (id, past)
        }
        return (id, past, stream)
    }

    public func detach(_ id: ReaderID) {
        state.withLock { $0.readers.removeValue(forKey: id) }?.finish()
    }

    /// Ends every reader's stream, for good.
    public func close() {
        let readers = state.withLock { state in
            defer { state.readers = [:] }
            state.isClosed = true
            return state.readers.values
        }
        for reader in readers { reader.finish() }
    }

    /// Returns when the console has been closed, or the task cancelled.
    public func untilClosed() async {
        let (id, stream) = attach()
        defer { detach(id) }
        for await _ in stream {}
    }
}
