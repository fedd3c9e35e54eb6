import Foundation
import GRDB
import Model
import Testing

@testable import Store

@Suite("secrets in backups")
struct SecretBackupTests {
    private let passphrase = Array("correct horse battery".utf8)
    /// As the real one, and quick.
    private let cost = BackupKeys.Cost(n: 1 << 10, r: 8, p: 1)

    /// A store with secrets, some of them deleted, and its backup.
    private func backup(_ fixture: StoreFixture) async throws -> (path: String, texts: [String]) {
        let base = try fixture.open()
        let store = try await SealedStore.open(base, keyFile: fixture.key, logger: quiet)
        var texts: [String] = []
        for number in 0..<20 {
            texts.append("<user-data-\(number)>")
            try await store.put("/secrets/user-data/m-\(number)", texts[number])
            if number % 2 == 0 { try await store.commit([.delete(key: "/secrets/user-data/m-\(number)", if: .exists)]) }
        }
        try await store.put("/rack/machines/m-1", "a machine that was deleted")
        try await store.commit([.delete(key: "/rack/machines/m-1", if: .exists)])
        try await store.compact(before: try await store.currentRevision())
        let path = fixture.directory + "/copy.db"
        try await base.backup(to: path, atMilliseconds: 5)
        try await store.close()
        return (path, texts)
    }

    private func opens(_ fixture: StoreFixture) throws -> (String, [UInt8]) -> Bool {
        let key = try fixture.key.sealingKey()
        return { name, value in SealedStore.opens(value, at: name, with: key) }
    }

    @Test("a backup has no readable secret, no key, and nothing that was deleted")
    func content() async throws {
        let fixture = try StoreFixture()
        let (path, texts) = try await backup(fixture)
        let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        for text in texts + ["a machine that was deleted"] { #expect(bytes.range(of: Data(text.utf8)) == nil, "\(text)") }
        let key = try #require(try fixture.key.read())
        #expect(bytes.range(of: Data(key)) == nil)
        #expect(try SQLiteStore.secrets(inBackup: path) { _, _ in false }.count == 10)
    }

    @Test("where the key is, all of it comes back; where it is not, the secrets are left out and named, and the rest works")
    func restores() async throws {
        let fixture = try StoreFixture()
        let (path, _) = try await backup(fixture)
        #expect(try SQLiteStore.secrets(inBackup: path, unless: opens(fixture)) == [])
        let same = try SQLiteStore.restore(from: path, to: fixture.path, atMilliseconds: 6, keeps: opens(fixture))
        #expect(same.leftOut == [] && same.keyCount == 10)
        let store = try await fixture.openSealed()
        #expect(try await store.text("/secrets/user-data/m-1") == "<user-data-1>")
        try await store.close()

        let other = try StoreFixture()
        let named = try SQLiteStore.secrets(inBackup: path, unless: opens(other))
        let report = try SQLiteStore.restore(from: path, to: other.path, atMilliseconds: 6, keeps: opens(other))
        #expect(report.leftOut == named && named.count == 10 && report.keyCount == 0)
        let restored = try await other.openSealed()
        #expect(try await restored.list(prefix: "/secrets/", after: nil, limit: 9).values.isEmpty)
        try await restored.put("/secrets/user-data/m-1", "given again")
        #expect(try await restored.text("/secrets/user-data/m-1") == "given again")
        try await restored.close()
    }

    @Test("a backup of the first schema restores, and its secrets are sealed when the store opens")
    func firstSchema() async throws {
        let fixture = try StoreFixture()
        let texts = ["<boot-secret-of-32-bytes-or-so-->", "<seed>"]
        let source = fixture.directory + "/old/hostler.db"
        try FirstSchema.write(
            [("/secrets/boot", Array(texts[0].utf8)), ("/secrets/seeds/op-1", Array(texts[1].utf8)), ("/secrets/seeds/op-1", nil)], to: source)
        let path = fixture.directory + "/copy.db"
        let queue = try DatabaseQueue(path: source)
        _ = try await queue.read { db in try BackupFile.writeAsFirstSchema(db, to: path) }
        #expect(try SQLiteStore.verifyBackup(at: path).schemaVersion == 1)
        let report = try SQLiteStore.restore(from: path, to: fixture.path, atMilliseconds: 6, keeps: opens(fixture))
        #expect(report.leftOut == [] && report.keyCount == 1)
        let store = try await fixture.openSealed()
        #expect(try await store.text("/secrets/boot") == texts[0])
        try await store.close()
        #expect(try fixture.found(texts) == [])
    }

    @Test("the keys in a backup open with its passphrase, bytes as they were")
    func passphrases() async throws {
        let fixture = try StoreFixture()
        let (path, _) = try await backup(fixture)
        let files = ["seal.key": try #require(try fixture.key.read()), "vault.key": Array("# text\nk1 ab\n".utf8)]
        #expect(try !BackupKeys.areIn(backup: path))
        #expect(throws: Problem.self) { try BackupKeys.open(backup: path, passphrase: passphrase) }
        for round in 0..<2 {
            try BackupKeys.add(files, toBackup: path, passphrase: passphrase + [UInt8(round)], cost: cost)
            #expect(try BackupKeys.areIn(backup: path))
            #expect(try BackupKeys.open(backup: path, passphrase: passphrase + [UInt8(round)]) == files)
        }
        #expect(try code { _ = try BackupKeys.open(backup: path, passphrase: passphrase + [0]) } == "passphrase-wrong")
        #expect(try code { _ = try BackupKeys.open(backup: path, passphrase: []) } == "passphrase-wrong")
        #expect(try code { try BackupKeys.add(files, toBackup: path, passphrase: Array("short".utf8), cost: cost) } == "passphrase-length")
        let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        for file in files.values { #expect(bytes.range(of: Data(file)) == nil) }
        // They are no part of the state that is restored.
        try SQLiteStore.restore(from: path, to: fixture.directory + "/new/state.db", atMilliseconds: 7)
        let restored = try DatabaseQueue(path: fixture.directory + "/new/state.db")
        #expect(try await restored.read { try !$0.tableExists("backup_keys") })
    }

    @Test("the usual cost of a passphrase is what the decision says, and a backup works at it")
    func usualCost() async throws {
        #expect(BackupKeys.Cost.usual == BackupKeys.Cost(n: 262_144, r: 8, p: 1) && BackupKeys.Cost.usual.isBearable)
        let fixture = try StoreFixture()
        let (path, _) = try await backup(fixture)
        try BackupKeys.add(["seal.key": [1]], toBackup: path, passphrase: passphrase)
        #expect(try BackupKeys.open(backup: path, passphrase: passphrase) == ["seal.key": [1]])
    }

    @Test("keys that were changed, cut, or taken from another backup do not open, and no backup makes a restore work for hours")
    func damaged() async throws {
        let fixture = try StoreFixture()
        let (path, _) = try await backup(fixture)
        let files = ["seal.key": [UInt8](repeating: 3, count: 32)]
        try BackupKeys.add(files, toBackup: path, passphrase: passphrase, cost: cost)
        let whole = try Data(contentsOf: URL(fileURLWithPath: path))
        func after(_ sql: String) throws -> String? {
            let copy = fixture.directory + "/changed.db"
            try whole.write(to: URL(fileURLWithPath: copy))
            let queue = try DatabaseQueue(path: copy)
            try queue.write { db in try db.execute(sql: sql) }
            try queue.close()
            return try code { _ = try BackupKeys.open(backup: copy, passphrase: passphrase) }
        }
        #expect(try after("UPDATE backup_keys SET sealed = substr(sealed, 1, 20)") == "passphrase-wrong")
        #expect(try after("UPDATE backup_keys SET sealed = x''") == "passphrase-wrong")
        #expect(try after("UPDATE backup_keys SET sealed = 'text'") == "passphrase-wrong")
        #expect(try after("UPDATE backup_keys SET sealed = NULL") == "backup-keys-damaged")
        #expect(try after("UPDATE backup_keys SET salt = zeroblob(16)") == "passphrase-wrong")
        #expect(try after("UPDATE backup_keys SET p = 2") == "passphrase-wrong")
        for cost in ["n = 1 << 40", "n = 3000", "n = -2", "n = NULL", "n = 'x'", "r = 1000000", "r = 0", "p = 5000", "format = 2", "salt = x''"] {
            #expect(try after("UPDATE backup_keys SET \(cost)") == "backup-keys-damaged", "\(cost)")
        }
        #expect(try after("DELETE FROM backup_keys") == "backup-without-keys")

        let second = try StoreFixture()
        let (other, _) = try await backup(second)
        let queue = try DatabaseQueue(path: other)
        try await queue.writeWithoutTransaction { db in
            try db.execute(sql: "ATTACH ? AS other", arguments: [path])
            try db.execute(sql: "CREATE TABLE backup_keys AS SELECT * FROM other.backup_keys")
        }
        try queue.close()
        #expect(try code { _ = try BackupKeys.open(backup: other, passphrase: passphrase) } == "passphrase-wrong")

        for length in [0, 100, whole.count / 2, whole.count - 4096] {
            let cut = fixture.directory + "/cut.db"
            try whole.prefix(length).write(to: URL(fileURLWithPath: cut))
            #expect(throws: StoreError.self, "\(length) bytes") { try BackupKeys.open(backup: cut, passphrase: passphrase) }
        }
        let foreign = fixture.directory + "/foreign.db"
        try Data("not a backup".utf8).write(to: URL(fileURLWithPath: foreign))
        #expect(throws: StoreError.self) { try BackupKeys.open(backup: foreign, passphrase: passphrase) }
    }

    @Test("a key file that is replaced is kept, one that is the same is left alone")
    func keyFiles() throws {
        let fixture = try StoreFixture()
        let file = KeyFile(fixture.directory + "/x.key")
        #expect(try file.read() == nil)
        #expect(try file.replace(with: [1], keepingAs: ".old") == nil)
        #expect(try file.replace(with: [1], keepingAs: ".old") == nil)
        #expect(try file.replace(with: [2], keepingAs: ".old") == file.path + ".old")
        #expect(try file.read() == [2])
        #expect(try KeyFile(file.path + ".old").read() == [1])
        #expect(throws: Problem.self) { try file.make([3]) }
        #expect(try file.read() == [2])
        #expect(try FileManager.default.contentsOfDirectory(atPath: fixture.directory).sorted() == ["x.key", "x.key.old"])
    }

    private func code(_ body: () throws -> Void) throws -> String? {
        do {
            try body()
            return nil
        } catch let problem as Problem {
            return problem.code
        }
    }
}

extension BackupFile {
    /// As the versions of the first schema made one.
    static func writeAsFirstSchema(_ source: Database, to path: String) throws {
        let queue = try DatabaseQueue(path: path)
        try queue.writeWithoutTransaction { target in try source.backup(to: target, pagesPerStep: -1) }
        try queue.writeWithoutTransaction { db in
            _ = try String.fetchOne(db, sql: "PRAGMA journal_mode = DELETE")
            let meta = try SQLiteSchema.Meta(db)
            try db.execute(
                sql: """
                    CREATE TABLE backup_manifest (
                        schema_version INTEGER, revision INTEGER, epoch INTEGER, created_at_ms INTEGER, content_sha256 TEXT)
                    """)
            try db.execute(
                sql: "INSERT INTO backup_manifest VALUES (1, ?, ?, 5, ?)",
                arguments: [meta.revision.rawValue, meta.epoch, try contentDigest(db)])
        }
        try queue.close()
    }
}
