import Foundation
import GRDB
import Model
import Testing

@testable import Store

@Suite("damaged rows of the store")
struct DamageTests {
    private func edit(_ path: String, _ sql: String, _ arguments: StatementArguments = []) throws {
        let queue = try DatabaseQueue(path: path)
        try queue.write { db in try db.execute(sql: sql, arguments: arguments) }
        try queue.close()
    }

    @Test("a secret that cannot be read is set aside and named; the store opens, and the others are there")
    func secrets() async throws {
        let damages = [
            // Its bytes, its head, its pages, its place.
            "UPDATE secret_pages SET bytes = zeroblob(4000) WHERE id = (SELECT first_page FROM secrets WHERE id = ID)",
            "UPDATE secret_pages SET bytes = CAST(substr(bytes, 1, 40) || zeroblob(3960) AS BLOB) WHERE id = (SELECT first_page FROM secrets WHERE id = ID)",
            "DELETE FROM secret_pages WHERE id = (SELECT first_page FROM secrets WHERE id = ID)", "DELETE FROM secrets WHERE id = ID",
            "UPDATE secrets SET first_page = -5 WHERE id = ID", "UPDATE secrets SET byte_count = 'x' WHERE id = ID",
            "UPDATE secrets SET byte_count = 7 WHERE id = ID",
        ]
        for damage in damages {
            let fixture = try StoreFixture()
            let store = try await fixture.openSealed()
            for name in ["a", "b", "c"] { try await store.put("/secrets/x/\(name)", "secret \(name)") }
            try await store.close()
            let id = "(SELECT id FROM entries WHERE key = '/secrets/x/b')"
            try edit(fixture.path, damage.replacingOccurrences(of: "ID", with: id))

            let again = try await fixture.openSealed()
            let found = try await again.list(prefix: "/secrets/", after: nil, limit: 100).values
            #expect(found.map(\.key) == ["/secrets/x/a", "/secrets/x/c"], "\(damage)")
            #expect(again.damaged?.all.map(\.key) == ["/secrets/x/b"], "\(damage)")
            await #expect(throws: StoreError.self) { try await again.get("/secrets/x/b") }
            #expect(try await again.text("/secrets/x/a") == "secret a")
            // Replacing or deleting it takes nobody else's change with it.
            try await again.commit([.put(key: "/secrets/x/b", value: Array("new".utf8), if: .none), .put(key: "/other", value: [1], if: .none)])
            #expect(try await again.text("/secrets/x/b") == "new")
            #expect(again.damaged?.isEmpty == true)
            try await again.commit([.delete(key: "/secrets/x/b", if: .none)])
            try await again.close()
        }
    }

    @Test("a key file of another server is still told from damage")
    func otherKey() async throws {
        let fixture = try StoreFixture()
        let store = try await fixture.openSealed()
        try await store.put("/secrets/x/a", "1")
        try await store.close()
        try FileManager.default.removeItem(atPath: fixture.key.path)
        try fixture.key.make(SealingKey.random())
        await #expect(throws: Problem.self) { try await fixture.openSealed() }
    }

    @Test("rows of the wrong type trap nothing: neither a reader, nor a commit, nor a backup of them")
    func types() async throws {
        let damages = [
            "UPDATE entries SET created = 'x' WHERE key = '/k/1'", "UPDATE entries SET id = 'x' WHERE key = '/k/1'",
            "UPDATE entries SET id = 77 WHERE key = '/k/1'", "DELETE FROM versions WHERE key = '/k/1'",
            "UPDATE versions SET value = NULL WHERE key = '/k/1'", "UPDATE versions SET value = 5 WHERE key = '/k/1'",
            "UPDATE versions SET value = 'text', created = 'x' WHERE key = '/k/1'", "UPDATE versions SET key = x'ff00fe' WHERE key = '/k/1'",
        ]
        for damage in damages {
            let fixture = try StoreFixture()
            let store = try fixture.open()
            for number in 0..<3 { try await store.put("/k/\(number)", "\(number)") }
            try await store.close()
            try edit(fixture.path, damage)
            let again = try fixture.open()
            let found = try await again.list(prefix: "/k/", after: nil, limit: 10).values
            #expect(found.map(\.key) == ["/k/0", "/k/1", "/k/2"], "\(damage)")
            #expect(try await again.text("/k/2") == "2")
            _ = try? await again.get("/k/1")
            try await again.put("/k/2", "other")
            let backup = fixture.directory + "/copy.db"
            try await again.backup(to: backup, atMilliseconds: 1)
            _ = try SQLiteStore.verifyBackup(at: backup)
            if let watch = try? await again.watch(prefix: "/", after: .zero) {
                var iterator = watch.makeAsyncIterator()
                _ = try? await iterator.next()
            }
            try await again.setAside(["/k/1"], beginsNewLife: true, atMilliseconds: 9)
            #expect(try await again.get("/k/1") == nil)
            try await again.close()
            let last = try fixture.open()
            #expect(try await last.storeEpoch().epoch == 2 && last.loss == nil)
            #expect(try await last.put("/k/1", "anew").rawValue == 6)
            try await last.close()
        }
    }

    @Test("a backup that somebody has put rubbish into is refused, not trapped on")
    func hostileBackup() async throws {
        let fixture = try StoreFixture()
        let store = try fixture.open()
        try await store.put("/a", "1")
        let good = fixture.directory + "/good.db"
        try await store.backup(to: good, atMilliseconds: 1)
        try await store.close()
        for damage in [
            "UPDATE backup_manifest SET revision = 'x'", "UPDATE backup_manifest SET schema_version = x'00'",
            "UPDATE backup_manifest SET content_sha256 = 5",
            "UPDATE meta SET revision = 9223372036854775807", "UPDATE meta SET revision = -1", "UPDATE meta SET epoch = 9223372036854775807",
            "UPDATE meta SET revision = 'x'", "UPDATE meta SET compacted = 99",
        ] {
            let bad = fixture.directory + "/bad.db"
            try? FileManager.default.removeItem(atPath: bad)
            try FileManager.default.copyItem(atPath: good, toPath: bad)
            try edit(bad, damage)
            #expect(throws: StoreError.self, "\(damage)") {
                try SQLiteStore.restore(from: bad, to: fixture.directory + "/new/state.db", atMilliseconds: 2)
            }
        }
    }
}
