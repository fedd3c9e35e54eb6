internal import GRDB
internal import Logging
internal import Synchronization

/// Empties the write-ahead log after secrets were deleted or replaced: until then it has their old bytes, and the
/// database below it has them too.
///
/// It happens at once, on the writer's queue. A read that began before the deletion prevents it; then it is tried again
/// when that read has ended.
final class LogEraser: Sendable {
    private struct State {
        var isWanted = false
        var isScheduled = false
        var isClosed = false
        var readers = 0
        /// Attempts since the last sign that one may succeed.
        var attempts = 0
    }

    /// How long writers may wait for readers to end, in milliseconds. A read that is longer is waited for without them.
    static let patienceMilliseconds = 100
    /// Attempts in a row while no read of ours is under way: another program reads the file, and nobody says when it ends.
    private static let attemptLimit = 20

    private let pool: DatabasePool
    private let logger: Logger
    private let state = Mutex(State())

    init(pool: DatabasePool, logger: Logger) {
        self.pool = pool
        self.logger = logger
    }

    /// Whether old bytes may still be in the files.
    var isPending: Bool { state.withLock { $0.isWanted } }

    func erase() {
        state.withLock {
            $0.isWanted = true
            $0.attempts = 0
        }
        schedule()
    }

    func readBegan() { state.withLock { $0.readers += 1 } }

    /// - Parameter wasLong: it was one that an attempt may have failed for.
    func readEnded(wasLong: Bool) {
        let isDue = state.withLock { state in
            state.readers -= 1
            guard state.isWanted, wasLong || state.readers == 0 else { return false }
            state.attempts = 0
            return true
        }
        if isDue { schedule() }
    }

    /// No attempt begins any more; the store empties the log itself when it closes.
    func close() { state.withLock { $0.isClosed = true } }

    private func schedule() {
        let isNew = state.withLock { state in
            guard !state.isScheduled, !state.isClosed else { return false }
            state.isScheduled = true
            return true
        }
        if isNew { pool.asyncWriteWithoutTransaction { db in self.attempt(db) } }
    }

    private func attempt(_ db: Database) {
        let isDue = state.withLock { state in
            state.isScheduled = false
            guard state.isWanted, !state.isClosed else { return false }
            state.attempts += 1
            return true
        }
        guard isDue else { return }
        var isBusy = false
        do {
            isBusy = try Self.truncate(db)
        } catch {
            // The next deletion, and the next long read, bring another attempt.
            return logger.error("the log could not be emptied of deleted secrets; it is tried again", metadata: ["error": "\(error)"])
        }
        let isAgain = state.withLock { state in
            guard isBusy else {
                state.isWanted = false
                return false
            }
            // Its last read is just about to end.
            return state.readers == 0 && state.attempts < Self.attemptLimit
        }
        if isAgain { schedule() }
    }

    /// - Returns: whether a reader prevented it.
    static func truncate(_ db: Database) throws -> Bool {
        try db.execute(sql: "PRAGMA busy_timeout = \(patienceMilliseconds)")
        defer { try? db.execute(sql: "PRAGMA busy_timeout = \(SQLiteStore.busySeconds * 1000)") }
        do {
            let busy: Int? = try Row.fetchOne(db, sql: "PRAGMA wal_checkpoint(TRUNCATE)")?[0]
            return busy != 0
        } catch let error as DatabaseError where error.resultCode == .SQLITE_BUSY || error.resultCode == .SQLITE_LOCKED {
            return true
        }
    }
}
