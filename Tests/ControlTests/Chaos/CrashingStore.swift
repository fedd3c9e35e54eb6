import Store
import Synchronization

/// A store whose program is killed: at once, or in the middle of a write. What was written stays in the store below it.
final class CrashingStore: StateStore {
    private struct State {
        var isDead = false
        /// So many writes go well; the next is the last.
        var writesLeft: Int?
        var isWritten = false
    }

    private let base: any StateStore
    private let state = Mutex(State())

    init(_ base: any StateStore) { self.base = base }

    var isDead: Bool { state.withLock { $0.isDead } }
    func kill() { state.withLock { $0.isDead = true } }

    /// - Parameter isWritten: whether the last write is on the disk; its caller never learns.
    func kill(afterWrites count: Int, isWritten: Bool) {
        state.withLock {
            $0.writesLeft = count
            $0.isWritten = isWritten
        }
    }

    private func check() throws(StoreError) { if isDead { throw .closed } }

    func get(_ key: String) async throws(StoreError) -> StoredValue? {
        try check()
        return try await base.get(key)
    }

    func list(prefix: String, after: String?, limit: Int) async throws(StoreError) -> Listing {
        try check()
        return try await base.list(prefix: prefix, after: after, limit: limit)
    }

    func commit(_ mutations: [Mutation]) async throws(StoreError) -> Revision {
        let (isLast, isWritten) = state.withLock { state in
            guard !state.isDead, let left = state.writesLeft else { return (false, true) }
            state.writesLeft = left - 1
            if left <= 0 { state.isDead = true }
            return (left <= 0, state.isWritten)
        }
        guard isLast else {
            try check()
            return try await base.commit(mutations)
        }
        if isWritten { _ = try await base.commit(mutations) }
        throw .closed
    }

    func watch(prefix: String, after: Revision) async throws(StoreError) -> AsyncThrowingStream<WatchBatch, any Error> {
        try check()
        return try await base.watch(prefix: prefix, after: after)
    }

    func currentRevision() async throws(StoreError) -> Revision {
        try check()
        return try await base.currentRevision()
    }

    func compact(before: Revision) async throws(StoreError) { try check() }
    func close() async throws(StoreError) { kill() }
}
