import Foundation
import GRDB

/// A store as the first schema had it, in which secrets were as all other values: readable, with a history.
enum FirstSchema {
    /// - Parameter steps: keys and values in the order that they were written; nil: deleted.
    static func write(_ steps: [(key: String, value: [UInt8]?)], to path: String, isBackup: Bool = false) throws {
        try FileManager.default.createDirectory(
            at: URL(fileURLWithPath: path).deletingLastPathComponent(), withIntermediateDirectories: true)
        let queue = try DatabaseQueue(path: path)
        defer { try? queue.close() }
        try queue.writeWithoutTransaction { db in
            try db.execute(
                sql: """
                    PRAGMA page_size = 4096;
                    PRAGMA journal_mode = WAL;
                    CREATE TABLE grdb_migrations (identifier TEXT NOT NULL PRIMARY KEY);
                    INSERT INTO grdb_migrations VALUES ('1 keys and versions');
                    CREATE TABLE meta (
                        id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL, compacted INTEGER NOT NULL,
                        epoch INTEGER NOT NULL, restored_at_ms INTEGER);
                    INSERT INTO meta VALUES (1, 0, 0, 1, NULL);
                    CREATE TABLE versions (id INTEGER PRIMARY KEY, key TEXT NOT NULL, created INTEGER, value BLOB);
                    CREATE TABLE entries (key TEXT NOT NULL PRIMARY KEY, id INTEGER NOT NULL, created INTEGER NOT NULL) WITHOUT ROWID;
                    PRAGMA application_id = \(0x4853_544c);
                    PRAGMA user_version = 1;
                    """)
            for (index, step) in steps.enumerated() {
                let revision = Int64(index + 1)
                let created = try Int64.fetchOne(db, sql: "SELECT created FROM entries WHERE key = ?", arguments: [step.key]) ?? revision
                try db.execute(
                    sql: "INSERT INTO versions VALUES (?, ?, ?, ?)",
                    arguments: [revision << 12, step.key, step.value == nil ? nil : created, step.value.map { Data($0) }])
                try db.execute(sql: "DELETE FROM entries WHERE key = ?", arguments: [step.key])
                if step.value != nil {
                    try db.execute(sql: "INSERT INTO entries VALUES (?, ?, ?)", arguments: [step.key, revision << 12, created])
                }
                try db.execute(sql: "UPDATE meta SET revision = ?", arguments: [revision])
            }
        }
    }
}
