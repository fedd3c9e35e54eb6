import Foundation
import Logging
import Model
import Store
import Synchronization
import Testing

@testable import hostler

@Suite("backups that the server takes by itself")
struct ScheduledBackupTests {
    private let quiet = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
    private static let start = Timestamp(milliseconds: 1_700_000_000_000)

    @Test("the next is due a while after the last, after a failure sooner, and a clock that was set puts nothing off")
    func calendar() {
        let now = Self.start
        func wait(_ last: Int64?, _ failed: Int64? = nil) -> Duration {
            BackupCalendar.wait(now: now, last: last.map { now + .seconds($0) }, failedAt: failed.map { now + .seconds($0) }, hours: 24)
        }
        #expect(wait(nil) == .zero && wait(-86_400) == .zero && wait(-90_000) == .zero)
        #expect(wait(-3600) == .seconds(82_800))
        // Taken, it seems, tomorrow.
        #expect(wait(86_400) == .zero)
        #expect(wait(nil, -60) == .seconds(840) && wait(-90_000, -900) == .zero && wait(-90_000, 500) == .zero)
        // A failure of before the last success says nothing.
        #expect(wait(-3600, -7200) == .seconds(82_800))
        func isOverdue(_ last: Int64?, since: Int64) -> Bool {
            BackupCalendar.isOverdue(now: now, last: last.map { now + .seconds($0) }, since: now + .seconds(since), hours: 24)
        }
        #expect(!isOverdue(nil, since: -172_800) && isOverdue(nil, since: -172_801))
        #expect(!isOverdue(-172_800, since: -9) && isOverdue(-172_801, since: -9))
    }

    @Test("a backup's name tells its time, and nothing else in the folder is taken for one or thinned out")
    func names() {
        let name = BackupCalendar.name(Self.start)
        #expect(name == "hostler-2023-11-14T22-13-20Z.backup")
        #expect(BackupCalendar.time(of: name) == Self.start)
        for other in [
            "hostler-2023-11-14T22-13-20Z.backup.gz", "hostler-2023-11-14T22:13:20Z.backup", "hostler-.backup", "notes",
            "hostler-2023-13-14T22-13-20Z.backup",
        ] {
            #expect(BackupCalendar.time(of: other) == nil, "\(other)")
        }
        let names = (0..<5).map { BackupCalendar.name(Self.start + .seconds(Int64($0) * 60)) }
        #expect(
            BackupCalendar.surplus(["a", "z.backup"] + names.reversed(), keep: 3, now: Self.start + .seconds(240), taken: names[4])
                == Array(names.prefix(2)))
        #expect(BackupCalendar.surplus(names, keep: 9, now: Self.start + .seconds(240), taken: names[4]).isEmpty)
    }

    @Test("settings that leave something unsaid are refused at the start")
    func settings() throws {
        func code(_ settings: BackupSettings) -> String? {
            do throws(Problem) {
                try settings.check(stateDirectory: "/state")
                return nil
            } catch {
                return error.code
            }
        }
        #expect(code(BackupSettings(path: "/b", withoutKeys: true)) == nil)
        #expect(code(BackupSettings(path: "/b", everyHours: 6, keep: 3, passphraseFile: "/p", command: ["cp", "{file}", "/c"])) == nil)
        for bad in [
            BackupSettings(path: "/b"), BackupSettings(path: "b", withoutKeys: true),
            BackupSettings(path: "/b", passphraseFile: "/p", withoutKeys: true),
            BackupSettings(path: "/b", everyHours: 0, withoutKeys: true), BackupSettings(path: "/b", keep: 0, withoutKeys: true),
            BackupSettings(path: "/b", withoutKeys: true, command: []), BackupSettings(path: "/b", withoutKeys: true, command: ["cp"]),
        ] { #expect(code(bad) == "config-invalid", "\(bad)") }
    }

    private final class Clock: Sendable {
        private let time = Mutex(ScheduledBackupTests.start)
        var now: Timestamp { time.withLock { $0 } }
        func advance(hours: Int) { time.withLock { $0 = $0 + .seconds(3600 * hours) } }
    }

    @Test("backups are taken when due, can be restored, are handed on and thinned out; a failure is told once and tried again")
    func taking() async throws {
        let folder = try TestFolder()
        let (state, path, away) = (folder.path + "/state", folder.path + "/backups", folder.path + "/away")
        for directory in [path, away] { try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true) }
        try Data("six words that nobody else has\n".utf8).write(to: URL(fileURLWithPath: folder.path + "/passphrase"))
        let database = try SQLiteStore(path: state + "/hostler.db", logger: quiet)
        let store = try await SealedStore.open(database, keyFile: KeyFile(state + "/seal.key"), logger: quiet)
        try await store.commit([.put(key: "/secrets/session", value: [UInt8](repeating: 7, count: 32), if: .none)])
        let clock = Clock()
        let events = Mutex<[String]>([])
        func make(_ settings: BackupSettings) -> ScheduledBackups {
            ScheduledBackups(
                settings,
                .init(
                    stateDirectory: state, configuration: nil,
                    write: { _ = try await database.backup(to: $0, atMilliseconds: clock.now.milliseconds) },
                    record: { kind, _, _ in events.withLock { $0.append(kind) } }, now: { clock.now }, logger: quiet))
        }
        func taken() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: path).sorted() }
        let settings = BackupSettings(
            path: path, everyHours: 6, keep: 2, passphraseFile: folder.path + "/passphrase", command: ["/bin/cp", "{file}", away + "/"])
        let backups = make(settings)
        try await backups.takeWhereDue()
        try await backups.takeWhereDue()
        #expect(try taken() == [BackupCalendar.name(Self.start)] && FileManager.default.contentsOfDirectory(atPath: away) == taken())
        #expect(events.withLock { $0 } == ["backup.taken"] && backups.warnings.isEmpty)
        let file = try path + "/" + #require(try taken().first)
        let passphrase = Array("six words that nobody else has".utf8)
        #expect(try BackupVerification(file: file, passphrase: passphrase).faults == [])
        #expect(try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int == 0o600)

        for _ in 0..<3 {
            clock.advance(hours: 6)
            try await backups.takeWhereDue()
        }
        #expect(try taken().count == 2 && taken().last == BackupCalendar.name(clock.now))
        // Another start goes on from what is there.
        #expect(make(settings).state.last == clock.now)

        // The folder is gone, comes back; the command fails and works again: it takes the backup that it missed.
        try FileManager.default.moveItem(atPath: path, toPath: path + ".gone")
        clock.advance(hours: 6)
        for _ in 0..<3 {
            try await backups.takeWhereDue()
            clock.advance(hours: 1)
        }
        #expect(backups.warnings.map(\.code) == ["backup-folder-missing"] && backups.vitals.isFailing)
        #expect(events.withLock { $0.count { $0 == "backup.failed" } } == 1)
        clock.advance(hours: 12)
        #expect(backups.warnings.map(\.code) == ["backup-folder-missing", "backup-overdue"] && backups.vitals.isOverdue)
        try FileManager.default.moveItem(atPath: path + ".gone", toPath: path)
        try FileManager.default.moveItem(atPath: away, toPath: away + ".gone")
        try await backups.takeWhereDue()
        #expect(backups.warnings.map(\.code) == ["backup-command-failed"])
        let missed = try #require(try taken().last)
        try FileManager.default.createDirectory(atPath: away, withIntermediateDirectories: true)
        clock.advance(hours: 1)
        try await backups.takeWhereDue()
        #expect(backups.warnings.isEmpty && FileManager.default.fileExists(atPath: away + "/" + missed))

        // Into the state directory it never goes.
        let inside = make(BackupSettings(path: state, withoutKeys: true))
        try await inside.takeWhereDue()
        #expect(inside.warnings.map(\.code) == ["backup-target-state"])
        try await store.close()
    }
}
