internal import Crypto
internal import FoundationEssentials
internal import GRDB

/// What a backup says of itself.
public struct BackupManifest: Sendable, Equatable {
    public var schemaVersion: Int
    /// The newest transaction in it.
    public var revision: Revision
    public var epoch: Int
    public var createdAtMilliseconds: Int64
    /// SHA-256 of all keys, values and revisions, in lower-case hexadecimal.
    public var contentDigest: String
}

extension SQLiteStore {
    /// Writes a consistent copy of the state to `target` (mode 0600) while the store
    /// runs; commits go on meanwhile. The file appears whole or not at all, and
    /// replaces a file of that name; it may not be the store's own.
    ///
    /// `atMilliseconds` is the time to note in it, in Unix milliseconds.
    @discardableResult
    public func backup(to target: String, atMilliseconds: Int64) async throws(StoreError) -> BackupManifest {
        if ["", "-wal", "-shm", ".lock"].contains(where: { StoreFile.isSame(path + $0, target) }) {
            throw .unavailable("\(target) is the running state itself; name another file for the backup")
        }
        if StoreFile.isSpecial(target) { throw .foreign("\(target) is not a regular file; name another one for the backup") }
        let temporary = target + ".partial"
        do {
            let manifest = try await read { db in
                try BackupFile.write(db, to: temporary, atMilliseconds: atMilliseconds)
            }
            try StoreFile.sync(temporary)
            try StoreFile.rename(temporary, to: target)
            try StoreFile.sync(StoreFile.parent(of: target))
            logger.info("backup written", metadata: ["path": "\(target)", "revision": "\(manifest.revision)"])
            return manifest
        } catch {
            BackupFile.remove(temporary)
            throw error
        }
    }

    /// Checks that `path` is a whole, undamaged backup that this version can read,
    /// without changing it.
    public static func verifyBackup(at path: String) throws(StoreError) -> BackupManifest {
        let folder = try ScratchFolder(toRead: path)
        defer { folder.remove() }
        let copy = folder.path(of: "copy")
        try StoreFile.copy(path, to: copy)
        return try BackupFile.verify(copy, named: path)
    }
}

/// The form of a backup: the store's own file, without a log beside it, and with one
/// more table that says what is in it.
enum BackupFile {
    static func write(_ source: Database, to path: String, atMilliseconds: Int64) throws -> BackupManifest {
        remove(path)
        try StoreFile.makePrivate(path)
        let queue = try DatabaseQueue(path: path, configuration: configuration)
        // Not in parts: the source stands in one snapshot, and nobody reads the target.
        try queue.writeWithoutTransaction { target in try source.backup(to: target, pagesPerStep: -1) }
        let manifest = try queue.writeWithoutTransaction { db in
            _ = try String.fetchOne(db, sql: "PRAGMA journal_mode = DELETE")
            let meta = try SQLiteSchema.Meta(db)
            let manifest = BackupManifest(
                schemaVersion: try Int.fetchOne(db, sql: "PRAGMA user_version") ?? 0, revision: meta.revision,
                epoch: meta.epoch, createdAtMilliseconds: atMilliseconds, contentDigest: try contentDigest(db))
            try db.inTransaction {
                try db.execute(
                    sql: """
                        CREATE TABLE backup_manifest (
                            schema_version INTEGER, revision INTEGER, epoch INTEGER, created_at_ms INTEGER,
                            content_sha256 TEXT)
                        """)
                try db.execute(
                    sql: "INSERT INTO backup_manifest VALUES (?, ?, ?, ?, ?)",
                    arguments: [
                        manifest.schemaVersion, manifest.revision.rawValue, manifest.epoch,
                        manifest.createdAtMilliseconds, manifest.contentDigest,
                    ])
                return .commit
            }
            // The pages are written anew: a backup has what is in the record, and nothing that was deleted from it.
            try db.execute(sql: "VACUUM")
            return manifest
        }
        try queue.close()
        return manifest
    }

    /// How a backup, and what is made of one, is opened for writing.
    static var configuration: Configuration {
        var configuration = Configuration()
        configuration.prepareDatabase { db in try db.execute(sql: SQLiteSchema.erasing) }
        return configuration
    }

    /// Throws unless the file at `path` is a good backup. May leave an SQLite journal
    /// beside it, so it gets a copy; errors call it `name`.
    static func verify(_ path: String, named name: String) throws(StoreError) -> BackupManifest {
        do {
            let queue = try DatabaseQueue(path: path)
            defer { try? queue.close() }
            return try queue.inDatabase { db in
                try SQLiteSchema.inspect(db, path: name)
                guard try db.tableExists("backup_manifest"), try db.tableExists("meta") else {
                    throw StoreError.foreign("\(name) has no backup manifest; it was not made by a backup")
                }
                if let fault = try String.fetchOne(db, sql: "PRAGMA integrity_check(1)"), fault != "ok" {
                    throw StoreError.corrupt("\(name): \(fault)")
                }
                let columns = "schema_version, revision, epoch, created_at_ms, content_sha256"
                guard let row = try Row.fetchOne(db, sql: "SELECT \(columns) FROM backup_manifest") else {
                    throw StoreError.corrupt("\(name): its manifest is empty")
                }
                let meta = try SQLiteSchema.Meta(db)
                guard let schema = Int.fromDatabaseValue(row[0]), let revision = Int64.fromDatabaseValue(row[1]),
                    let epoch = Int.fromDatabaseValue(row[2]), let created = Int64.fromDatabaseValue(row[3]),
                    let digest = String.fromDatabaseValue(row[4]),
                    revision == meta.revision.rawValue, epoch == meta.epoch
                else { throw StoreError.corrupt("\(name): its manifest does not describe it") }
                let found = try contentDigest(db)
                guard digest == found else {
                    throw StoreError.corrupt("\(name): its content has SHA-256 \(found), the manifest says \(digest)")
                }
                return BackupManifest(
                    schemaVersion: schema, revision: meta.revision, epoch: epoch, createdAtMilliseconds: created,
                    contentDigest: digest)
            }
        } catch {
            throw SQLiteSchema.storeError(error, path: name)
        }
    }

    static func remove(_ path: String) {
        for suffix in ["", "-journal", "-wal", "-shm"] { StoreFile.remove(path + suffix) }
    }

    /// SHA-256 over every row in order: numbers as 8 bytes little-endian, text and
    /// blobs after their length, a missing value as length -1.
    static func contentDigest(_ db: Database) throws -> String {
        var hasher = SHA256()
        func add(_ number: Int64) {
            withUnsafeBytes(of: number.littleEndian) { hasher.update(bufferPointer: $0) }
        }
        func add(_ bytes: Data?) {
            add(Int64(bytes?.count ?? -1))
            bytes?.withUnsafeBytes { hasher.update(bufferPointer: $0) }
        }
        // What is of another type than it should be counts as what it is.
        func addNumber(_ value: DatabaseValue) {
            if let number = Int64.fromDatabaseValue(value) { add(number) } else { add(Data("\(value)".utf8)) }
        }
        func addText(_ value: DatabaseValue) {
            if let text = String.fromDatabaseValue(value) { add(Data(text.utf8)) } else { add(Data("\(value)".utf8)) }
        }
        func addBytes(_ value: DatabaseValue) {
            if value.isNull { add(nil) } else if let bytes = Data.fromDatabaseValue(value) { add(bytes) } else { add(Data("\(value)".utf8)) }
        }
        let meta = try SQLiteSchema.Meta(db)
        add(meta.revision.rawValue)
        add(meta.compacted.rawValue)
        add(Int64(meta.epoch))
        let versions = try Row.fetchCursor(db, sql: "SELECT id, key, created, value FROM versions ORDER BY id")
        while let row = try versions.next() {
            addNumber(row[0])
            addText(row[1])
            if row.hasNull(atIndex: 2) { add(-1) } else { addNumber(row[2]) }
            addBytes(row[3])
        }
        let entries = try Row.fetchCursor(db, sql: "SELECT key, id, created FROM entries ORDER BY key")
        while let row = try entries.next() {
            addText(row[0])
            addNumber(row[1])
            addNumber(row[2])
        }
        // The first schema has none of these.
        if try db.tableExists("secrets") {
            let secrets = try Row.fetchCursor(db, sql: "SELECT id, first_page, byte_count FROM secrets ORDER BY id")
            while let row = try secrets.next() { for column in 0..<3 { addNumber(row[column]) } }
            let pages = try Row.fetchCursor(db, sql: "SELECT id, bytes FROM secret_pages ORDER BY id")
            while let row = try pages.next() {
                addNumber(row[0])
                addBytes(row[1])
            }
        }
        return hasher.finalize().map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? "0" + digits : digits
        }.joined()
    }
}
