internal import Control
internal import Model
internal import Store
internal import Synchronization

/// What watchers are sent of one change: decoded and encoded once for all of them. Keeps the newest few.
final class EncodedChanges: Sendable {
    static let limit = 512
    static let limitBytes = 8 << 20

    private struct Key: Hashable {
        var key: String
        var revision: Revision
    }
    private struct Entry {
        var value: any Sendable
        var json: String
    }
    private struct State {
        var entries: [Key: Entry] = [:]
        /// Oldest first.
        var order: [Key] = []
        var bytes = 0
    }

    private let state = Mutex(State())

    /// A stored resource, and its JSON as the API has it.
    func resource<T: StoredResource>(_ type: T.Type, in stored: StoredValue) throws -> (value: T, json: String) {
        let key = Key(key: stored.key, revision: stored.modifiedRevision)
        if let known = state.withLock({ $0.entries[key] }), let value = known.value as? T { return (value, known.json) }
        let value = try RecordCoding.decode(T.self, from: stored)
        let json = String(buffer: try APIJSON.encode(value))
        state.withLock { state in
            guard state.entries[key] == nil, json.utf8.count <= Self.limitBytes / 4 else { return }
            state.entries[key] = Entry(value: value, json: json)
            state.order.append(key)
            state.bytes += json.utf8.count
            var gone = 0
            while state.order.count - gone > Self.limit || state.bytes > Self.limitBytes {
                state.bytes -= state.entries.removeValue(forKey: state.order[gone])?.json.utf8.count ?? 0
                gone += 1
            }
            state.order.removeFirst(gone)
        }
        return (value, json)
    }
}
