import Foundation
import Glibc
import Model
import Store
import Testing

@Suite("where a backup is written")
struct BackupTargetTests {
    private struct Place {
        let fixture: StoreFixture
        let state: String
        let outside: String

        init() async throws {
            fixture = try StoreFixture()
            state = fixture.directory + "/state"
            outside = fixture.directory + "/outside"
            try FileManager.default.createDirectory(atPath: outside, withIntermediateDirectories: true)
            let store = try fixture.open()
            try await store.put("/a", "1")
            try await store.close()
            try FileManager.default.createDirectory(atPath: state + "/tls", withIntermediateDirectories: true)
        }

        /// Nil: it is taken.
        func refusal(_ path: String, force: Bool = false, stateDirectory: String? = nil) -> String? {
            do throws(Problem) {
                _ = try BackupTarget(path, stateDirectory: stateDirectory ?? state, mayReplace: force)
                return nil
            } catch {
                return error.code
            }
        }
    }

    @Test("no name inside the state directory is taken, however it is reached, and not with --force either")
    func state() async throws {
        let place = try await Place()
        let (state, outside) = (place.state, place.outside)
        #expect(symlink(state, outside + "/link") == 0)
        #expect(symlink(outside + "/link", outside + "/link2") == 0)
        let inside = [
            state + "/hostler.db", state + "/hostler.db-wal", state + "/hostler.db.lock", state + "/new.db", state + "/tls/new.db",
            state + "/../state/hostler.db", state + "//hostler.db", outside + "/../state/x", outside + "/link/hostler.db",
            outside + "/link2/tls/x", state + "/tls/../x",
        ]
        for path in inside {
            for force in [false, true] { #expect(place.refusal(path, force: force) == "backup-target-state", "\(path)") }
            // A server whose state directory the command line was not given.
            #expect(place.refusal(path, force: true, stateDirectory: "/nonexistent") == "backup-target-state", "\(path)")
        }
        let old = FileManager.default.currentDirectoryPath
        #expect(place.refusal(Self.relative(state + "/hostler.db", from: old), force: true) == "backup-target-state")
        #expect(link(state + "/hostler.db", outside + "/hard.db") == 0)
        for force in [false, true] { #expect(place.refusal(outside + "/hard.db", force: force) == "backup-target-state") }
        #expect(place.refusal(outside + "/new.db") == nil)
        #expect(place.refusal(place.fixture.directory + "/new.db") == nil)
    }

    @Test("a file that the state has behind a link is the state's, by its own name too, and so are linked folders")
    func linked() async throws {
        let place = try await Place()
        let (state, data) = (place.state, place.fixture.directory + "/data")
        for folder in ["/other", "/certificates", "/pictures/blobs"] {
            try FileManager.default.createDirectory(atPath: data + folder, withIntermediateDirectories: true)
        }
        #expect(rename(state + "/hostler.db", data + "/hostler.db") == 0 && symlink(data + "/hostler.db", state + "/hostler.db") == 0)
        #expect(rmdir(state + "/tls") == 0 && symlink(data + "/certificates", state + "/tls") == 0)
        #expect(symlink(data + "/pictures", state + "/images") == 0)
        try Data("key".utf8).write(to: URL(fileURLWithPath: data + "/other/seal.key"))
        #expect(symlink(data + "/other/seal.key", state + "/seal.key") == 0)
        for path in ["/hostler.db", "/hostler.db-wal", "/x", "/certificates/ca.key", "/pictures/blobs/x", "/other/seal.key"] {
            #expect(place.refusal(data + path, force: true) == "backup-target-state", "\(path)")
        }
        #expect(place.refusal(data + "/other/x.backup", force: true) == nil)
        #expect(place.refusal(place.outside + "/x.backup", force: true) == nil)
    }

    private static func relative(_ path: String, from folder: String) -> String {
        String(repeating: "../", count: folder.split(separator: "/").count) + path.drop { $0 == "/" }
    }

    @Test("links, devices, pipes, sockets, directories and what is no name are refused, with --force too")
    func special() async throws {
        let place = try await Place()
        let outside = place.outside
        #expect(symlink(place.state + "/hostler.db", outside + "/to-state") == 0)
        #expect(symlink(outside + "/nowhere", outside + "/dangling") == 0)
        #expect(mkfifo(outside + "/pipe", 0o600) == 0)
        let socket = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(socket) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let path = "/tmp/hostler-\(UUID().uuidString.prefix(8))"
        defer { unlink(path) }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
        let isBound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
        #expect(isBound == 0)
        for target in [
            outside + "/to-state", outside + "/dangling", outside + "/pipe", path, "/dev/null", "/dev/stdout", outside, outside + "/", outside + "/.",
            outside + "/..", "",
        ] {
            for force in [false, true] { #expect(place.refusal(target, force: force) == "backup-target-special", "\(target)") }
        }
        #expect(place.refusal(outside + "/no/such/folder") == "backup-folder-missing")
        #expect(place.refusal("/dev/null/x") == "backup-folder-missing")
    }

    @Test("a file that is there stays, unless it may be replaced; then it is replaced whole, and nothing is left beside it")
    func existing() async throws {
        let place = try await Place()
        let path = place.outside + "/backup.db"
        func content() throws -> String { try String(contentsOfFile: path, encoding: .utf8) }
        func names() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: place.outside) }
        let target = try BackupTarget(path, stateDirectory: place.state, mayReplace: false)
        try await target.write { try Data("first".utf8).write(to: URL(fileURLWithPath: $0)) }
        #expect(try content() == "first")
        #expect(place.refusal(path) == "backup-target-exists")
        // One that was made while this one was being written is not replaced either.
        await #expect(throws: Problem.self) { try await target.write { try Data("second".utf8).write(to: URL(fileURLWithPath: $0)) } }
        #expect(try content() == "first")
        let forced = try BackupTarget(path, stateDirectory: place.state, mayReplace: true)
        struct Cut: Error {}
        await #expect(throws: Cut.self) {
            try await forced.write { temporary in
                try Data("half".utf8).write(to: URL(fileURLWithPath: temporary))
                throw Cut()
            }
        }
        #expect(try content() == "first")
        try await forced.write { try Data("second".utf8).write(to: URL(fileURLWithPath: $0)) }
        #expect(try content() == "second")
        #expect(try names() == ["backup.db"])
    }

    @Test("the store itself replaces nothing but a regular file, and a restore reads and replaces nothing else")
    func restore() async throws {
        let place = try await Place()
        let store = try place.fixture.open()
        let good = place.outside + "/good.db"
        try await store.backup(to: good, atMilliseconds: 5)
        #expect(symlink("/dev/null", place.outside + "/device") == 0)
        #expect(mkfifo(place.outside + "/pipe", 0o600) == 0)
        for target in ["/device", "/pipe"] {
            await #expect(throws: StoreError.self) { try await store.backup(to: place.outside + target, atMilliseconds: 5) }
            // A pipe that nobody writes to is not waited for.
            #expect(throws: StoreError.self) { try SQLiteStore.verifyBackup(at: place.outside + target) }
        }
        try await store.close()
        let moved = place.outside + "/moved.db"
        #expect(rename(place.fixture.path, moved) == 0 && symlink(moved, place.fixture.path) == 0)
        #expect(throws: StoreError.self) { try SQLiteStore.restore(from: good, to: place.fixture.path, atMilliseconds: 6) }
        #expect(StoreFixture.isLink(place.fixture.path))
        for name in ["", ".lock"] {
            #expect(throws: StoreError.self) { try SQLiteStore.restore(from: moved + name, to: moved, atMilliseconds: 6) }
        }
    }
}

extension StoreFixture {
    static func isLink(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK
    }
}
