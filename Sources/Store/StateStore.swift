/// The key-value state of a rack: byte values under ordered keys, changed in
/// transactions that each make one revision, and watched by revision.
///
/// Keys are UTF-8 text such as `/hosts/h-1`; the order of listings is the byte
/// order of the UTF-8 text. Limits stand in ``StoreLimits``.
///
/// Keys below ``SecretKeys/prefix`` are secrets: they are read and written as all
/// others, but have no history and no watch shows them.
///
/// Every implementation passes the same suite (`Tests/StoreConformance`).
public protocol StateStore: Sendable {
    /// The value under `key` now, or nil if there is none.
    func get(_ key: String) async throws(StoreError) -> StoredValue?

    /// At most `limit` values whose key starts with `prefix` and sorts after
    /// `after` (nil: from the start), of one consistent snapshot.
    ///
    /// ``Listing/nextKey`` is what to pass as `after` for the next page, nil when
    /// this page is the last. Each page is a snapshot of its own revision.
    /// `limit` below 1 is taken as 1, above ``StoreLimits/listLimit`` as that.
    func list(prefix: String, after: String?, limit: Int) async throws(StoreError) -> Listing

    /// Applies all of `mutations` or none, as one new revision, which it returns.
    ///
    /// All preconditions are judged against the state before the transaction.
    /// Durable when it returns. A key may be put or deleted at most once in one
    /// transaction. Deleting a key that is not there is no error and no event. A
    /// transaction that changes nothing (checks only, deletes of absent keys) makes
    /// no revision and returns the current one; a put of equal bytes makes one.
    ///
    /// Not cancellable: the caller always learns the outcome.
    @discardableResult
    func commit(_ mutations: [Mutation]) async throws(StoreError) -> Revision

    /// All changes after revision `after` to keys that start with `prefix`: first
    /// those of the past, then live ones, with no gap and no duplicate.
    ///
    /// Throws ``StoreError/compacted(oldest:)`` when `after` is older than the
    /// kept history. The stream ends with ``StoreError/watcherTooSlow`` when more
    /// than ``StoreLimits/watchBuffer`` batches, or more than
    /// ``StoreLimits/watchBufferBytes`` bytes, wait unread, and with
    /// ``StoreError/closed`` when the store is closed.
    func watch(prefix: String, after: Revision) async throws(StoreError) -> AsyncThrowingStream<WatchBatch, any Error>

    /// The same, where less may wait unread: it ends with ``StoreError/watcherTooSlow`` beyond `buffer`.
    func watch(
        prefix: String, after: Revision, buffer: WatchBuffer
    ) async throws(StoreError) -> AsyncThrowingStream<WatchBatch, any Error>

    /// The revision of the newest transaction; ``Revision/zero`` for a new store.
    func currentRevision() async throws(StoreError) -> Revision

    /// Forgets the history before revision `before`: afterwards a watch after a
    /// revision less than `before` fails. Current values stay. Compacting beyond the
    /// current revision compacts to the current one; going back does nothing.
    func compact(before: Revision) async throws(StoreError)

    /// What this store found that it cannot read; nil: it does not look.
    var damaged: DamagedRecords? { get }

    /// Ends all watches and releases what the store holds. Closing twice is fine;
    /// everything else then fails with ``StoreError/closed``.
    func close() async throws(StoreError)
}

extension StateStore {
    public var damaged: DamagedRecords? { nil }

    public func watch(
        prefix: String, after: Revision, buffer: WatchBuffer
    ) async throws(StoreError) -> AsyncThrowingStream<WatchBatch, any Error> {
        try await watch(prefix: prefix, after: after)
    }
}

/// How much may wait unread for one watcher; one batch always fits.
public struct WatchBuffer: Sendable, Equatable {
    public var batches: Int
    public var bytes: Int

    /// For this program's own parts, which read as fast as they can and have to begin anew when they are cut off.
    public static let own = WatchBuffer(batches: StoreLimits.watchBuffer, bytes: StoreLimits.watchBufferBytes)
    /// For somebody at the other end of a connection, who resumes by the revision.
    public static let remote = WatchBuffer(batches: StoreLimits.remoteWatchBuffer, bytes: StoreLimits.remoteWatchBufferBytes)

    public init(batches: Int, bytes: Int) {
        self.batches = batches
        self.bytes = bytes
    }
}

/// The number of a transaction: each commit makes the next one, from 1.
public struct Revision: RawRepresentable, Comparable, Hashable, Sendable, Codable {
    public var rawValue: Int64

    public init(rawValue: Int64) {
        self.rawValue = rawValue
    }

    /// Before the first transaction.
    public static let zero = Revision(rawValue: 0)

    public static func < (left: Revision, right: Revision) -> Bool {
        left.rawValue < right.rawValue
    }
}

extension Revision: CustomStringConvertible {
    public var description: String { String(rawValue) }
}

/// A value, and when its key was made and last changed.
public struct StoredValue: Sendable, Equatable {
    public var key: String
    public var value: [UInt8]
    /// The revision of the put that made the key (since its last deletion).
    public var createdRevision: Revision
    /// The revision of the newest put.
    public var modifiedRevision: Revision

    public init(key: String, value: [UInt8], createdRevision: Revision, modifiedRevision: Revision) {
        self.key = key
        self.value = value
        self.createdRevision = createdRevision
        self.modifiedRevision = modifiedRevision
    }
}

/// What must hold of a key for a transaction to be applied.
public enum Precondition: Sendable, Equatable {
    case none
    /// The key is not there.
    case absent
    /// The key is there and its `modifiedRevision` is this one.
    case revision(Revision)
    /// The key is there, whatever its revision.
    case exists
}

/// One step of a transaction.
public enum Mutation: Sendable {
    case put(key: String, value: [UInt8], if: Precondition)
    case delete(key: String, if: Precondition)
    /// Changes nothing; the transaction fails unless the precondition holds.
    case check(key: String, Precondition)
}

/// One page of values in key order.
public struct Listing: Sendable {
    public var values: [StoredValue]
    /// The revision of the snapshot: a watch after it sees all that is not listed.
    public var revision: Revision
    /// What to pass as `after` for the next page; nil when there is none.
    public var nextKey: String?

    public init(values: [StoredValue], revision: Revision, nextKey: String?) {
        self.values = values
        self.revision = revision
        self.nextKey = nextKey
    }
}

/// A change of one key.
public enum StoreEvent: Sendable, Equatable {
    case put(StoredValue)
    case delete(key: String, revision: Revision)

    public var key: String {
        switch self {
        case .put(let stored): stored.key
        case .delete(let key, _): key
        }
    }

    public var revision: Revision {
        switch self {
        case .put(let stored): stored.modifiedRevision
        case .delete(_, let revision): revision
        }
    }
}

/// All events of one revision that a watcher asked for, in the order of the
/// transaction's mutations.
public struct WatchBatch: Sendable {
    public var revision: Revision
    public var events: [StoreEvent]

    public init(revision: Revision, events: [StoreEvent]) {
        self.revision = revision
        self.events = events
    }
}
