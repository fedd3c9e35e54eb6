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
        /// Nothing is committed: what the mark beside the database says of a loss is left for the next server to say.
        public var isForCopying = false
        /// The wall clock, in Unix milliseconds.
        public var nowMilliseconds: @Sendable () -> Int64 = { Int64(Date().timeIntervalSince1970 * 1000) }
        /// The most reads at one time.
        public var readers = 4

        public init() {}
    }

    static let pageBytes = 4096
    /// How long a statement waits for another connection.
    static let busySeconds = 10
    private static let historyPageBatches = 512
    private static let historyPageBytes = 8 << 20
    private static let sweepRows = 2000

    let path: String
    let pool: DatabasePool
    let logger: Logger
    private let hub: WatchHub
    private let writer: GroupCommit
    let eraser: LogEraser
    /// What the database had lost of acknowledged revisions when it was opened; nil: nothing that can be known.
    public let loss: RevisionLoss?
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
        let mark: HighWaterMark?
        do {
            var meta: SQLiteSchema.Meta
            (pool, meta) = try Self.openPool(path: path, options: options)
            if options.isForCopying {
                loss = nil
                mark = nil
            } else {
                (loss, meta) = try Self.settle(HighWaterMark.read(storePath: path), meta, pool, options, path: path, logger)
                mark = Self.openMark(path, .init(epoch: meta.epoch, revision: meta.revision), logger)
            }
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
        eraser = LogEraser(pool: pool, logger: logger)
        writer = GroupCommit(pool: pool, hub: hub, eraser: eraser, mark: mark, path: path, logger: logger)
    }

    /// Compares the database with the mark beside it. Where acknowledged revisions are missing, their numbers are not used
    /// again, nobody goes on from them, and what is in the record is as after a restore: older than what was done.
    private static func settle(
        _ mark: HighWaterMark.Found, _ meta: SQLiteSchema.Meta, _ pool: DatabasePool, _ options: Options, path: String, _ logger: Logger
    ) throws -> (RevisionLoss?, SQLiteSchema.Meta) {
        var loss: RevisionLoss?
        let next: Int64
        switch mark {
        case .nothing: return (nil, meta)
        case .value(let value):
            guard value.revision > meta.revision else { return (nil, meta) }
            let lost = RevisionLoss(first: Revision(rawValue: meta.revision.rawValue + 1), last: value.revision)
            logger.critical(
                "acknowledged changes are not in the database any more: it lost revisions",
                metadata: ["path": "\(path)", "first": "\(lost.first)", "last": "\(lost.last)"])
            loss = lost
            next = value.revision.rawValue + 1
        case .damaged:
            logger.error(
                "the high-water mark cannot be read: whether acknowledged changes were lost is not known",
                metadata: ["path": "\(HighWaterMark.path(ofStore: path))"])
            next = meta.revision.rawValue + restoreRevisionJump
        }
        let settled = try pool.write { [loss] db in
            try db.execute(sql: "UPDATE meta SET revision = ?, compacted = ? WHERE id = 1", arguments: [next, next])
            if let loss {
                try db.execute(
                    sql: "UPDATE meta SET epoch = epoch + 1, restored_at_ms = ? WHERE id = 1", arguments: [options.nowMilliseconds()])
                try loss.keep(at: next, db)
            }
            return try SQLiteSchema.Meta(db)
        }
        return (loss, settled)
    }

    /// Nil where there is no room for it: a later loss would not be seen, and everything else works.
    private static func openMark(_ path: String, _ value: HighWaterMark.Value, _ logger: Logger) -> HighWaterMark? {
        do {
            return try HighWaterMark(storePath: path, value: value)
        } catch {
            logger.error("the high-water mark could not be written", metadata: ["error": "\(error)", "revision": "\(value.revision)"])
            return nil
        }
    }

    private static func openPool(path: String, options: Options) throws -> (DatabasePool, SQLiteSchema.Meta) {
        // First without changing anything, in case it is not our file.
        let probe = try DatabaseQueue(path: path)
        try probe.inDatabase { db in try SQLiteSchema.inspect(db, path: path) }
        try probe.close()

        var configuration = Configuration()
        configuration.label = "state"
        configuration.busyMode = .timeout(TimeInterval(busySeconds))
        configuration.maximumReaderCount = options.readers
        configuration.prepareDatabase { db in
            try db.execute(sql: "PRAGMA page_size = \(pageBytes); PRAGMA cache_size = -8192; \(SQLiteSchema.erasing)")
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
            // A kill may have left deleted secrets in the log.
            _ = try LogEraser.truncate(db)
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
                SELECT e.key, e.id, e.created, v.value FROM entries e LEFT JOIN versions v ON v.id = e.id
                WHERE e.key = ?
                """
            return try Row.fetchOne(db.cachedStatement(sql: sql), arguments: [key]).map { try Self.current($0, db) }
        }
    }

    public func list(prefix: String, after: String?, limit: Int) async throws(StoreError) -> Listing {
        let limit = min(max(limit, 1), StoreLimits.listLimit)
        let skipsTo = after.flatMap { ByteKey($0) >= ByteKey(prefix) ? $0 : nil }
        return try await read { db in
            let sql = """
                SELECT e.key, e.id, e.created, v.value FROM entries e LEFT JOIN versions v ON v.id = e.id
                WHERE e.key \(skipsTo == nil ? ">=" : ">") ? AND e.key < ? ORDER BY e.key LIMIT ?
                """
            let arguments: StatementArguments = [skipsTo ?? prefix, Self.end(ofPrefix: prefix), limit + 1]
            let rows = try Row.fetchCursor(db.cachedStatement(sql: sql), arguments: arguments)
            var listing = Listing(values: [], revision: try SQLiteSchema.Meta(db).revision, nextKey: nil)
            var bytes = 0
            while let row = try rows.next() {
                let stored = try Self.current(row, db)
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
        eraser.close()
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
                guard let key = String.fromDatabaseValue(row[0]), let id = Int64.fromDatabaseValue(row[1]) else {
                    throw StoreError.corrupt("a version has no key")
                }
                guard StoreKey.matches(key, prefix: prefix) else { continue }
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
                    isDeletion ? .delete(key: key, revision: revision) : .put(try Self.storedValue(row))
                if case .put(let stored) = event { bytes += stored.value.count }
                page.batches[page.batches.count - 1].events.append(event)
            }
            return page
        }
    }

    /// The current value of a row of key, id, created, value; a secret's is elsewhere. A value that is missing is empty, which
    /// no reader takes for a record: that it cannot be read is found where it is read.
    static func current(_ row: Row, _ db: Database) throws -> StoredValue {
        var stored = try storedValue(row)
        if SecretKeys.contains(stored.key) {
            do {
                stored.value = try SecretPages.read(id: Int64.fromDatabaseValue(row[1]) ?? 0, db)
            } catch StoreError.corrupt {
                stored.value = []
            }
        }
        return stored
    }

    /// From a row of key, id, created, value, in which other programs and decay may have left anything.
    private static func storedValue(_ row: Row) throws -> StoredValue {
        guard let key = String.fromDatabaseValue(row[0]) else { throw StoreError.corrupt("a row has no key") }
        let id = Int64.fromDatabaseValue(row[1]) ?? 0
        let value = Data.fromDatabaseValue(row[3])
        let modified = id >> SQLiteSchema.positionBits
        return StoredValue(
            key: key, value: value.map { [UInt8]($0) } ?? [], createdRevision: Revision(rawValue: Int64.fromDatabaseValue(row[2]) ?? modified),
            modifiedRevision: Revision(rawValue: modified))
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
        eraser.readBegan()
        let outcome = await withCheckedContinuation { answer in
            pool.asyncRead { [path, eraser] db in
                let began = ContinuousClock.now
                let outcome = Result { try body(db.get()) }.mapError { SQLiteSchema.storeError($0, path: path) }
                eraser.readEnded(wasLong: ContinuousClock.now - began > .milliseconds(LogEraser.patienceMilliseconds / 2))
                answer.resume(returning: outcome)
            }
        }
        return try outcome.get()
    }

    func write<Value: Sendable>(
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
