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
    /// The ids of those in between that cannot be read.
    public var skipped: [String] = []
}

public enum RecordChange<T: Sendable>: Sendable {
    case put(Versioned<T>)
    case deleted(id: String, revision: Revision)
}

/// The typed view of the state store: resources as JSON under their keys.
public struct Records: Sendable {
    public let store: any StateStore
    /// Those that could not be read.
    public let damaged: DamagedRecords

    public init(store: any StateStore) {
        self.store = store
        damaged = store.damaged ?? DamagedRecords()
    }

    public func get<T: StoredResource>(_ type: T.Type, id: String) async throws -> Versioned<T>? {
        guard let stored = try await store.get(T.prefix + id) else { return nil }
        return Versioned(value: try decode(T.self, stored), revision: stored.modifiedRevision)
    }

    /// A resource, where its record can be read and is the one that its key says; else it is noted as damaged.
    public func decode<T: StoredResource>(_ type: T.Type, _ stored: StoredValue) throws -> T {
        do {
            let value = try RecordCoding.decode(T.self, from: stored.value)
            guard value.key == stored.key else { throw StoreError.corrupt("it says that it is \(value.key)") }
            damaged.clear(stored.key)
            return value
        } catch {
            damaged.note(stored.key, stored.modifiedRevision, "\(error)")
            throw Problem.damagedRecord(stored.key, detail: String("\(error)".prefix(300)))
        }
    }

    public func list<T: StoredResource>(_ type: T.Type, after: String? = nil, limit: Int = 500) async throws -> Page<T> {
        let listing = try await store.list(prefix: T.prefix, after: after.map { T.prefix + $0 }, limit: limit)
        var page = Page<T>(items: [], revision: listing.revision, next: listing.nextKey.map { String($0.dropFirst(T.prefix.count)) })
        for stored in listing.values {
            if let value = try? decode(T.self, stored) {
                page.items.append(Versioned(value: value, revision: stored.modifiedRevision))
            } else {
                page.skipped.append(String(stored.key.dropFirst(T.prefix.count)))
            }
        }
        return page
    }

    /// All of a kind that can be read, page by page.
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
                let changes = batch.events.reversed().compactMap { change($0) as RecordChange<T>? }
                read.withLock { $0 = changes }
            }
        })
    }

    private func change<T: StoredResource>(_ event: StoreEvent) -> RecordChange<T>? {
        switch event {
        case .put(let stored):
            return (try? decode(T.self, stored)).map { .put(Versioned(value: $0, revision: stored.modifiedRevision)) }
        case .delete(let key, let revision):
            return .deleted(id: String(key.dropFirst(T.prefix.count)), revision: revision)
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
            throw Problem.damagedRecord(stored.key, detail: String("\(error)".prefix(300)))
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
