import Dispatch
import Foundation
import GRDB
import Model
import Testing

@testable import Store

@Suite("secrets in the SQLite store")
struct SecretTests {
    private func secret(_ number: Int, _ bytes: Int) -> (mark: String, value: [UInt8]) {
        let mark = "<secret-\(number)-\(bytes)>"
        return (mark, Array(String(repeating: mark, count: bytes / mark.utf8.count + 1).utf8.prefix(max(bytes, mark.utf8.count))))
    }

    private func erased(_ store: SQLiteStore) async throws {
        while store.isErasing { await Task.yield() }
    }

    @Test(
        "what is deleted or replaced is in no file any more, whatever its size and whatever is written around it", arguments: [1, 2] as [UInt64])
    func deletes(_ seed: UInt64) async throws {
        let fixture = try StoreFixture()
        let store = try fixture.open()
        var random = Seeded(seed: seed)
        var live: [String: String] = [:]
        var dead: [String] = []
        for number in 0..<400 {
            let key = "/secrets/\(Int.random(in: 0..<60, using: &random))"
            let (mark, value) = secret(number, [20, 90, 500, 3990, 4000, 9000].randomElement(using: &random) ?? 20)
            // Rows that are no secrets make the tables grow and shrink around them.
            let other = Mutation.put(
                key: "/rack/\(number % 40)", value: [UInt8](repeating: 7, count: Int.random(in: 0..<2500, using: &random)), if: .none)
            if let old = live[key], Bool.random(using: &random) {
                dead.append(old)
                live[key] = nil
                try await store.commit([.delete(key: key, if: .exists), other])
            } else {
                if let old = live[key] { dead.append(old) }
                live[key] = mark
                try await store.commit([.put(key: key, value: value, if: .none), other])
            }
            if number % 80 == 79 {
                try await store.compact(before: try await store.currentRevision())
                try await erased(store)
                #expect(try fixture.found(dead) == [])
                #expect(try fixture.found(live.values).count == live.count)
            }
        }
        #expect(dead.count > 100)
        try await store.close()
        #expect(try fixture.found(dead) == [])
    }

    @Test("a read of before a deletion delays it, and when it ends the old bytes go, without another write")
    func longRead() async throws {
        let fixture = try StoreFixture()
        let store = try fixture.open()
        let (mark, value) = secret(1, 5000)
        try await store.commit([.put(key: "/secrets/a", value: value, if: .none)])
        let hasBegun = AsyncStream.makeStream(of: Void.self)
        let mayEnd = DispatchSemaphore(value: 0)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await store.read { db in
                    // The snapshot begins with the first statement.
                    _ = try Int.fetchOne(db, sql: "SELECT count(*) FROM secrets")
                    hasBegun.continuation.finish()
                    mayEnd.wait()
                    #expect(try SecretPages.read(id: 1 << SQLiteSchema.positionBits, db) == value)
                }
            }
            for await _ in hasBegun.stream {}
            try await store.commit([.delete(key: "/secrets/a", if: .exists)])
            #expect(try fixture.found([mark]) == [mark])
            #expect(store.isErasing)
            // Writers are not held up meanwhile.
            for number in 0..<20 { try await store.put("/a/\(number)", "x") }
            mayEnd.signal()
            try await group.waitForAll()
        }
        try await erased(store)
        #expect(try fixture.found([mark]) == [])
        try await store.close()
    }

    @Test("what a kill left in the log is gone when the store is opened again")
    func afterKill() async throws {
        let fixture = try StoreFixture()
        let store = try fixture.open()
        let (mark, value) = secret(1, 300)
        try await store.commit([.put(key: "/secrets/a", value: value, if: .none)])
        // As the files stand at a kill between the deletion and the emptying of the log.
        let copy = fixture.directory + "/killed/state"
        try FileManager.default.createDirectory(atPath: copy, withIntermediateDirectories: true)
        for suffix in ["", "-wal"] { try FileManager.default.copyItem(atPath: fixture.path + suffix, toPath: copy + "/hostler.db" + suffix) }
        try await store.commit([.delete(key: "/secrets/a", if: .exists)])
        try await store.close()
        let queue = try DatabaseQueue(path: copy + "/hostler.db")
        try await queue.write { db in
            try db.execute(sql: "PRAGMA secure_delete = ON")
            try SecretPages.remove(id: 1 << SQLiteSchema.positionBits, db)
            try db.execute(sql: "DELETE FROM entries")
        }
        let files = ["", "-wal"].map { copy + "/hostler.db" + $0 }
        #expect(try fixture.found([mark], also: files) == [mark])
        let again = try SQLiteStore(path: copy + "/hostler.db", logger: quiet)
        #expect(try fixture.found([mark], also: files) == [])
        try await again.close()
        try queue.close()
    }

    @Test("a store of the first schema is sealed at its opening: values stay, history and readable remains go; a kill in between costs nothing")
    func firstSchema() async throws {
        let boot = Array(String(repeating: "B0ot", count: 8).utf8)
        let old = (0..<40).map { secret($0, 700) }
        var steps: [(key: String, value: [UInt8]?)] = [("/secrets/boot", boot), ("/rack/a", Array("rack".utf8))]
        for (number, seed) in old.enumerated() {
            steps.append(("/secrets/seeds/op-\(number)", seed.value))
            if number < 30 { steps.append(("/secrets/seeds/op-\(number)", nil)) }
        }
        steps.append(("/rack/a", Array("changed".utf8)))
        // Killed nowhere; after the schema was changed; after the key was made; after the secrets were sealed.
        for stage in 0..<4 {
            let fixture = try StoreFixture()
            try FirstSchema.write(steps, to: fixture.path)
            #expect(try fixture.found(old.map(\.mark)).count == 40)
            if stage >= 1 { try await fixture.open().close() }
            if stage >= 2 { try fixture.key.make(SealingKey.random()) }
            if stage >= 3 {
                let base = try fixture.open()
                let key = try #require(try fixture.key.sealingKey())
                for stored in try await base.list(prefix: "/secrets/", after: nil, limit: 20).values {
                    let sealed = try SealedValue.seal(stored.value, at: stored.key, with: key)
                    try await base.commit([.put(key: stored.key, value: sealed, if: .none)])
                }
                try await base.close()
            }
            let store = try await fixture.openSealed()
            #expect(try await store.get("/secrets/boot")?.value == boot)
            #expect(try await store.list(prefix: "/secrets/seeds/", after: nil, limit: 99).values.map(\.value) == old[30...].map(\.value))
            let batches = try await store.watch(prefix: "/", after: .zero)
            var seen: [String] = []
            for try await batch in batches {
                seen += batch.events.map(\.key)
                if batch.revision.rawValue == Int64(steps.count) { break }
            }
            #expect(seen == ["/rack/a", "/rack/a"])
            try await store.close()
            #expect(try fixture.found(old.map(\.mark) + [String(decoding: boot, as: UTF8.self)]) == [], "stage \(stage)")
            #expect(try await !fixture.openSealed().list(prefix: "/secrets/", after: nil, limit: 99).values.isEmpty)
        }
    }

    @Test("a secret is sealed to its key: put in another's place it does not open")
    func moved() async throws {
        let fixture = try StoreFixture()
        let base = try fixture.open()
        let store = try await SealedStore.open(base, keyFile: fixture.key, logger: quiet)
        try await store.put("/secrets/a", "of a")
        try await store.put("/secrets/b", "of b")
        #expect(try fixture.mode(fixture.key.path) == 0o600)
        let sealed = try #require(try await base.get("/secrets/a")).value
        #expect(sealed.count == 4 + SealedValue.overheadBytes)
        try await base.commit([.put(key: "/secrets/b", value: sealed, if: .none)])
        #expect(try await store.text("/secrets/a") == "of a")
        await #expect(throws: StoreError.sealed("/secrets/b")) { _ = try await store.get("/secrets/b") }
        // A list has the others.
        #expect(try await store.list(prefix: "/", after: nil, limit: 9).values.map(\.key) == ["/secrets/a"])
        #expect(store.damaged?.all.map(\.key) == ["/secrets/b"])
        for index in sealed.indices {
            var changed = sealed
            changed[index] ^= 1
            try await base.commit([.put(key: "/secrets/a", value: changed, if: .none)])
            await #expect(throws: StoreError.sealed("/secrets/a"), "byte \(index)") { _ = try await store.get("/secrets/a") }
        }
        try await store.close()
    }

    @Test("without the key file, with another, or with one that others can read, the store does not open, and says what to do")
    func keyFiles() async throws {
        let fixture = try StoreFixture()
        let store = try await fixture.openSealed()
        try await store.put("/secrets/a", "x")
        try await store.close()
        let bytes = try #require(try fixture.key.read())
        func code() async throws -> String? {
            do {
                try await fixture.openSealed().close()
                return nil
            } catch let problem as Problem {
                #expect(problem.remedy != nil)
                return problem.code
            }
        }
        #expect(try await code() == nil)
        try FileManager.default.removeItem(atPath: fixture.key.path)
        #expect(try await code() == "seal-key-missing")
        #expect(!FileManager.default.fileExists(atPath: fixture.key.path), "no new key is made over sealed secrets")
        try fixture.key.make(SealingKey.random())
        #expect(try await code() == "seal-key-wrong")
        for content in [Data(), Data(bytes.dropLast()), Data(bytes + [0])] {
            try content.write(to: URL(fileURLWithPath: fixture.key.path))
            #expect(try await code() == "key-file-invalid")
        }
        try Data(bytes).write(to: URL(fileURLWithPath: fixture.key.path))
        chmod(fixture.key.path, 0o640)
        #expect(try await code() == "key-file-open")
        chmod(fixture.key.path, 0o600)
        #expect(try await code() == nil)
        // What is readable in a record that is sealed was put there by somebody else.
        let base = try fixture.open()
        try await base.put("/secrets/b", "forged")
        try await base.close()
        let forged = try await fixture.openSealed()
        await #expect(throws: StoreError.sealed("/secrets/b")) { _ = try await forged.get("/secrets/b") }
        #expect(forged.damaged?.all.map(\.key) == ["/secrets/b"])
        try await forged.close()
    }
}
