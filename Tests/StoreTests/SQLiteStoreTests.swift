import Foundation
import GRDB
import Logging
import Store
import Testing

@Suite("the SQLite store")
struct SQLiteStoreTests {
    @Test("what was written is there after it is opened again, history too")
    func reopens() async throws {
        let fixture = try StoreFixture()
        let first = try fixture.open()
        for number in 1...20 { try await first.put("/k/\(number % 4)", "\(number)") }
        try await first.commit([.delete(key: "/k/3", if: .exists)])
        try await first.close()
        #expect(try fixture.names() == ["hostler.db", "hostler.db.lock"], "a closed store is one file")

        let second = try fixture.open()
        #expect(try await second.currentRevision().rawValue == 21)
        #expect(try await second.text("/k/0") == "20")
        var events = try await second.watch(prefix: "/k/", after: .zero).makeAsyncIterator()
        for number in 1...21 { #expect(try await events.next()?.revision.rawValue == Int64(number)) }
        #expect(try await second.put("/k/9", "on").rawValue == 22)
        #expect(try await events.next()?.revision.rawValue == 22)
        try await second.close()
    }

    @Test("a long past is read in pages without a gap")
    func longHistory() async throws {
        let fixture = try StoreFixture()
        let first = try fixture.open()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for writer in 0..<100 {
                group.addTask { for _ in 0..<30 { try await first.put("/\(writer % 2)/\(writer)", "x") } }
            }
            try await group.waitForAll()
        }
        try await first.close()
        let second = try fixture.open()
        var expected: Int64 = 0
        for try await batch in try await second.watch(prefix: "/", after: .zero) {
            expected += 1
            #expect(batch.revision.rawValue == expected)
            if expected == 3000 { break }
        }
        var count = 0
        for try await batch in try await second.watch(prefix: "/0/", after: .zero) {
            count += batch.events.count
            if count == 1500 { break }
        }
        try await second.close()
    }

    @Test("files are private to the owner")
    func modes() async throws {
        let fixture = try StoreFixture()
        let store = try fixture.open()
        try await store.put("/a", "1")
        #expect(try fixture.mode(fixture.directory + "/state") == 0o700)
        for suffix in ["", "-wal", "-shm", ".lock"] { #expect(try fixture.mode(fixture.path + suffix) == 0o600) }
        try await store.close()
    }

    @Test("a second opening is refused and names the process; after closing it works")
    func lock() async throws {
        let fixture = try StoreFixture()
        let store = try fixture.open()
        let path = fixture.path
        #expect(throws: StoreError.inUse("\(path) is open in process \(getpid())")) { try fixture.open() }
        #expect(throws: StoreError.self) { try SQLiteStore.restore(from: path, to: path, atMilliseconds: 1) }
        try await store.close()
        try await fixture.open().close()
    }

    @Test("commits that wait when the store is closed are written, later ones are refused")
    func closing() async throws {
        let fixture = try StoreFixture()
        let store = try fixture.open()
        let acknowledged = await withTaskGroup(of: Bool.self) { group in
            for number in 0..<2000 {
                group.addTask { (try? await store.put("/c/\(number)", "x")) != nil }
            }
            group.addTask {
                try? await store.close()
                return false
            }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        let again = try fixture.open()
        #expect(try await again.list(prefix: "/c/", after: nil, limit: 5000).values.count == acknowledged)
        try await again.close()
    }

    @Test("one conflict in a group fails alone")
    func conflictsInGroups() async throws {
        let fixture = try StoreFixture()
        let store = try fixture.open()
        let outcomes = await withTaskGroup(of: (Int, Bool).self) { group in
            for number in 0..<400 {
                group.addTask {
                    let condition: Precondition = number % 3 == 0 ? .exists : .absent
                    let done = try? await store.commit([.put(key: "/g/\(number)", value: [1], if: condition)])
                    return (number, done != nil)
                }
            }
            return await group.reduce(into: [Int: Bool]()) { $0[$1.0] = $1.1 }
        }
        for (number, applied) in outcomes { #expect(applied == (number % 3 != 0)) }
        #expect(try await store.currentRevision().rawValue == Int64(outcomes.values.count { $0 }))
        try await store.close()
    }

    @Test("compaction frees what is superseded and keeps the current values")
    func compaction() async throws {
        let fixture = try StoreFixture()
        let store = try fixture.open()
        let large = [UInt8](repeating: 7, count: 20_000)
        for number in 0..<300 { try await store.commit([.put(key: "/k/\(number % 10)", value: large, if: .none)]) }
        try await store.commit([.delete(key: "/k/0", if: .none)])
        try await store.compact(before: try await store.currentRevision())
        #expect(try await store.list(prefix: "/", after: nil, limit: 100).values.count == 9)
        try await store.close()
        let queue = try DatabaseQueue(path: fixture.path)
        #expect(try await queue.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM versions") } == 9)
        try queue.close()
    }

    @Test("a full disk fails the commit as a whole, and work goes on when there is room")
    func sizeLimit() async throws {
        let fixture = try StoreFixture()
        var options = SQLiteStore.Options()
        options.sizeLimitBytes = 1 << 20
        let store = try fixture.open(options)
        let chunk = [UInt8](repeating: 1, count: 50_000)
        var written = 0
        var failure: StoreError?
        while failure == nil {
            do {
                try await store.commit([
                    .put(key: "/big", value: chunk, if: .none),
                    .put(key: "/count", value: [UInt8(written + 1)], if: .none),
                ])
                written += 1
            } catch {
                failure = error
            }
        }
        guard case .diskFull? = failure else { throw failure ?? .closed }
        #expect(try await store.currentRevision().rawValue == Int64(written))
        #expect(try await store.get("/count")?.value == [UInt8(written)])
        #expect(try await store.get("/big")?.modifiedRevision.rawValue == Int64(written))
        // A small commit beside a large one that does not fit still succeeds.
        async let large: Bool = (try? store.commit([.put(key: "/big", value: chunk + chunk, if: .none)])) != nil
        async let small: Bool = (try? store.commit([.put(key: "/small", value: [1], if: .none)])) != nil
        #expect(await (large, small) == (false, true))
        try await store.compact(before: Revision(rawValue: .max))
        #expect(try await store.put("/again", "1").rawValue == Int64(written + 2))
        #expect(try await store.commit([.put(key: "/big", value: chunk, if: .none)]).rawValue == Int64(written + 3))
        try await store.close()
    }

    @Test("a file that is damaged, foreign or too new is refused and left alone")
    func badFiles() async throws {
        let fixture = try StoreFixture()
        try await fixture.open().close()
        let good = try Data(contentsOf: URL(fileURLWithPath: fixture.path))

        var damaged = good
        for index in 4096 + 8..<min(good.count, 4096 * 4) { damaged[index] = 0xa5 }
        try damaged.write(to: URL(fileURLWithPath: fixture.path))
        #expect(performing: { try fixture.open() }, throws: { if case StoreError.corrupt = $0 { true } else { false } })

        let text = Data("this is no database, but it is long enough to be read as a header of one\n".utf8)
        try (text + text).write(to: URL(fileURLWithPath: fixture.path))
        #expect(performing: { try fixture.open() }, throws: { if case StoreError.corrupt = $0 { true } else { false } })
        #expect(try Data(contentsOf: URL(fileURLWithPath: fixture.path)) == text + text)

        try FileManager.default.removeItem(atPath: fixture.path)
        let foreign = try DatabaseQueue(path: fixture.path)
        try await foreign.write { try $0.execute(sql: "CREATE TABLE people (name TEXT)") }
        try foreign.close()
        #expect(performing: { try fixture.open() }, throws: { if case StoreError.foreign = $0 { true } else { false } })

        try good.write(to: URL(fileURLWithPath: fixture.path))
        let newer = try DatabaseQueue(path: fixture.path)
        try await newer.write { try $0.execute(sql: "PRAGMA user_version = 99") }
        try newer.close()
        #expect(throws: StoreError.schemaTooNew(found: 99, supported: 2)) { try fixture.open() }
    }

    @Test("every error says what happened and what to do, under a code of its own")
    func errors() {
        let errors: [StoreError] = [
            .conflict(key: "/a", current: nil), .compacted(oldest: .zero), .watcherTooSlow, .invalidKey("x"),
            .valueTooLarge(key: "/a", bytes: 2, limit: 1), .invalidTransaction("x"), .diskFull("x"), .corrupt("x"),
            .foreign("x"), .schemaTooNew(found: 2, supported: 2), .inUse("x"), .unavailable("x"), .closed,
        ]
        #expect(Set(errors.map(\.code)).count == errors.count)
        for error in errors { #expect(!error.description.isEmpty && error.remedy.hasSuffix(".")) }
    }
}
