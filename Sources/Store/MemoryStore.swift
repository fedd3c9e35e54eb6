internal import Synchronization

/// A ``StateStore`` in memory: for tests, and for what need not outlive the process.
/// All of its history is kept until it is compacted.
public final class MemoryStore: StateStore {
    private struct State {
        var values: [ByteKey: StoredValue] = [:]
        /// The keys of `values`, in order.
        var keys: [ByteKey] = []
        /// One batch a revision, from the one after `compacted`.
        var history: [WatchBatch] = []
        var revision = Revision.zero
        var compacted = Revision.zero
        var isClosed = false
    }

    private let state = Mutex(State())
    private let hub = WatchHub(revision: .zero, compacted: .zero)

    public init() {}

    public func get(_ key: String) async throws(StoreError) -> StoredValue? {
        try StoreKey.validate(key)
        return try read { $0.values[ByteKey(key)] }
    }

    public func list(prefix: String, after: String?, limit: Int) async throws(StoreError) -> Listing {
        let limit = min(max(limit, 1), StoreLimits.listLimit)
        return try read { state in
            var index = Self.firstIndex(in: state.keys) { $0 >= ByteKey(prefix) }
            if let after { index = max(index, Self.firstIndex(in: state.keys) { $0 > ByteKey(after) }) }
            var values: [StoredValue] = []
            var bytes = 0
            while index < state.keys.count, StoreKey.matches(state.keys[index].text, prefix: prefix) {
                guard let stored = state.values[state.keys[index]] else { break }
                bytes += stored.value.count
                if values.count == limit || (!values.isEmpty && bytes > StoreLimits.listBytes) {
                    return Listing(values: values, revision: state.revision, nextKey: values.last?.key)
                }
                values.append(stored)
                index += 1
            }
            return Listing(values: values, revision: state.revision, nextKey: nil)
        }
    }

    @discardableResult
    public func commit(_ mutations: [Mutation]) async throws(StoreError) -> Revision {
        let transaction = try CheckedTransaction(mutations)
        let outcome = state.withLock { state -> Result<Revision, StoreError> in
            if state.isClosed { return .failure(.closed) }
            for mutation in transaction.mutations {
                let current = state.values[ByteKey(mutation.key)]?.modifiedRevision
                guard mutation.precondition.holds(for: current) else {
                    return .failure(.conflict(key: mutation.key, current: current))
                }
            }
            let revision = Revision(rawValue: state.revision.rawValue + 1)
            let events = transaction.mutations.compactMap { Self.apply($0, at: revision, to: &state) }
            guard !events.isEmpty else { return .success(state.revision) }
            let batch = WatchBatch(revision: revision, events: events)
            state.revision = revision
            state.history.append(batch)
            // Inside the lock, so that batches are published in order.
            hub.publish([batch])
            return .success(revision)
        }
        return try outcome.get()
    }

    public func watch(
        prefix: String, after: Revision
    ) async throws(StoreError) -> AsyncThrowingStream<WatchBatch, any Error> {
        try await watch(prefix: prefix, after: after, buffer: .own)
    }

    public func watch(
        prefix: String, after: Revision, buffer: WatchBuffer
    ) async throws(StoreError) -> AsyncThrowingStream<WatchBatch, any Error> {
        try hub.watch(prefix: prefix, after: after, buffer: buffer) { [weak self] (prefix, from, through) throws(StoreError) in
            guard let self else { throw .closed }
            return try self.read { state throws(StoreError) in
                if from < state.compacted { throw .compacted(oldest: state.compacted) }
                let first = Int(from.rawValue - state.compacted.rawValue)
                let last = Int(through.rawValue - state.compacted.rawValue)
                let batches = state.history[first..<max(first, last)].compactMap { $0.filtered(prefix: prefix) }
                return HistoryPage(batches: batches, through: through)
            }
        }
    }

    public func currentRevision() async throws(StoreError) -> Revision {
        try read { $0.revision }
    }

    public func compact(before: Revision) async throws(StoreError) {
        let outcome = state.withLock { state -> Result<Void, StoreError> in
            if state.isClosed { return .failure(.closed) }
            let target = min(before, state.revision)
            guard target > state.compacted else { return .success(()) }
            state.history.removeFirst(Int(target.rawValue - state.compacted.rawValue))
            state.compacted = target
            hub.compacted(before: target)
            return .success(())
        }
        try outcome.get()
    }

    public func close() async throws(StoreError) {
        state.withLock { $0.isClosed = true }
        hub.close()
    }

    private func read<Value: Sendable>(
        _ body: (borrowing State) throws(StoreError) -> Value
    ) throws(StoreError) -> Value {
        let outcome = state.withLock { state -> Result<Value, StoreError> in
            if state.isClosed { return .failure(.closed) }
            do throws(StoreError) { return .success(try body(state)) } catch { return .failure(error) }
        }
        return try outcome.get()
    }

    private static func apply(_ mutation: Mutation, at revision: Revision, to state: inout State) -> StoreEvent? {
        let key = ByteKey(mutation.key)
        switch mutation {
        case .put(_, let value, _):
            let created = state.values[key]?.createdRevision
            let stored = StoredValue(
                key: key.text, value: value, createdRevision: created ?? revision, modifiedRevision: revision)
            state.values[key] = stored
            if created == nil { state.keys.insert(key, at: firstIndex(in: state.keys) { $0 > key }) }
            return .put(stored)
        case .delete:
            guard state.values.removeValue(forKey: key) != nil else { return nil }
            state.keys.remove(at: firstIndex(in: state.keys) { $0 >= key })
            return .delete(key: key.text, revision: revision)
        case .check:
            return nil
        }
    }

    /// The first index whose key answers true, in keys where all that answer false
    /// come first.
    private static func firstIndex(in keys: [ByteKey], where isAfter: (ByteKey) -> Bool) -> Int {
        var low = 0
        var high = keys.count
        while low < high {
            let middle = (low + high) / 2
            if isAfter(keys[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
