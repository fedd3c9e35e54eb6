internal import FoundationEssentials
internal import GRDB
internal import Logging
internal import Synchronization

/// Writes waiting transactions together: one SQLite transaction and one fsync for up
/// to ``groupTransactions`` of them, each with its own revision and outcome.
///
/// Two are synced for a group: the write-ahead log, and then the ``HighWaterMark``, before anything of it is acknowledged.
///
/// There is no timer: the first commit starts a group at once, and what arrives while
/// that one is being written makes the next.
final class GroupCommit: Sendable {
    private struct Waiting {
        let transaction: CheckedTransaction
        let answer: CheckedContinuation<Result<Revision, StoreError>, Never>
    }

    private struct State {
        var waiting: [Waiting] = []
        var bytes = 0
        var isScheduled = false
        var isClosed = false
    }

    static let groupTransactions = 512
    /// A group is not extended beyond this many bytes.
    static let groupBytes = 32 << 20

    private let pool: DatabasePool
    private let hub: WatchHub
    private let eraser: LogEraser
    private let mark: HighWaterMark?
    private let path: String
    private let logger: Logger
    private let state = Mutex(State())

    init(pool: DatabasePool, hub: WatchHub, eraser: LogEraser, mark: HighWaterMark?, path: String, logger: Logger) {
        self.pool = pool
        self.hub = hub
        self.eraser = eraser
        self.mark = mark
        self.path = path
        self.logger = logger
    }

    func commit(_ transaction: CheckedTransaction) async throws(StoreError) -> Revision {
        let outcome = await withCheckedContinuation { answer in
            let (refusal, mustSchedule) = state.withLock { state -> (StoreError?, Bool) in
                if state.isClosed { return (.closed, false) }
                guard state.waiting.count < StoreLimits.waitingCommits,
                    state.waiting.isEmpty || state.bytes + transaction.bytes <= StoreLimits.waitingCommitBytes
                else { return (.unavailable("too many changes wait to be written"), false) }
                state.waiting.append(Waiting(transaction: transaction, answer: answer))
                state.bytes += transaction.bytes
                defer { state.isScheduled = true }
                return (nil, !state.isScheduled)
            }
            if let refusal { answer.resume(returning: Result<Revision, StoreError>.failure(refusal)) }
            if mustSchedule { schedule() }
        }
        return try outcome.get()
    }

    /// Refuses further commits; those that wait are still written.
    func close() {
        state.withLock { $0.isClosed = true }
    }

    /// Whether no transaction waits.
    var isIdle: Bool { state.withLock { $0.waiting.isEmpty } }

    private func schedule() {
        pool.asyncWriteWithoutTransaction { db in self.writeGroup(db) }
    }

    private func writeGroup(_ db: Database) {
        let group = takeGroup()
        let outcomes = write(group.map(\.transaction), db)
        for (waiting, outcome) in zip(group, outcomes) { waiting.answer.resume(returning: outcome) }
        let goesOn = state.withLock { state in
            state.isScheduled = !state.waiting.isEmpty
            return state.isScheduled
        }
        // Through the queue again, so that other writers (compaction) get their turn.
        if goesOn { schedule() }
    }

    private func takeGroup() -> [Waiting] {
        state.withLock { state in
            var bytes = 0
            let count = state.waiting.prefix(Self.groupTransactions).prefix { waiting in
                defer { bytes += waiting.transaction.bytes }
                return bytes == 0 || bytes + waiting.transaction.bytes <= Self.groupBytes
            }.count
            let group = Array(state.waiting.prefix(count))
            state.waiting.removeFirst(count)
            state.bytes -= group.reduce(0) { $0 + $1.transaction.bytes }
            return group
        }
    }

    private func write(_ transactions: [CheckedTransaction], _ db: Database) -> [Result<Revision, StoreError>] {
        do {
            var outcomes: [Result<Revision, StoreError>] = []
            var batches: [WatchBatch] = []
            var replacesSecrets = false
            var newest = HighWaterMark.Value(epoch: 0, revision: .zero)
            try db.inTransaction(.immediate) {
                let meta = try SQLiteSchema.Meta(db)
                var revision = meta.revision
                for transaction in transactions {
                    outcomes.append(
                        try apply(
                            transaction.mutations, after: &revision, batches: &batches, replacesSecrets: &replacesSecrets, db))
                }
                guard !batches.isEmpty else { return .rollback }
                let statement = try db.cachedStatement(sql: "UPDATE meta SET revision = ? WHERE id = 1")
                try statement.execute(arguments: [revision.rawValue])
                newest = .init(epoch: meta.epoch, revision: revision)
                return .commit
            }
            if !batches.isEmpty { raise(newest) }
            hub.publish(batches)
            if replacesSecrets { eraser.erase() }
            return outcomes
        } catch {
            let failure = SQLiteSchema.storeError(error, path: path)
            if case .diskFull = failure, transactions.count > 1 {
                // A small change need not fail because a large one did not fit.
                return transactions.flatMap { write([$0], db) }
            }
            logger.error("a write to the state failed", metadata: ["error": "\(failure)", "code": "\(failure.code)"])
            return transactions.map { _ in .failure(failure) }
        }
    }

    /// What is committed is durable whether or not the mark can be written; without it a later loss would not be seen.
    private func raise(_ newest: HighWaterMark.Value) {
        do {
            try mark?.set(newest)
        } catch {
            logger.error("the high-water mark could not be written", metadata: ["error": "\(error)", "revision": "\(newest.revision)"])
        }
    }

    /// Applies one transaction as the revision after `revision`, which it moves on.
    /// Throws only what fails the whole group.
    private func apply(
        _ mutations: [Mutation], after revision: inout Revision, batches: inout [WatchBatch], replacesSecrets: inout Bool,
        _ db: Database
    ) throws -> Result<Revision, StoreError> {
        var current: [Current?] = []
        current.reserveCapacity(mutations.count)
        for mutation in mutations {
            let found = try Current(of: mutation.key, db)
            guard mutation.precondition.holds(for: found?.modified) else {
                return .failure(.conflict(key: mutation.key, current: found?.modified))
            }
            current.append(found)
        }
        let next = Revision(rawValue: revision.rawValue + 1)
        var events: [StoreEvent] = []
        var changesAnything = false
        for (position, mutation) in mutations.enumerated() {
            let id = next.rawValue << SQLiteSchema.positionBits | Int64(position)
            let isSecret = SecretKeys.contains(mutation.key)
            switch mutation {
            case .put(let key, let value, _):
                let created = current[position]?.created ?? next
                if isSecret {
                    if let old = current[position] {
                        try SecretPages.remove(id: old.id, db)
                        replacesSecrets = true
                    }
                    try SecretPages.write(value, id: id, db)
                } else {
                    try db.cachedStatement(sql: "INSERT INTO versions (id, key, created, value) VALUES (?, ?, ?, ?)")
                        .execute(arguments: [id, key, created.rawValue, Data(value)])
                    events.append(
                        .put(StoredValue(key: key, value: value, createdRevision: created, modifiedRevision: next)))
                }
                try db.cachedStatement(sql: "INSERT OR REPLACE INTO entries (key, id, created) VALUES (?, ?, ?)")
                    .execute(arguments: [key, id, created.rawValue])
            case .delete(let key, _):
                guard let old = current[position] else { continue }
                if isSecret {
                    try SecretPages.remove(id: old.id, db)
                    replacesSecrets = true
                } else {
                    try db.cachedStatement(sql: "INSERT INTO versions (id, key) VALUES (?, ?)")
                        .execute(arguments: [id, key])
                    events.append(.delete(key: key, revision: next))
                }
                try db.cachedStatement(sql: "DELETE FROM entries WHERE key = ?").execute(arguments: [key])
            case .check:
                continue
            }
            changesAnything = true
        }
        guard changesAnything else { return .success(revision) }
        // A batch without events, of secrets alone, moves the watchers' revision on.
        revision = next
        batches.append(WatchBatch(revision: next, events: events))
        return .success(next)
    }

    /// The revisions of a key that is there.
    private struct Current {
        let id: Int64
        let modified: Revision
        let created: Revision

        init?(of key: String, _ db: Database) throws {
            let statement = try db.cachedStatement(sql: "SELECT id, created FROM entries WHERE key = ?")
            guard let row = try Row.fetchOne(statement, arguments: [key]) else { return nil }
            guard let id = Int64.fromDatabaseValue(row[0]) else { throw StoreError.corrupt("the entry at \(key) has no number") }
            self.id = id
            modified = Revision(rawValue: id >> SQLiteSchema.positionBits)
            created = Int64.fromDatabaseValue(row[1]).map { Revision(rawValue: $0) } ?? modified
        }
    }
}
