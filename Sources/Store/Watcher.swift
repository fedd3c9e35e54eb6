internal import Synchronization

/// The unread events of one watcher: filled by the hub, emptied by its reader.
final class Watcher: Sendable {
    private struct State {
        var unread: [WatchBatch] = []
        var head = 0
        var bytes = 0
        /// Set once: what ends the stream when all is read.
        var failure: StoreError?
        var isCancelled = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    enum Next {
        case batch(WatchBatch)
        case failure(StoreError)
        case cancelled
        case nothing
    }

    let prefix: String
    let buffer: WatchBuffer
    /// Only what is newer is taken.
    let after: Revision
    /// What must be read from history first.
    let past: (from: Revision, through: Revision)?
    /// Its place among the hub's watchers.
    let id: Int
    private let state = Mutex(State())

    init(id: Int, prefix: String, buffer: WatchBuffer, after: Revision, past: (from: Revision, through: Revision)?) {
        self.id = id
        self.prefix = prefix
        self.buffer = buffer
        self.after = after
        self.past = past
    }

    /// Takes what concerns the watcher. When it would hold too much, it drops all and
    /// ends with `watcherTooSlow`.
    ///
    /// - Returns: the reader to wake, once no lock is held: a reader's cancellation takes
    ///   the hub's lock while the runtime holds the task's own, which waking it needs too.
    func offer(_ batch: WatchBatch) -> CheckedContinuation<Void, Never>? {
        batch.filtered(prefix: prefix).flatMap { offer(filtered: $0) }
    }

    /// The same of a batch that holds only what concerns the watcher.
    func offer(filtered batch: WatchBatch) -> CheckedContinuation<Void, Never>? {
        guard batch.revision > after else { return nil }
        return state.withLock { state -> CheckedContinuation<Void, Never>? in
            guard state.failure == nil, !state.isCancelled else { return nil }
            let count = state.unread.count - state.head
            let bytes = state.bytes + batch.bytes
            if count >= buffer.batches || (count > 0 && bytes > buffer.bytes) {
                state.unread = []
                state.head = 0
                state.bytes = 0
                state.failure = .watcherTooSlow
            } else {
                state.unread.append(batch)
                state.bytes = bytes
            }
            return state.waiter.take()
        }
    }

    func fail(_ error: StoreError, dropUnread: Bool) {
        let waiter = state.withLock { state -> CheckedContinuation<Void, Never>? in
            if state.failure == nil { state.failure = error }
            if dropUnread {
                state.unread = []
                state.head = 0
            }
            return state.waiter.take()
        }
        waiter?.resume()
    }

    func cancel() {
        let waiter = state.withLock { state -> CheckedContinuation<Void, Never>? in
            state.isCancelled = true
            state.unread = []
            state.head = 0
            return state.waiter.take()
        }
        waiter?.resume()
    }

    /// What is next without waiting.
    func take() -> Next {
        state.withLock { state in
            if state.isCancelled { return .cancelled }
            if state.head < state.unread.count {
                let batch = state.unread[state.head]
                state.unread[state.head] = WatchBatch(revision: batch.revision, events: [])
                state.head += 1
                state.bytes -= batch.bytes
                if state.head == state.unread.count {
                    state.unread.removeAll(keepingCapacity: state.head <= 64)
                    state.head = 0
                } else if state.head > 1024 {
                    state.unread.removeFirst(state.head)
                    state.head = 0
                }
                return .batch(batch)
            }
            if let failure = state.failure { return .failure(failure) }
            return .nothing
        }
    }

    /// Returns when ``take()`` may have something.
    func wait() async {
        await withCheckedContinuation { continuation in
            let resumed = state.withLock { state -> [CheckedContinuation<Void, Never>] in
                if state.isCancelled || state.failure != nil || state.head < state.unread.count {
                    return [continuation]
                }
                // A second reader of the same stream wakes the first: both look again.
                let previous = state.waiter.take()
                state.waiter = continuation
                return previous.map { [$0] } ?? []
            }
            for continuation in resumed { continuation.resume() }
        }
    }
}

/// The reading side of a watch: the past by pages, then what the hub brought. When
/// nobody holds the stream any more, the watcher leaves the hub.
final class WatchReader: Sendable {
    private let watcher: Watcher
    private let hub: WatchHub
    private let history: WatchHub.History
    private let past: Mutex<Past>

    private struct Past {
        /// What was read but not yet handed on, newest first.
        var batches: [WatchBatch] = []
        var remaining: (from: Revision, through: Revision)?
    }

    init(watcher: Watcher, hub: WatchHub, history: @escaping WatchHub.History) {
        self.watcher = watcher
        self.hub = hub
        self.history = history
        past = Mutex(Past(remaining: watcher.past))
    }

    deinit { hub.remove(watcher) }

    func next() async throws -> WatchBatch? {
        try await withTaskCancellationHandler {
            if let batch = try await nextPast() { return batch }
            while true {
                switch watcher.take() {
                case .batch(let batch): return batch
                case .cancelled: return nil
                case .failure(let error):
                    hub.remove(watcher)
                    throw error
                case .nothing: await watcher.wait()
                }
            }
        } onCancel: {
            hub.remove(watcher)
            watcher.cancel()
        }
    }

    private func nextPast() async throws(StoreError) -> WatchBatch? {
        while true {
            let (batch, remaining) = past.withLock { past in (past.batches.popLast(), past.remaining) }
            if let batch { return batch }
            guard let remaining, !Task.isCancelled else { return nil }
            let page: HistoryPage
            do {
                page = try await history(watcher.prefix, remaining.from, remaining.through)
            } catch {
                hub.remove(watcher)
                watcher.fail(error, dropUnread: true)
                past.withLock { $0.remaining = nil }
                throw error
            }
            past.withLock { past in
                past.batches = page.batches.reversed()
                past.remaining =
                    page.through >= remaining.through ? nil : (from: page.through, through: remaining.through)
            }
        }
    }
}
