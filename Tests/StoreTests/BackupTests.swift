import Foundation
import GRDB
import Store
import Testing

@Suite("backup and restore")
struct BackupTests {
    @Test("a backup under load is one consistent state, and restores as it")
    func underLoad() async throws {
        let fixture = try StoreFixture()
        let store = try fixture.open()
        let backup = fixture.directory + "/copy.db"
        let manifest = try await withThrowingTaskGroup(of: Void.self) { group in
            for writer in 0..<16 {
                group.addTask {
                    for number in 1...60 {
                        let value = Array("\(number)".utf8)
                        try await store.commit([
                            .put(key: "/left/\(writer)", value: value, if: .none),
                            .put(key: "/right/\(writer)", value: value, if: .none),
                        ])
                    }
                }
            }
            for try await _ in try await store.watch(prefix: "/", after: Revision(rawValue: 200)) { break }
            let manifest = try await store.backup(to: backup, atMilliseconds: 1_700_000_000_000)
            try await group.waitForAll()
            return manifest
        }
        #expect(try fixture.mode(backup) == 0o600)
        #expect(!FileManager.default.fileExists(atPath: backup + ".partial"))
        #expect(manifest.revision.rawValue > 200)
        #expect(try SQLiteStore.verifyBackup(at: backup) == manifest)
        try await store.close()

        let report = try SQLiteStore.restore(from: backup, to: fixture.path, atMilliseconds: 1_800_000_000_000)
        #expect(report.manifest == manifest)
        #expect(report.epoch == 2)
        #expect(report.keyCount == 32)
        let kept = try #require(report.keptAs)
        #expect(kept == fixture.path + ".before-restore-1800000000000")
        let restored = try fixture.open()
        #expect(try await restored.storeEpoch() == StoreEpoch(epoch: 2, restoredAtMilliseconds: 1_800_000_000_000))
        let left = try await restored.list(prefix: "/left/", after: nil, limit: 100).values
        let right = try await restored.list(prefix: "/right/", after: nil, limit: 100).values
        #expect(left.map(\.value) == right.map(\.value))
        #expect(left.map(\.modifiedRevision).max() == manifest.revision)
        #expect(try fixture.mode(fixture.path) == 0o600)
        try await restored.close()
        let old = try DatabaseQueue(path: kept)
        #expect(try await old.read { try Int.fetchOne($0, sql: "SELECT revision FROM meta") } == 960)
    }

    @Test("after a restore no revision is used again, and old watchers must list again")
    func revisionsAfterRestore() async throws {
        let fixture = try StoreFixture()
        let store = try fixture.open()
        let backup = fixture.directory + "/copy.db"
        try await store.put("/a", "old")
        try await store.backup(to: backup, atMilliseconds: 5)
        let seen = try await store.put("/a", "new")
        try await store.close()
        try SQLiteStore.restore(from: backup, to: fixture.path, atMilliseconds: 6)
        let again = try SQLiteStore.restore(from: backup, to: fixture.path, atMilliseconds: 6)
        #expect(again.epoch == 3)
        #expect(again.keptAs == fixture.path + ".before-restore-6-2")
        let restored = try fixture.open()
        #expect(try await restored.text("/a") == "old")
        await #expect(throws: StoreError.compacted(oldest: again.revision)) {
            _ = try await restored.watch(prefix: "/", after: seen)
        }
        #expect(try await restored.put("/b", "1") > seen)
        await #expect(throws: StoreError.self) {
            try await restored.commit([.put(key: "/a", value: [], if: .revision(seen))])
        }
        try await restored.close()
    }

    @Test("restore works where there is no store yet, and over one that is destroyed")
    func withoutOldStore() async throws {
        let fixture = try StoreFixture()
        let store = try fixture.open()
        let backup = fixture.directory + "/copy.db"
        try await store.put("/a", "1")
        try await store.backup(to: backup, atMilliseconds: 5)
        try await store.close()
        try Data("rubbish".utf8).write(to: URL(fileURLWithPath: fixture.path))
        let over = try SQLiteStore.restore(from: backup, to: fixture.path, atMilliseconds: 6)
        #expect(try Data(contentsOf: URL(fileURLWithPath: #require(over.keptAs))) == Data("rubbish".utf8))
        let fresh = fixture.directory + "/elsewhere/deep/state.db"
        #expect(try SQLiteStore.restore(from: backup, to: fresh, atMilliseconds: 6).keptAs == nil)
        for path in [fixture.path, fresh] {
            let restored = try SQLiteStore(path: path, logger: quiet)
            #expect(try await restored.text("/a") == "1")
            try await restored.close()
        }
    }

    @Test("a bad backup is refused and nothing is replaced")
    func badBackups() async throws {
        let fixture = try StoreFixture()
        let store = try fixture.open()
        for number in 0..<200 { try await store.put("/k/\(number)", String(repeating: "v", count: 500)) }
        let good = fixture.directory + "/good.db"
        try await store.backup(to: good, atMilliseconds: 5)
        try await store.close()
        let state = try Data(contentsOf: URL(fileURLWithPath: fixture.path))
        let names = try fixture.names()
        let bytes = try Data(contentsOf: URL(fileURLWithPath: good))

        var flipped = bytes
        let victim = try #require(flipped.range(of: Data(String(repeating: "v", count: 300).utf8)))
        flipped[victim.lowerBound + 100] = UInt8(ascii: "w")
        var bad: [String: Data] = [
            "empty": Data(), "half": bytes.prefix(bytes.count / 2), "one page short": bytes.dropLast(4096),
            "one bit of a value": flipped, "text": Data("not a database".utf8),
            "a store, not a backup": state, "header only": bytes.prefix(100),
        ]
        var random = SystemRandomNumberGenerator()
        for number in 0..<20 {
            var noise = bytes
            let start = Int.random(in: 0..<bytes.count - 600, using: &random)
            for index in start..<start + 600 { noise[index] ^= 0x55 }
            bad["noise \(number) at \(start)"] = noise
        }
        for (name, content) in bad {
            let path = fixture.directory + "/bad.db"
            try content.write(to: URL(fileURLWithPath: path))
            do {
                try SQLiteStore.restore(from: path, to: fixture.path, atMilliseconds: 6)
                // Noise in a page that is free or unused hurts nothing.
                #expect(name.hasPrefix("noise"), "\(name) was accepted")
                try state.write(to: URL(fileURLWithPath: fixture.path))
                for kept in try fixture.names() where kept.contains("before-restore") {
                    try FileManager.default.removeItem(atPath: fixture.directory + "/state/" + kept)
                }
            } catch let error as StoreError {
                switch error {
                case .corrupt, .foreign, .schemaTooNew: break
                default: Issue.record("\(name): \(error)")
                }
            }
            #expect(try Data(contentsOf: URL(fileURLWithPath: fixture.path)) == state, "\(name)")
            #expect(try fixture.names() == names, "\(name)")
        }
        #expect(throws: StoreError.self) {
            try SQLiteStore.restore(from: fixture.directory + "/none", to: fixture.path, atMilliseconds: 6)
        }
        #expect(throws: StoreError.self) {
            try SQLiteStore.restore(from: fixture.directory, to: fixture.path, atMilliseconds: 6)
        }
    }

    @Test("a restore is refused while a server holds the store, a backup over the state too")
    func inUse() async throws {
        let fixture = try StoreFixture()
        let store = try fixture.open()
        let backup = fixture.directory + "/copy.db"
        try await store.put("/a", "1")
        try await store.backup(to: backup, atMilliseconds: 5)
        #expect(
            performing: {
                try SQLiteStore.restore(from: backup, to: fixture.path, atMilliseconds: 6)
            }, throws: { if case StoreError.inUse = $0 { true } else { false } })
        await #expect(throws: StoreError.self) { try await store.backup(to: fixture.path, atMilliseconds: 5) }
        await #expect(throws: StoreError.self) {
            try await store.backup(to: fixture.directory + "/no/such/dir/x", atMilliseconds: 5)
        }
        #expect(try await store.text("/a") == "1")
        try await store.close()
    }
}
