internal import FoundationEssentials
internal import GRDB

/// The tables of the SQLite store.
///
/// `versions` holds every put and delete until it is compacted, and the current
/// values for ever; its id is `revision << 12 | position in the transaction`.
/// `entries` says which version of a key is current. `meta` is one row. Secrets
/// (``SecretKeys``) have no versions; their values rest in ``SecretPages``.
enum SQLiteSchema {
    /// "HSTL": tells our files from other SQLite files.
    static let applicationID = 0x4853_544c
    /// The newest schema this program knows: the number of migrations.
    static let version = 2
    /// For every connection that writes: what is deleted is overwritten.
    static let erasing = "PRAGMA secure_delete = ON"
    /// The bits of `versions.id` below the revision.
    static let positionBits: Int64 = 12

    static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1 keys and versions") { db in
            try db.execute(
                sql: """
                    CREATE TABLE meta (
                        id INTEGER PRIMARY KEY CHECK (id = 1),
                        revision INTEGER NOT NULL,
                        compacted INTEGER NOT NULL,
                        epoch INTEGER NOT NULL,
                        restored_at_ms INTEGER
                    );
                    INSERT INTO meta VALUES (1, 0, 0, 1, NULL);
                    -- created is the revision that made the key; NULL: a deletion
                    CREATE TABLE versions (
                        id INTEGER PRIMARY KEY,
                        key TEXT NOT NULL,
                        created INTEGER,
                        value BLOB
                    );
                    CREATE TABLE entries (
                        key TEXT NOT NULL PRIMARY KEY,
                        id INTEGER NOT NULL,
                        created INTEGER NOT NULL
                    ) WITHOUT ROWID;
                    PRAGMA application_id = \(applicationID);
                    PRAGMA user_version = 1;
                    """)
        }
        migrator.registerMigration("2 secrets without history") { db in
            try db.execute(sql: SecretPages.tables)
            try SecretPages.moveFromVersions(db)
            // What a store of the first schema deleted without overwriting it is still in its file.
            try db.execute(
                sql: """
                    ALTER TABLE meta ADD COLUMN is_erased INTEGER NOT NULL DEFAULT 0;
                    UPDATE meta SET is_erased = 1 WHERE revision = 0;
                    PRAGMA user_version = 2;
                    """)
        }
        return migrator
    }

    /// Whether what was ever deleted is overwritten, too; false for a store that the first schema has written to.
    static func isErased(_ db: Database) throws -> Bool {
        try Bool.fetchOne(db, sql: "SELECT is_erased FROM meta WHERE id = 1") ?? false
    }

    /// The one row of `meta`.
    struct Meta: Equatable {
        var revision: Revision
        var compacted: Revision
        var epoch: Int
        var restoredAtMilliseconds: Int64?

        init(_ db: Database) throws {
            let sql = "SELECT revision, compacted, epoch, restored_at_ms FROM meta WHERE id = 1"
            guard let row = try Row.fetchOne(db.cachedStatement(sql: sql)) else {
                throw StoreError.corrupt("the meta row is missing")
            }
            guard let revision = Int64.fromDatabaseValue(row[0]), let compacted = Int64.fromDatabaseValue(row[1]),
                let epoch = Int.fromDatabaseValue(row[2]), (0...StoreLimits.revision).contains(revision), (0...revision).contains(compacted),
                (0...Int(Int32.max)).contains(epoch)
            else { throw StoreError.corrupt("the meta row is damaged") }
            self.revision = Revision(rawValue: revision)
            self.compacted = Revision(rawValue: compacted)
            self.epoch = epoch
            restoredAtMilliseconds = Int64.fromDatabaseValue(row[3])
        }
    }

    /// Throws unless the file is empty or a sound one of ours that this version knows.
    static func inspect(_ db: Database, path: String) throws {
        if let fault = try String.fetchOne(db, sql: "PRAGMA quick_check(1)"), fault != "ok" {
            throw StoreError.corrupt("\(path): \(fault)")
        }
        let tables = try Int.fetchOne(db, sql: "SELECT count(*) FROM sqlite_master") ?? 0
        let found = try Int.fetchOne(db, sql: "PRAGMA application_id") ?? 0
        guard found == applicationID || (found == 0 && tables == 0) else {
            throw StoreError.foreign("\(path) is an SQLite file of another program")
        }
        let version = try Int.fetchOne(db, sql: "PRAGMA user_version") ?? 0
        guard version <= Self.version else {
            throw StoreError.schemaTooNew(found: version, supported: Self.version)
        }
    }

    /// Deletes versions that are neither current nor newer than `revision`, among the
    /// first `limit` after `position`; answers where to go on, nil at the end.
    static func sweep(_ db: Database, through revision: Revision, after position: Int64, limit: Int) throws -> Int64? {
        let bound = (revision.rawValue + 1) << positionBits
        let find = "SELECT max(id) FROM (SELECT id FROM versions WHERE id > ? AND id < ? ORDER BY id LIMIT ?)"
        guard let last = try Int64.fetchOne(db, sql: find, arguments: [position, bound, limit]) else { return nil }
        try db.execute(
            sql: """
                DELETE FROM versions WHERE id > ? AND id <= ? AND NOT EXISTS
                (SELECT 1 FROM entries WHERE entries.key = versions.key AND entries.id = versions.id)
                """, arguments: [position, last])
        return last
    }

    /// What an error of SQLite means for a caller.
    static func storeError(_ error: any Error, path: String) -> StoreError {
        if let error = error as? StoreError { return error }
        guard let error = error as? DatabaseError else { return .unavailable("\(path): \(error)") }
        let detail = "\(path): \(error.message ?? "error \(error.extendedResultCode.rawValue)")"
        switch error.resultCode {
        case .SQLITE_FULL:
            return .diskFull(detail)
        case .SQLITE_IOERR:
            // A full disk shows as an I/O error where SQLite grows its shared memory.
            let free = StoreFile.freeBytes(at: StoreFile.parent(of: path))
            return free.map { $0 < 1 << 20 } == true ? .diskFull(detail) : .unavailable(detail)
        case .SQLITE_CORRUPT, .SQLITE_NOTADB:
            return .corrupt(detail)
        case .SQLITE_MISUSE:
            return .closed
        default:
            return .unavailable(detail)
        }
    }
}
