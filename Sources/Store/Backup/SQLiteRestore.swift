internal import GRDB

/// What a restore did.
public struct RestoreReport: Sendable, Equatable {
    /// The backup that was restored.
    public var manifest: BackupManifest
    public var epoch: Int
    /// Where the revisions go on: beyond all that the replaced state had given out.
    public var revision: Revision
    public var keyCount: Int
    /// The keys of the secrets that were left out.
    public var leftOut: [String] = []
    /// Where the replaced database is kept; nil if there was none.
    public var keptAs: String?
}

extension SQLiteStore {
    /// How far revisions jump at a restore, so that none is given out twice even when
    /// the replaced database cannot say how far it was.
    static let restoreRevisionJump: Int64 = 1_000_000

    /// Puts a backup in the place of the store at `path`, which no server may have
    /// open. Everything is checked on a private copy before anything is replaced, and
    /// the replaced database stays beside it as `.before-restore-TIME`.
    ///
    /// The restored store has a higher ``StoreEpoch/epoch``, and its revisions go on
    /// beyond the old ones, with no history: a watcher or a compare-and-swap from
    /// before the restore fails instead of meeting a reused revision.
    ///
    /// - Parameters:
    ///   - atMilliseconds: the time to note, in Unix milliseconds.
    ///   - keeps: whether a secret is restored; else it is left out. Nil: all are.
    @discardableResult
    public static func restore(
        from backup: String, to path: String, atMilliseconds: Int64, keeps: ((_ key: String, _ value: [UInt8]) -> Bool)? = nil
    ) throws(StoreError) -> RestoreReport {
        let directory = StoreFile.parent(of: path)
        try StoreFile.makeDirectory(directory)
        let lock = try StoreLock(storePath: path)
        if ["", "-wal", "-shm", ".lock"].contains(where: { StoreFile.isSame(backup, path + $0) }) {
            throw .unavailable("\(backup) is the state itself, not a backup of it")
        }
        if StoreFile.isSpecial(path) { throw .foreign("\(path) is not a regular file; a restore would replace what it leads to or stands for") }
        let temporary = path + ".restoring"
        BackupFile.remove(temporary)
        defer { BackupFile.remove(temporary) }
        try StoreFile.copy(backup, to: temporary)
        let manifest = try BackupFile.verify(temporary, named: backup)

        let replaced = StoreFile.exists(path) ? settle(path) : nil
        var report: RestoreReport
        do {
            // What was acknowledged, where the replaced database does not have it any more.
            let marked = if case .value(let value) = HighWaterMark.read(storePath: path) { value.revision } else { Revision.zero }
            report = try prepare(temporary, manifest, replacing: replaced, marked, atMilliseconds: atMilliseconds, keeps: keeps)
        } catch {
            throw SQLiteSchema.storeError(error, path: temporary)
        }
        try StoreFile.sync(temporary)
        if StoreFile.exists(path) {
            let kept = unusedName(path + ".before-restore-\(atMilliseconds)")
            // A second name, so that the store is never without a file.
            try StoreFile.link(path, to: kept)
            if StoreFile.exists(path + "-wal") { try StoreFile.rename(path + "-wal", to: kept + "-wal") }
            try StoreFile.sync(directory)
            StoreFile.remove(path + "-shm")
            report.keptAs = kept
        }
        try StoreFile.rename(temporary, to: path)
        try StoreFile.sync(directory)
        _ = consume lock
        return report
    }

    /// Moves the log of the old database into it, so that it is one file, and says how
    /// far it was; nil if it cannot be read.
    private static func settle(_ path: String) -> SQLiteSchema.Meta? {
        do {
            let queue = try DatabaseQueue(path: path)
            defer { try? queue.close() }
            return try queue.inDatabase { db in
                guard try Int.fetchOne(db, sql: "PRAGMA application_id") == SQLiteSchema.applicationID else {
                    return nil
                }
                _ = try Row.fetchOne(db, sql: "PRAGMA wal_checkpoint(TRUNCATE)")
                return try SQLiteSchema.Meta(db)
            }
        } catch {
            return nil
        }
    }

    private static func prepare(
        _ path: String, _ manifest: BackupManifest, replacing replaced: SQLiteSchema.Meta?, _ marked: Revision, atMilliseconds: Int64,
        keeps: ((_ key: String, _ value: [UInt8]) -> Bool)?
    ) throws -> RestoreReport {
        let queue = try DatabaseQueue(path: path, configuration: BackupFile.configuration)
        defer { try? queue.close() }
        try SQLiteSchema.migrator.migrate(queue)
        return try queue.write { db in
            let meta = try SQLiteSchema.Meta(db)
            let epoch = max(meta.epoch, replaced?.epoch ?? 0) + 1
            let newest = max(meta.revision, replaced?.revision ?? .zero, marked)
            let revision = Revision(rawValue: newest.rawValue + restoreRevisionJump)
            try db.execute(
                sql: """
                    UPDATE meta SET epoch = ?, restored_at_ms = ?, revision = ?, compacted = ? WHERE id = 1
                    """, arguments: [epoch, atMilliseconds, revision.rawValue, revision.rawValue])
            try db.execute(sql: "DROP TABLE backup_manifest; DROP TABLE IF EXISTS backup_keys")
            let leftOut = try keeps.map { try SecretPages.remove(from: db, unless: $0) } ?? []
            var position: Int64? = 0
            while let from = position {
                position = try SQLiteSchema.sweep(db, through: revision, after: from, limit: 10_000)
            }
            let keyCount = try Int.fetchOne(db, sql: "SELECT count(*) FROM entries") ?? 0
            return RestoreReport(
                manifest: manifest, epoch: epoch, revision: revision, keyCount: keyCount, leftOut: leftOut, keptAs: nil)
        }
    }

    private static func unusedName(_ name: String) -> String {
        var candidate = name
        var number = 1
        while StoreFile.exists(candidate) {
            number += 1
            candidate = "\(name)-\(number)"
        }
        return candidate
    }
}
