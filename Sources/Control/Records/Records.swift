internal import FoundationEssentials
internal import Model
public import Store
internal import Synchronization

/// A resource and the revision of its last change.
public struct Versioned<T: Sendable>: Sendable {
    public var value: T
    public var revision: Revision
    public init(value: T, revision: Revision) {
        self.value = value
        self.revision = revision
    }
}

/// One page of resources in id order.
public struct Page<T: Sendable>: Sendable {
    public var items: [Versioned<T>]
    /// A watch after it sees all that is not listed.
    public var revision: Revision
    /// What to pass as `after` for the next page; nil when there is none.
    public var next: String?
}

public enum RecordChange<T: Sendable>: Sendable {
    case put(Versioned<T>)
    case deleted(id: String, revision: Revision)
}

/// The typed view of the state store: resources as JSON under their keys.
public struct Records: Sendable {
    public let store: any StateStore

    public init(store: any StateStore) { self.store = store }

    public func get<T: StoredResource>(_ type: T.Type, id: String) async throws -> Versioned<T>? {
        guard let stored = try await store.get(T.prefix + id) else { return nil }
        return Versioned(value: try RecordCoding.decode(T.self, from: stored), revision: stored.modifiedRevision)
    }

    public func list<T: StoredResource>(_ type: T.Type, after: String? = nil, limit: Int = 500) async throws -> Page<T> {
        let listing = try await store.list(prefix: T.prefix, after: after.map { T.prefix + $0 }, limit: limit)
        return Page(
            items: try listing.values.map {
                Versioned(value: try RecordCoding.decode(T.self, from: $0), revision: $0.modifiedRevision)
            },
            revision: listing.revision,
            next: listing.nextKey.map { String($0.dropFirst(T.prefix.count)) })
    }

    /// All of a kind, page by page.
    public func all<T: StoredResource>(_ type: T.Type) async throws -> [Versioned<T>] {
        var items: [Versioned<T>] = []
        var after: String?
        repeat {
            let page = try await list(type, after: after)
            items += page.items
            after = page.next
        } while after != nil
        return items
    }

    public func watch<T: StoredResource>(
        _ type: T.Type, after: Revision
    ) async throws -> AsyncThrowingStream<RecordChange<T>, any Error> {
        let batches = try await store.watch(prefix: T.prefix, after: after)
        // Read as fast as its reader reads: what waits, waits in the store, which has a limit.
        let read = Mutex<[RecordChange<T>]>([])
        return AsyncThrowingStream(unfolding: {
            while true {
                if let next = read.withLock({ $0.popLast() }) { return next }
                var iterator = batches.makeAsyncIterator()
                guard let batch = try await iterator.next() else { return nil }
                let changes = try batch.events.reversed().map { try Self.change($0) as RecordChange<T> }
                read.withLock { $0 = changes }
            }
        })
    }

    private static func change<T: StoredResource>(_ event: StoreEvent) throws -> RecordChange<T> {
        switch event {
        case .put(let stored):
            .put(Versioned(value: try RecordCoding.decode(T.self, from: stored), revision: stored.modifiedRevision))
        case .delete(let key, let revision):
            .deleted(id: String(key.dropFirst(T.prefix.count)), revision: revision)
        }
    }
}

/// JSON as the store keeps it: times are integer milliseconds.
public enum RecordCoding {
    public static func encode(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.userInfo[.timestampsAsMilliseconds] = true
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(value))
    }

    public static func decode<T: Decodable>(_ type: T.Type, from stored: StoredValue) throws -> T {
        do {
            return try decode(type, from: stored.value)
        } catch {
            throw StoreError.corrupt("the record at \(stored.key) cannot be read: \(error)")
        }
    }

    public static func decode<T: Decodable>(_ type: T.Type, from bytes: [UInt8]) throws -> T {
        let decoder = JSONDecoder()
        decoder.userInfo[.timestampsAsMilliseconds] = true
        return try decoder.decode(type, from: Data(bytes))
    }
}

extension StoredResource {
    /// The mutation that writes this resource.
    func put(_ precondition: Precondition) throws -> Mutation {
        .put(key: key, value: try RecordCoding.encode(self), if: precondition)
    }
}

extension StateStore {
    /// Commits, or returns nil where a precondition did not hold.
    func commitUnlessConflict(_ mutations: [Mutation]) async throws(StoreError) -> Revision? {
        do {
            return try await commit(mutations)
        } catch {
            if case .conflict = error { return nil }
            throw error
        }
    }
}
