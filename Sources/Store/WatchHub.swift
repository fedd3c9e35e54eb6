internal import Synchronization

/// Hands the newest events to watchers from memory, and keeps a ring of recent
/// ones so that a watcher that comes back seldom needs the database.
///
/// The store calls ``publish(_:revision:)`` in the order of revisions, only for what is
/// durable.
final class WatchHub: Sendable {
    /// Past events with `from < revision <= through`, at least one batch unless there
    /// are none; `through` of the answer says how far it looked.
    typealias History =
        @Sendable (_ prefix: String, _ from: Revision, _ through: Revision) async throws(StoreError) -> HistoryPage

    private struct State {
        var revision: Revision
        var compacted: Revision
        var ring: [WatchBatch] = []
        var ringHead = 0
        var ringBytes = 0
        /// The ring holds all that happened after this revision.
        var ringFloor: Revision
        var watchers: [Int: Watcher] = [:]
        var nextWatcher = 0
        var isClosed = false
    }

    private static let ringBatches = 4096
    private static let ringLimitBytes = 16 << 20

    private let state: Mutex<State>

    init(revision: Revision, compacted: Revision) {
        state = Mutex(State(revision: revision, compacted: compacted, ringFloor: revision))
    }

    /// The newest revision that was published.
    var revision: Revision { state.withLock { $0.revision } }

    func publish(_ batches: [WatchBatch]) {
        guard let last = batches.last else { return }
        let readers = state.withLock { state in
            var readers: [CheckedContinuation<Void, Never>] = []
            for batch in batches {
                state.ring.append(batch)
                state.ringBytes += batch.bytes
                // Watchers of the same keys share what concerns them.
                var shared: [String: WatchBatch?] = [:]
                for watcher in state.watchers.values {
                    let concerned: WatchBatch?
                    if let known = shared[watcher.prefix] {
                        concerned = known
                    } else {
                        concerned = batch.filtered(prefix: watcher.prefix)
                        shared.updateValue(concerned, forKey: watcher.prefix)
                    }
                    if let concerned, let reader = watcher.offer(filtered: concerned) { readers.append(reader) }
                }
            }
            state.revision = last.revision
            Self.trim(&state)
            return readers
        }
        for reader in readers { reader.resume() }
    }

    func compacted(before revision: Revision) {
        state.withLock { $0.compacted = max($0.compacted, revision) }
    }

    func watch(
        prefix: String, after: Revision, buffer: WatchBuffer, history: @escaping History
    ) throws(StoreError) -> AsyncThrowingStream<WatchBatch, any Error> {
        let outcome = state.withLock { state -> Result<Watcher, StoreError> in
            if state.isClosed { return .failure(.closed) }
            if after < state.compacted { return .failure(.compacted(oldest: state.compacted)) }
            // What the ring has since then must leave room for what comes while it is read.
            let fromRing = after >= state.ringFloor && Self.fits(state, after: after, buffer)
            let watcher = Watcher(
                id: state.nextWatcher, prefix: prefix, buffer: buffer, after: fromRing ? after : max(after, state.revision),
                past: fromRing ? nil : (from: after, through: state.revision))
            if fromRing {
                // Nobody reads it yet, so there is nobody to wake.
                for batch in state.ring[state.ringHead...] { _ = watcher.offer(batch) }
            }
            state.watchers[state.nextWatcher] = watcher
            state.nextWatcher += 1
            return .success(watcher)
        }
        let reader = WatchReader(watcher: try outcome.get(), hub: self, history: history)
        return AsyncThrowingStream(unfolding: { try await reader.next() })
    }

    private static func fits(_ state: State, after: Revision, _ buffer: WatchBuffer) -> Bool {
        var (batches, bytes) = (0, 0)
        for batch in state.ring[state.ringHead...].reversed() {
            if batch.revision <= after { break }
            batches += 1
            bytes += batch.bytes
            if batches > buffer.batches / 2 || bytes > buffer.bytes / 2 { return false }
        }
        return true
    }

    func remove(_ watcher: Watcher) {
        state.withLock { _ = $0.watchers.removeValue(forKey: watcher.id) }
    }

    func close() {
        let watchers = state.withLock { state in
            state.isClosed = true
            defer { state.watchers = [:] }
            return Array(state.watchers.values)
        }
        for watcher in watchers { watcher.fail(.closed, dropUnread: false) }
    }

    private static func trim(_ state: inout State) {
        while state.ring.count - state.ringHead > ringBatches || state.ringBytes > ringLimitBytes {
            let oldest = state.ring[state.ringHead]
            state.ring[state.ringHead] = WatchBatch(revision: oldest.revision, events: [])
            state.ringHead += 1
            state.ringBytes -= oldest.bytes
            state.ringFloor = oldest.revision
        }
        if state.ringHead > ringBatches {
            state.ring.removeFirst(state.ringHead)
            state.ringHead = 0
        }
    }
}

/// Some of the past: see ``WatchHub/History``.
struct HistoryPage: Sendable {
    var batches: [WatchBatch]
    var through: Revision
}

extension WatchBatch {
    /// About what the batch takes in memory.
    var bytes: Int {
        events.reduce(64) { sum, event in
            switch event {
            case .put(let stored): sum + stored.value.count + stored.key.utf8.count + 64
            case .delete(let key, _): sum + key.utf8.count + 64
            }
        }
    }

    /// What of it concerns `prefix`; nil when nothing does.
    func filtered(prefix: String) -> WatchBatch? {
        let concerned = events.filter { StoreKey.matches($0.key, prefix: prefix) }
        if concerned.isEmpty { return nil }
        // Where all of it does, it is shared.
        return concerned.count == events.count ? self : WatchBatch(revision: revision, events: concerned)
    }
}
