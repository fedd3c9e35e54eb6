internal import FoundationEssentials
internal import GRDB

/// What a look through a whole store found, without changing it.
public struct StoreInspection: Sendable, Equatable {
    /// What SQLite itself says is wrong with the file.
    public var faults: [String] = []
    public var revision = Revision.zero
    public var epoch = 0
    /// The newest acknowledged revision; nil: there is no mark of it.
    public var mark: Revision?
    public var isMarkDamaged = false
    /// Acknowledged revisions that the database does not have.
    public var loss: RevisionLoss?
}

extension SQLiteStore {
    private static let faultLimit = 20

    /// Looks through the store at `path`, which a server may have open, and hands every current value to `visit`, sealed as it
    /// lies there. A value that is missing is empty.
    public static func inspect(path: String, visit: (StoredValue) -> Void) throws(StoreError) -> StoreInspection {
        // SQLite would make one.
        guard StoreFile.exists(path) else { throw .unavailable("there is no \(path)") }
        var inspection = StoreInspection()
        switch HighWaterMark.read(storePath: path) {
        case .nothing: break
        case .damaged: inspection.isMarkDamaged = true
        case .value(let value): inspection.mark = value.revision
        }
        do {
            var configuration = Configuration()
            configuration.readonly = true
            configuration.busyMode = .timeout(TimeInterval(busySeconds))
            let queue = try DatabaseQueue(path: path, configuration: configuration)
            defer { try? queue.close() }
            try queue.read { db in
                let faults = try String.fetchAll(db, sql: "PRAGMA integrity_check(\(faultLimit))")
                inspection.faults = faults == ["ok"] ? [] : faults
                guard try Int.fetchOne(db, sql: "PRAGMA application_id") == SQLiteSchema.applicationID else {
                    throw StoreError.foreign("\(path) is not a state of this program")
                }
                let meta = try SQLiteSchema.Meta(db)
                inspection.revision = meta.revision
                inspection.epoch = meta.epoch
                let sql = "SELECT e.key, e.id, e.created, v.value FROM entries e LEFT JOIN versions v ON v.id = e.id ORDER BY e.key"
                let rows = try Row.fetchCursor(db, sql: sql)
                while let row = try rows.next() { visit(try current(row, db)) }
            }
        } catch {
            // A file that is damaged beyond reading is what was asked about.
            let failure = SQLiteSchema.storeError(error, path: path)
            guard case .corrupt(let why) = failure else { throw failure }
            if !inspection.faults.contains(why) { inspection.faults.append(why) }
        }
        if let mark = inspection.mark, mark > inspection.revision, inspection.faults.isEmpty {
            inspection.loss = RevisionLoss(first: Revision(rawValue: inspection.revision.rawValue + 1), last: mark)
        }
        return inspection
    }

    /// Takes records out of the state, with their history; who keeps what they held is the caller. For a store that no server
    /// serves from.
    ///
    /// - Parameter beginsNewLife: what was under way is ended as after a restore, since what was taken out may have been part of it.
    public func setAside(_ keys: [String], beginsNewLife: Bool, atMilliseconds: Int64) async throws(StoreError) {
        try await write { db in
            try db.inTransaction(.immediate) {
                for key in keys {
                    let id = try Row.fetchOne(db, sql: "SELECT id FROM entries WHERE key = ?", arguments: [key])
                    if SecretKeys.contains(key), let id = id.flatMap({ Int64.fromDatabaseValue($0[0]) }) { try SecretPages.remove(id: id, db) }
                    try db.execute(sql: "DELETE FROM versions WHERE key = ?", arguments: [key])
                    try db.execute(sql: "DELETE FROM entries WHERE key = ?", arguments: [key])
                }
                // No watcher goes on over the gap.
                try db.execute(sql: "UPDATE meta SET revision = revision + 1, compacted = revision + 1 WHERE id = 1")
                if beginsNewLife {
                    try db.execute(sql: "UPDATE meta SET epoch = epoch + 1, restored_at_ms = ? WHERE id = 1", arguments: [atMilliseconds])
                }
                return .commit
            }
        }
        eraser.erase()
    }
}
