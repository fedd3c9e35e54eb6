internal import FoundationEssentials
internal import GRDB
public import Logging
internal import Synchronization

/// A ``StateStore`` in one SQLite file, for a single server.
///
/// Write-ahead log with `synchronous=FULL`: what a commit acknowledged survives
/// `kill -9` and power loss. Concurrent commits share an fsync (``GroupCommit``).
/// The file and its companions (`-wal`, `-shm`, `.lock`) have mode 0600.
public final class SQLiteStore: StateStore {
    /// How a store is opened.
    public struct Options: Sendable {
        /// The largest size of the database file; nil: as large as the disk allows.
        /// Rounded down to whole pages of 4 KiB.
        public var sizeLimitBytes: Int?
        /// After how many 4 KiB pages in the write-ahead log it is moved into the
        /// database.
        public var checkpointPages = 4000
        /// The most reads at one time.
        public var readers = 4

        public init() {}
    }

    static let pageBytes = 4096
    private static let historyPageBatches = 512
    private static let historyPageBytes = 8 << 20
    private static let sweepRows = 2000

    let path: String
    let pool: DatabasePool
    let logger: Logger
    private let hub: WatchHub
    private let writer: GroupCommit
    private let lock: Mutex<StoreLock?>
    private let isClosed = Mutex(false)

    /// Opens the store at `path`, and makes it (mode 0600, missing directories 0700)
    /// if it is not there. Blocks while it checks and migrates the file.
    ///
    /// Throws ``StoreError/inUse(_:)`` when it is open already, here or elsewhere,
    /// ``StoreError/corrupt(_:)``, ``StoreError/foreign(_:)`` or
    /// ``StoreError/schemaTooNew(found:supported:)`` for a file that cannot be used.
    public init(path: String, options: Options = Options(), logger: Logger) throws(StoreError) {
        try StoreFile.makeDirectory(StoreFile.parent(of: path))
        let lock = try StoreLock(storePath: path)
        let isNew = !StoreFile.exists(path)
        try StoreFile.makePrivate(path)
        if isNew { try StoreFile.sync(StoreFile.parent(of: path)) }
        do {
            let meta: SQLiteSchema.Meta
            (pool, meta) = try Self.openPool(path: path, options: options)
            hub = WatchHub(revision: meta.revision, compacted: meta.compacted)
            logger.info(
                "state opened",
                metadata: ["path": "\(path)", "revision": "\(meta.revision)", "epoch": "\(meta.epoch)"])
        } catch {
            throw SQLiteSchema.storeError(error, path: path)
        }
        self.path = path
        self.logger = logger
        self.lock = Mutex(consume lock)
        writer = GroupCommit(pool: pool, hub: hub, path: path, logger: logger)
    }

    private static func openPool(path: String, options: Options) throws -> (DatabasePool, SQLiteSchema.Meta) {
        // First without changing anything, in case it is not our file.
        let probe = try DatabaseQueue(path: path)
        try probe.inDatabase { db in try SQLiteSchema.inspect(db, path: path) }
        try probe.close()

        var configuration = Configuration()
        configuration.label = "state"
        configuration.busyMode = .timeout(10)
        configuration.maximumReaderCount = options.readers
        configuration.prepareDatabase { db in
            try db.execute(sql: "PRAGMA page_size = \(pageBytes); PRAGMA cache_size = -8192")
        }
        let pool = try DatabasePool(path: path, configuration: configuration)
        try SQLiteSchema.migrator.migrate(pool)
        let meta = try pool.writeWithoutTransaction { db in
            // After the pool has chosen its own: NORMAL would not survive power loss.
            try db.execute(
                sql: "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = \(options.checkpointPages)")
            guard try Int.fetchOne(db, sql: "PRAGMA synchronous") == 2 else {
                throw StoreError.unavailable("SQLite refuses synchronous=FULL")
            }
            if let limit = options.sizeLimitBytes {
                _ = try Int.fetchOne(db, sql: "PRAGMA max_page_count = \(max(limit / pageBytes, 1))")
            }
            return try SQLiteSchema.Meta(db)
        }
        return (pool, meta)
    }

    public func get(_ key: String) async throws(StoreError) -> StoredValue? {
        try StoreKey.validate(key)
        return try await read { db in
            let sql = """
                SELECT v.key, v.id, v.created, v.value FROM entries e CROSS JOIN versions v ON v.id = e.id
                WHERE e.key = ?
                """
            return try Row.fetchOne(db.cachedStatement(sql: sql), arguments: [key]).map(Self.storedValue)
        }
    }

    public func list(prefix: String, after: String?, limit: Int) async throws(StoreError) -> Listing {
        let limit = min(max(limit, 1), StoreLimits.listLimit)
        let skipsTo = after.flatMap { ByteKey($0) >= ByteKey(prefix) ? $0 : nil }
        return try await read { db in
            let sql = """
                SELECT v.key, v.id, v.created, v.value FROM entries e CROSS JOIN versions v ON v.id = e.id
                WHERE e.key \(skipsTo == nil ? ">=" : ">") ? AND e.key < ? ORDER BY e.key LIMIT ?
                """
            let arguments: StatementArguments = [skipsTo ?? prefix, Self.end(ofPrefix: prefix), limit + 1]
            let rows = try Row.fetchCursor(db.cachedStatement(sql: sql), arguments: arguments)
            var listing = Listing(values: [], revision: try SQLiteSchema.Meta(db).revision, nextKey: nil)
            var bytes = 0
            while let row = try rows.next() {
                let stored = Self.storedValue(row)
                bytes += stored.value.count
                if listing.values.count == limit || (!listing.values.isEmpty && bytes > StoreLimits.listBytes) {
                    listing.nextKey = listing.values.last?.key
                    break
                }
                listing.values.append(stored)
            }
            return listing
        }
    }

    @discardableResult
    public func commit(_ mutations: [Mutation]) async throws(StoreError) -> Revision {
        try await writer.commit(try CheckedTransaction(mutations))
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
            return try await self.history(prefix: prefix, from: from, through: through)
        }
    }

    public func currentRevision() async throws(StoreError) -> Revision {
        try await read { db in try SQLiteSchema.Meta(db).revision }
    }

    /// Which life of the state this is: it changes when a backup is restored.
    public func storeEpoch() async throws(StoreError) -> StoreEpoch {
        try await read { db in
            let meta = try SQLiteSchema.Meta(db)
            return StoreEpoch(epoch: meta.epoch, restoredAtMilliseconds: meta.restoredAtMilliseconds)
        }
    }

    public func compact(before: Revision) async throws(StoreError) {
        let compacted = try await write { db in
            var compacted = Revision.zero
            try db.inTransaction(.immediate) {
                let meta = try SQLiteSchema.Meta(db)
                compacted = max(meta.compacted, min(before, meta.revision))
                guard compacted > meta.compacted else { return .rollback }
                try db.execute(sql: "UPDATE meta SET compacted = ? WHERE id = 1", arguments: [compacted.rawValue])
                return .commit
            }
            return compacted
        }
        hub.compacted(before: compacted)
        // In small steps between groups, so that no commit waits long. What a crash
        // leaves over, the next compaction takes.
        var position: Int64? = 0
        while let from = position {
            position = try await write { db in
                try SQLiteSchema.sweep(db, through: compacted, after: from, limit: Self.sweepRows)
            }
        }
    }

    public func close() async throws(StoreError) {
        let wasClosed = isClosed.withLock { isClosed in
            defer { isClosed = true }
            return isClosed
        }
        guard !wasClosed else { return }
        writer.close()
        hub.close()
        await withCheckedContinuation { drained in
            whenDrained { drained.resume() }
        }
        defer { lock.withLock { $0 = nil } }
        do {
            // The readers first: SQLite folds the log into the database only when the
            // last connection to close may write.
            pool.invalidateReadOnlyConnections()
            // A reader may still be on its way out and be the last all the same: the log is folded in before,
            // so that the database is one whole file whoever closes last.
            try await pool.writeWithoutTransaction { db in _ = try Row.fetchOne(db, sql: "PRAGMA wal_checkpoint(TRUNCATE)") }
            try pool.close()
        } catch {
            throw SQLiteSchema.storeError(error, path: path)
        }
    }

    /// Calls `body` on the writer's queue when all groups that wait have been written.
    private func whenDrained(_ body: @escaping @Sendable () -> Void) {
        pool.asyncWriteWithoutTransaction { [self] _ in
            if writer.isIdle { body() } else { whenDrained(body) }
        }
    }

    private func history(prefix: String, from: Revision, through: Revision) async throws(StoreError) -> HistoryPage {
        try await read { db in
            let compacted = try SQLiteSchema.Meta(db).compacted
            if from < compacted { throw StoreError.compacted(oldest: compacted) }
            let sql = "SELECT key, id, created, value FROM versions WHERE id >= ? AND id < ? ORDER BY id"
            let shift = SQLiteSchema.positionBits
            let rows = try Row.fetchCursor(
                db.cachedStatement(sql: sql),
                arguments: [(from.rawValue + 1) << shift, (through.rawValue + 1) << shift])
            var page = HistoryPage(batches: [], through: through)
            var bytes = 0
            while let row = try rows.next() {
                let key: String = row[0]
                guard StoreKey.matches(key, prefix: prefix) else { continue }
                let id: Int64 = row[1]
                let revision = Revision(rawValue: id >> shift)
                if page.batches.last?.revision != revision {
                    if page.batches.count >= Self.historyPageBatches || bytes >= Self.historyPageBytes {
                        page.through = Revision(rawValue: revision.rawValue - 1)
                        break
                    }
                    page.batches.append(WatchBatch(revision: revision, events: []))
                }
                let isDeletion = row.hasNull(atIndex: 2)
                let event: StoreEvent =
                    isDeletion ? .delete(key: key, revision: revision) : .put(Self.storedValue(row))
                if case .put(let stored) = event { bytes += stored.value.count }
                page.batches[page.batches.count - 1].events.append(event)
            }
            return page
        }
    }

    /// From a row of key, id, created, value.
    private static func storedValue(_ row: Row) -> StoredValue {
        let id: Int64 = row[1]
        let value: Data? = row[3]
        return StoredValue(
            key: row[0], value: value.map { [UInt8]($0) } ?? [], createdRevision: Revision(rawValue: row[2]),
            modifiedRevision: Revision(rawValue: id >> SQLiteSchema.positionBits))
    }

    /// What all keys with the prefix sort before. SQLite sorts any blob after any text.
    private static func end(ofPrefix prefix: String) -> DatabaseValue {
        StoreKey.end(ofPrefix: prefix)?.databaseValue ?? Data([0]).databaseValue
    }

    /// Runs `body` on one snapshot. Not cancellable, as the closure form of GRDB's
    /// reads is not.
    func read<Value: Sendable>(
        _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws(StoreError) -> Value {
        if isClosed.withLock({ $0 }) { throw .closed }
        let outcome = await withCheckedContinuation { answer in
            pool.asyncRead { [path] db in
                answer.resume(
                    returning: Result { try body(db.get()) }.mapError { SQLiteSchema.storeError($0, path: path) })
            }
        }
        return try outcome.get()
    }

    private func write<Value: Sendable>(
        _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws(StoreError) -> Value {
        if isClosed.withLock({ $0 }) { throw .closed }
        let outcome = await withCheckedContinuation { answer in
            pool.asyncWriteWithoutTransaction { [path] db in
                answer.resume(
                    returning: Result { try body(db) }.mapError { SQLiteSchema.storeError($0, path: path) })
            }
        }
        return try outcome.get()
    }
}

/// Which life of the state this is.
public struct StoreEpoch: Sendable, Equatable {
    /// 1 for a new store; one more at each restore.
    public var epoch: Int
    /// When this life began from a backup; nil if it never did.
    public var restoredAtMilliseconds: Int64?

    public init(epoch: Int, restoredAtMilliseconds: Int64?) {
        self.epoch = epoch
        self.restoredAtMilliseconds = restoredAtMilliseconds
    }
}
