internal import Crypto
internal import CryptoExtras
internal import FoundationEssentials
internal import GRDB
public import Model

/// The key files of a server in a backup, encrypted under a passphrase.
///
/// The key comes from the passphrase by scrypt (RFC 7914), whose parameters stand beside it; it seals with AES-256-GCM,
/// bound to these parameters and to the content of this one backup.
public enum BackupKeys {
    /// The cost of trying one passphrase.
    struct Cost: Sendable, Equatable {
        /// CPU and memory: 128 · n · r bytes are needed.
        var n: Int
        var r: Int
        var p: Int

        /// 256 MiB and about a second: twice what OWASP's Password Storage Cheat Sheet has for logins (N = 2^17, r = 8, p = 1),
        /// since a backup can be tried at leisure, and no more, since a small server must be able to open it.
        static let usual = Cost(n: 1 << 18, r: 8, p: 1)
        /// What a backup may ask of who opens it: 1 GiB. It may come from anybody.
        var isBearable: Bool {
            (1 << 10...1 << 20).contains(n) && n & (n - 1) == 0 && (1...8).contains(r) && (1...4).contains(p)
        }
    }

    /// A passphrase of fewer bytes is not taken for a new backup: its keys open everything, and whoever has the backup has
    /// all the time there is.
    public static let passphraseMinimumBytes = 12
    static let passphraseLimitBytes = 1024
    private static let saltBytes = 16
    private static let sealedLimitBytes = 1 << 20

    // MARK: Putting in

    /// Throws unless it is long enough for a new backup.
    public static func check(_ passphrase: [UInt8]) throws(Problem) {
        guard (passphraseMinimumBytes...passphraseLimitBytes).contains(passphrase.count) else {
            throw Problem(
                "passphrase-length", title: "The passphrase has \(passphrase.count) bytes",
                detail: "It is all that keeps whoever has the backup from every secret in it.",
                remedy: "Use \(passphraseMinimumBytes) to \(passphraseLimitBytes) bytes, better six random words.")
        }
    }

    /// Adds `files` (name and content) to the backup at `path`, which nobody else has open.
    public static func add(_ files: [String: [UInt8]], toBackup path: String, passphrase: [UInt8]) throws {
        try add(files, toBackup: path, passphrase: passphrase, cost: .usual)
    }

    static func add(_ files: [String: [UInt8]], toBackup path: String, passphrase: [UInt8], cost: Cost) throws {
        try check(passphrase)
        let manifest = try SQLiteStore.verifyBackup(at: path)
        let salt = SymmetricKey(size: .bits128).withUnsafeBytes { Array($0) }
        let plain = try JSONEncoder().encode(files.mapValues { Data($0).base64EncodedString() })
        let key = try derive(passphrase, salt, cost)
        let sealed = try AES.GCM.seal(plain, using: key, authenticating: context(cost, salt, manifest))
        let queue = try DatabaseQueue(path: path, configuration: BackupFile.configuration)
        try queue.write { db in
            try db.execute(
                sql: """
                    DROP TABLE IF EXISTS backup_keys;
                    CREATE TABLE backup_keys (format INTEGER, n INTEGER, r INTEGER, p INTEGER, salt BLOB, sealed BLOB);
                    """)
            try db.execute(
                sql: "INSERT INTO backup_keys VALUES (1, ?, ?, ?, ?, ?)",
                arguments: [cost.n, cost.r, cost.p, Data(salt), sealed.combined])
        }
        try queue.close()
        try StoreFile.sync(path)
    }

    // MARK: Taking out

    /// Whether a backup has its server's keys.
    public static func areIn(backup path: String) throws -> Bool { try read(path) != nil }

    /// The key files in a backup. Throws `backup-without-keys` or `passphrase-wrong`, and what ``SQLiteStore/verifyBackup(at:)`` does.
    public static func open(backup path: String, passphrase: [UInt8]) throws -> [String: [UInt8]] {
        let manifest = try SQLiteStore.verifyBackup(at: path)
        guard let found = try read(path) else {
            throw Problem(
                "backup-without-keys", title: "The backup \(path) has no keys that a passphrase opens",
                remedy: "Restore it without a passphrase; make the next one with --passphrase-file.")
        }
        guard (1...passphraseLimitBytes).contains(passphrase.count) else { throw wrong(path) }
        let key = try derive(passphrase, found.salt, found.cost)
        guard let box = try? AES.GCM.SealedBox(combined: found.sealed),
            let plain = try? AES.GCM.open(box, using: key, authenticating: context(found.cost, found.salt, manifest))
        else { throw wrong(path) }
        guard let texts = try? JSONDecoder().decode([String: String].self, from: plain) else { throw damaged(path) }
        return try texts.mapValues { text in
            guard let bytes = Data(base64Encoded: text) else { throw damaged(path) }
            return Array(bytes)
        }
    }

    private struct Found {
        var cost: Cost
        var salt: [UInt8]
        var sealed: Data
    }

    private static func read(_ path: String) throws -> Found? {
        let folder = try ScratchFolder(toRead: path)
        defer { folder.remove() }
        let copy = folder.path(of: "copy")
        try StoreFile.copy(path, to: copy)
        let row: Row?
        do {
            let queue = try DatabaseQueue(path: copy)
            defer { try? queue.close() }
            row = try queue.inDatabase { db in
                guard try db.tableExists("backup_keys") else { return nil }
                return try Row.fetchOne(db, sql: "SELECT format, n, r, p, salt, sealed FROM backup_keys")
            }
        } catch {
            throw SQLiteSchema.storeError(error, path: path)
        }
        guard let row else { return nil }
        guard let format = Int.fromDatabaseValue(row[0]), format == 1, let n = Int.fromDatabaseValue(row[1]),
            let r = Int.fromDatabaseValue(row[2]), let p = Int.fromDatabaseValue(row[3]), let salt = Data.fromDatabaseValue(row[4]),
            let sealed = Data.fromDatabaseValue(row[5]), (saltBytes...64).contains(salt.count), sealed.count <= sealedLimitBytes,
            Cost(n: n, r: r, p: p).isBearable
        else { throw damaged(path) }
        return Found(cost: Cost(n: n, r: r, p: p), salt: Array(salt), sealed: sealed)
    }

    private static func derive(_ passphrase: [UInt8], _ salt: [UInt8], _ cost: Cost) throws -> SymmetricKey {
        try KDF.Scrypt.deriveKey(
            from: passphrase, salt: salt, outputByteCount: 32, rounds: cost.n, blockSize: cost.r, parallelism: cost.p)
    }

    private static func context(_ cost: Cost, _ salt: [UInt8], _ manifest: BackupManifest) -> [UInt8] {
        Array("hostler backup keys 1|\(cost.n)|\(cost.r)|\(cost.p)|".utf8) + salt + Array("|\(manifest.contentDigest)".utf8)
    }

    private static func wrong(_ path: String) -> Problem {
        Problem(
            "passphrase-wrong", title: "The passphrase does not open the keys in \(path)",
            detail: "It is another one, or the keys were taken from another backup.",
            remedy: "Give the passphrase that this backup was made with; without it restore leaves out what cannot be opened.")
    }

    private static func damaged(_ path: String) -> Problem {
        Problem(
            "backup-keys-damaged", title: "The keys in the backup \(path) cannot be read",
            remedy: "Use another backup, or restore this one without a passphrase.")
    }
}

extension SQLiteStore {
    /// The keys of the secrets in a backup for which `keeps` says false.
    public static func secrets(
        inBackup path: String, unless keeps: (_ key: String, _ value: [UInt8]) -> Bool
    ) throws(StoreError) -> [String] {
        let folder = try ScratchFolder(toRead: path)
        defer { folder.remove() }
        let copy = folder.path(of: "copy")
        try StoreFile.copy(path, to: copy)
        do {
            let queue = try DatabaseQueue(path: copy, configuration: BackupFile.configuration)
            defer { try? queue.close() }
            try SQLiteSchema.migrator.migrate(queue)
            return try queue.inDatabase { db in try SecretPages.unwanted(in: db, unless: keeps).map(\.key) }
        } catch {
            throw SQLiteSchema.storeError(error, path: path)
        }
    }
}
