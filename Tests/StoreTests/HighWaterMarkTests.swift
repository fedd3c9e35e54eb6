import Foundation
import Testing

@testable import Store

@Suite("acknowledged revisions that are lost")
struct HighWaterMarkTests {
    private static let marked = ["", "-wal", ".mark"]

    /// A store that was written to and not closed, as a kill leaves it: its files in another place.
    private func killed(_ fixture: StoreFixture, commits: Int, before: (SQLiteStore) async throws -> Void = { _ in }) async throws -> String {
        var options = SQLiteStore.Options()
        options.checkpointPages = 1_000_000
        let store = try fixture.open(options)
        try await before(store)
        for number in 1...commits { try await store.put("/k/\(number % 7)", "value \(number)") }
        let path = fixture.directory + "/killed.db"
        for suffix in Self.marked { try FileManager.default.copyItem(atPath: fixture.path + suffix, toPath: path + suffix) }
        try await store.close()
        return path
    }

    /// Turns some bytes in the middle of the log around.
    private func damageLog(_ path: String) throws {
        var log = try Data(contentsOf: URL(fileURLWithPath: path + "-wal"))
        let middle = log.count / 2
        for index in middle..<middle + 64 { log[index] ^= 0xff }
        try log.write(to: URL(fileURLWithPath: path + "-wal"))
    }

    @Test("a damaged log loses acknowledged revisions: it is noticed, they are not used again, and nobody goes on from them")
    func damagedLog() async throws {
        let fixture = try StoreFixture()
        let path = try await killed(fixture, commits: 300)
        try damageLog(path)
        let before = try SQLiteStore.inspect(path: path) { _ in }
        #expect(before.loss != nil && before.mark == Revision(rawValue: 300) && before.faults.isEmpty)
        let store = try SQLiteStore(path: path, logger: quiet)
        let loss = try #require(store.loss)
        #expect(loss.last == Revision(rawValue: 300) && loss.first.rawValue > 1 && loss.first.rawValue < 300)
        #expect(loss == before.loss && loss.count == 300 - loss.first.rawValue + 1)
        // What was under way is settled as after a restore.
        let life = try await store.storeEpoch()
        #expect(life.epoch == 2 && life.restoredAtMilliseconds != nil)
        await #expect(throws: StoreError.self) { _ = try await store.watch(prefix: "/", after: Revision(rawValue: 300)) }
        await #expect(throws: StoreError.self) { try await store.commit([.put(key: "/k/1", value: [], if: .revision(Revision(rawValue: 300)))]) }
        #expect(try await store.put("/k/new", "1") > Revision(rawValue: 300))
        try await store.close()
        let again = try SQLiteStore(path: path, logger: quiet)
        #expect(again.loss == nil)
        #expect(try await again.storeEpoch().epoch == 2)
        try await again.close()
        // Without the mark nothing tells: so it was before there was one.
        let blind = try StoreFixture()
        let unmarked = try await killed(blind, commits: 300)
        try damageLog(unmarked)
        try FileManager.default.removeItem(atPath: unmarked + ".mark")
        let unaware = try SQLiteStore(path: unmarked, logger: quiet)
        #expect(unaware.loss == nil)
        #expect(try await unaware.put("/k/new", "1") <= Revision(rawValue: 300))
        try await unaware.close()
    }

    @Test("a database that was put back from an older copy, or is gone, is noticed too")
    func olderCopy() async throws {
        let fixture = try StoreFixture()
        let first = try fixture.open()
        for number in 1...5 { try await first.put("/a", "\(number)") }
        try await first.close()
        let old = try Data(contentsOf: URL(fileURLWithPath: fixture.path))
        let second = try fixture.open()
        for number in 6...9 { try await second.put("/a", "\(number)") }
        try await second.close()
        try old.write(to: URL(fileURLWithPath: fixture.path))
        let third = try fixture.open()
        #expect(third.loss == RevisionLoss(first: Revision(rawValue: 6), last: Revision(rawValue: 9)))
        #expect(try await third.put("/a", "x").rawValue == 11)
        try await third.close()
        try FileManager.default.removeItem(atPath: fixture.path)
        let fourth = try fixture.open()
        #expect(fourth.loss == RevisionLoss(first: Revision(rawValue: 1), last: Revision(rawValue: 11)))
        #expect(try await fourth.put("/a", "x").rawValue == 13)
        try await fourth.close()
    }

    @Test("a kill between the commit and the mark is no loss, and a store of before the mark opens as ever")
    func between() async throws {
        let fixture = try StoreFixture()
        let path = try await killed(fixture, commits: 20) { store in
            try await store.put("/early", "1")
            try FileManager.default.copyItem(atPath: fixture.path + ".mark", toPath: fixture.directory + "/early.mark")
        }
        try FileManager.default.removeItem(atPath: path + ".mark")
        try FileManager.default.copyItem(atPath: fixture.directory + "/early.mark", toPath: path + ".mark")
        let store = try SQLiteStore(path: path, logger: quiet)
        #expect(store.loss == nil)
        #expect(try await store.put("/x", "1").rawValue == 22)
        try await store.close()
        try FileManager.default.removeItem(atPath: path + ".mark")
        let older = try SQLiteStore(path: path, logger: quiet)
        #expect(older.loss == nil)
        #expect(try await older.put("/x", "1").rawValue == 23)
        #expect(HighWaterMark.read(storePath: path) == .value(.init(epoch: 1, revision: Revision(rawValue: 23))))
        try await older.close()
    }

    @Test("a torn mark leaves the one before; one that cannot be read at all is said, and costs a jump, not the start")
    func torn() async throws {
        let fixture = try StoreFixture()
        try FileManager.default.createDirectory(atPath: fixture.directory + "/state", withIntermediateDirectories: true)
        let mark = try HighWaterMark(storePath: fixture.path, value: .init(epoch: 1, revision: .zero))
        let file = fixture.path + ".mark"
        #expect(try fixture.mode(file) == 0o600)
        for revision in [2, 4, 6, 8] { try mark.set(.init(epoch: 1, revision: Revision(rawValue: Int64(revision)))) }
        let whole = try Data(contentsOf: URL(fileURLWithPath: file))
        #expect(whole.count == 8192)
        // One byte at a time, in both places: never more than the truth, and never less than the one before it.
        for index in 0..<48 {
            for place in [0, 4096] {
                var torn = whole
                torn[place + index] ^= 0x40
                try torn.write(to: URL(fileURLWithPath: file))
                guard case .value(let value) = HighWaterMark.read(storePath: fixture.path) else {
                    Issue.record("nothing at byte \(place + index)")
                    continue
                }
                #expect([6, 8].contains(value.revision.rawValue))
            }
        }
        try whole.write(to: URL(fileURLWithPath: file))
        let store = try fixture.open()
        #expect(store.loss?.last == Revision(rawValue: 8))
        let newest = try await store.put("/a", "1")
        try await store.close()
        for rubbish in [Data(), Data(count: 8192), Data("HSTLMARK".utf8), whole.prefix(20)] {
            try rubbish.write(to: URL(fileURLWithPath: file))
            #expect(HighWaterMark.read(storePath: fixture.path) == .damaged)
            #expect(try SQLiteStore.inspect(path: fixture.path) { _ in }.isMarkDamaged)
            let again = try fixture.open()
            #expect(again.loss == nil)
            #expect(try await again.put("/a", "2").rawValue > newest.rawValue + 1_000_000)
            try await again.close()
        }
    }

    @Test("a restore goes beyond the mark where the replaced database cannot say how far it was")
    func restore() async throws {
        let fixture = try StoreFixture()
        let store = try fixture.open()
        let backup = fixture.directory + "/copy.db"
        try await store.put("/a", "1")
        try await store.backup(to: backup, atMilliseconds: 5)
        try await store.close()
        try Data("rubbish".utf8).write(to: URL(fileURLWithPath: fixture.path))
        let mark = try HighWaterMark(storePath: fixture.path, value: .init(epoch: 1, revision: Revision(rawValue: 5_000_000)))
        _ = mark
        let report = try SQLiteStore.restore(from: backup, to: fixture.path, atMilliseconds: 6)
        #expect(report.revision.rawValue > 5_000_000)
        let restored = try fixture.open()
        #expect(restored.loss == nil)
        try await restored.close()
    }

    @Test("a loss is kept until it is told, however often the store is opened before; a later one is added to it")
    func untold() async throws {
        let fixture = try StoreFixture()
        func lose(_ commits: Int) async throws {
            let before = try fixture.open()
            try await before.put("/a", "kept")
            try await before.close()
            let old = try Data(contentsOf: URL(fileURLWithPath: fixture.path))
            let store = try fixture.open()
            for number in 0..<commits { try await store.put("/a", "\(number)") }
            try await store.close()
            try old.write(to: URL(fileURLWithPath: fixture.path))
        }
        try await lose(3)
        for _ in 0..<2 { try await fixture.open().close() }
        let store = try fixture.open()
        #expect(store.loss == nil)
        #expect(try await store.untoldLoss() == RevisionLoss(first: Revision(rawValue: 2), last: Revision(rawValue: 4)))
        let kept = try #require(try await store.get(RevisionLoss.key))
        #expect(kept.modifiedRevision == Revision(rawValue: 5) && kept.createdRevision == kept.modifiedRevision)
        try await store.close()
        try await lose(2)
        let second = try fixture.open()
        #expect(try await second.untoldLoss() == RevisionLoss(first: Revision(rawValue: 2), last: Revision(rawValue: 8)))
        try await second.commit([.delete(key: RevisionLoss.key, if: .none)])
        try await second.close()
        let third = try fixture.open()
        #expect(try await third.untoldLoss() == nil)
        try await third.close()
        for rubbish in ["", "1", "1,", "2,1", "0,1", "a,b", "1,2,3", "1,9223372036854775807"] {
            #expect(throws: StoreError.self, "\(rubbish)") { _ = try RevisionLoss(Array(rubbish.utf8)) }
        }
    }

    @Test("a mark that cannot be made is no reason not to open the store")
    func unwritable() async throws {
        let fixture = try StoreFixture()
        let first = try fixture.open()
        try await first.put("/a", "1")
        try await first.close()
        try FileManager.default.removeItem(atPath: fixture.path + ".mark")
        // In the place of the file that it is made in.
        try FileManager.default.createDirectory(atPath: fixture.path + ".mark.new/x", withIntermediateDirectories: true)
        let store = try fixture.open()
        #expect(try await store.put("/a", "2").rawValue == 2)
        try await store.close()
        #expect(HighWaterMark.read(storePath: fixture.path) == .nothing)
    }
}
