import Store
import Synchronization

/// A store whose commits of leases wait until they are let through, as on a slow disk.
final class GatedStore: StateStore {
    private struct State {
        var isOpen = true
        var waiting: [CheckedContinuation<Void, Never>] = []
        /// How many mutations each commit had.
        var sizes: [Int] = []
    }

    private let base = MemoryStore()
    private let state = Mutex(State())

    var sizes: [Int] { state.withLock(\.sizes) }

    func close(gate isClosed: Bool) {
        let released = state.withLock { state in
            state.isOpen = !isClosed
            if isClosed { return [] as [CheckedContinuation<Void, Never>] }
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in released { continuation.resume() }
    }

    func commit(_ mutations: [Mutation]) async throws(StoreError) -> Revision {
        await withCheckedContinuation { continuation in
            let isOpen = state.withLock { state in
                state.sizes.append(mutations.count)
                if !state.isOpen { state.waiting.append(continuation) }
                return state.isOpen
            }
            if isOpen { continuation.resume() }
        }
        return try await base.commit(mutations)
    }

    func get(_ key: String) async throws(StoreError) -> StoredValue? { try await base.get(key) }
    func list(prefix: String, after: String?, limit: Int) async throws(StoreError) -> Listing {
        try await base.list(prefix: prefix, after: after, limit: limit)
    }
    func watch(prefix: String, after: Revision) async throws(StoreError) -> AsyncThrowingStream<WatchBatch, any Error> {
        try await base.watch(prefix: prefix, after: after)
    }
    func currentRevision() async throws(StoreError) -> Revision { try await base.currentRevision() }
    func compact(before: Revision) async throws(StoreError) { try await base.compact(before: before) }
    func close() async throws(StoreError) { try await base.close() }
}
