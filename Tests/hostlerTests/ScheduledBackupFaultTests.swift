import Foundation
import Hardware
import Logging
import Model
import Store
import Synchronization
import Testing

@testable import hostler

@Suite("scheduled backups that go wrong")
struct ScheduledBackupFaultTests {
    private static let start = Timestamp(milliseconds: 1_700_000_000_000)

    /// A state, a folder for its backups, and a clock that a test moves.
    private final class Place: Sendable {
        let folder: TestFolder
        let database: SQLiteStore
        let store: SealedStore
        let messages = Mutex<[String]>([])
        private let time = Mutex(ScheduledBackupFaultTests.start)
        private let quiet = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

        var state: String { folder.path + "/state" }
        var path: String { folder.path + "/backups" }
        var passphrase: String { folder.path + "/passphrase" }
        var now: Timestamp { time.withLock { $0 } }
        func advance(hours: Int) { time.withLock { $0 = $0 + .seconds(3600 * hours) } }
        var taken: [String] {
            get throws { try FileManager.default.contentsOfDirectory(atPath: path).filter { BackupCalendar.time(of: $0) != nil }.sorted() }
        }

        init() async throws {
            let folder = try TestFolder()
            self.folder = folder
            try FileManager.default.createDirectory(atPath: folder.path + "/backups", withIntermediateDirectories: true)
            try Data("six words that nobody else has\n".utf8).write(to: URL(fileURLWithPath: folder.path + "/passphrase"))
            database = try SQLiteStore(path: folder.path + "/state/hostler.db", logger: quiet)
            store = try await SealedStore.open(database, keyFile: KeyFile(folder.path + "/state/seal.key"), logger: quiet)
            try await store.commit([.put(key: "/secrets/session", value: [UInt8](repeating: 7, count: 32), if: .none)])
        }

        func make(_ settings: BackupSettings) -> ScheduledBackups {
            ScheduledBackups(
                settings,
                .init(
                    stateDirectory: state, configuration: nil,
                    write: { [database, self] in _ = try await database.backup(to: $0, atMilliseconds: now.milliseconds) },
                    record: { [self] kind, message, _ in messages.withLock { $0.append("\(kind): \(message)") } }, now: { [self] in now },
                    logger: quiet))
        }
    }

    @Test("while the command fails backups are taken all the same, and a restart knows which was not handed on")
    func command() async throws {
        let place = try await Place()
        let settings = BackupSettings(path: place.path, everyHours: 6, withoutKeys: true, command: ["/bin/false", "{file}"])
        let backups = place.make(settings)
        try await backups.takeWhereDue()
        for _ in 0..<3 {
            // Between two it tries the newest again.
            place.advance(hours: 3)
            try await backups.takeWhereDue()
            place.advance(hours: 3)
            try await backups.takeWhereDue()
        }
        #expect(try place.taken.count == 4)
        let newest = try place.path + "/" + #require(try place.taken.last)
        #expect(backups.state.notHandedOn == newest && backups.warnings.map(\.code) == ["backup-command-failed"])

        let away = place.folder.path + "/away"
        try FileManager.default.createDirectory(atPath: away, withIntermediateDirectories: true)
        var mended = settings
        mended.command = ["/bin/cp", "{file}", away + "/"]
        let next = place.make(mended)
        #expect(next.state.notHandedOn == newest && next.vitals.isFailing && next.warnings.map(\.code) == ["backup-command-failed"])
        place.advance(hours: 1)
        try await next.takeWhereDue()
        #expect(next.warnings.isEmpty && !next.vitals.isFailing)
        #expect(try FileManager.default.fileExists(atPath: away + "/" + #require(place.taken.last)))
        #expect(place.make(mended).warnings.isEmpty)
        try await place.store.close()
    }

    @Test("a backup that does not restore whole is kept, and is a warning until one does")
    func faults() async throws {
        let place = try await Place()
        let vault = try Vault(keyFile: place.state + "/vault.key")
        let password = try vault.seal("correct horse", context: "bmc-password:bmc-dr0001")
        try await place.store.commit([.put(key: "/secrets/bmcs/bmc-dr0001", value: Array(#"{"current":"\#(password)"}"#.utf8), if: .none)])
        let backups = place.make(BackupSettings(path: place.path, everyHours: 6, passphraseFile: place.passphrase))
        try await backups.takeWhereDue()
        #expect(backups.warnings.isEmpty && place.messages.withLock { $0.last?.contains("was taken and restores") } == true)

        func isWarned(_ word: String) async throws {
            place.advance(hours: 6)
            try await backups.takeWhereDue()
            #expect(backups.warnings.map(\.code) == ["backup-incomplete"] && backups.vitals.isFailing)
            #expect(backups.warnings.first?.detail?.contains(word) == true, "\(backups.warnings)")
            #expect(place.messages.withLock { $0.last?.contains("does not restore whole") } == true)
            #expect(try place.taken.last == BackupCalendar.name(place.now))
        }
        let (key, kept) = (place.state + "/vault.key", place.folder.path + "/vault.key")
        try FileManager.default.moveItem(atPath: key, toPath: kept)
        try await isWarned("vault.key")
        // Nothing is due: the warning stays.
        try await backups.takeWhereDue()
        #expect(backups.vitals.isFailing)
        try FileManager.default.moveItem(atPath: kept, toPath: key)
        // A CA that is there and cannot be read; and one without its key.
        let tls = place.state + "/tls"
        try FileManager.default.createDirectory(atPath: tls + "/ca.pem", withIntermediateDirectories: true)
        try await isWarned("tls/ca.pem")
        try FileManager.default.removeItem(atPath: tls + "/ca.pem")
        try Data("x".utf8).write(to: URL(fileURLWithPath: tls + "/ca.pem"))
        try await isWarned("CA")
        try FileManager.default.removeItem(atPath: tls)
        place.advance(hours: 6)
        try await backups.takeWhereDue()
        #expect(backups.warnings.isEmpty && !backups.vitals.isFailing)
        try await place.store.close()
    }

    @Test("a file of the time to come, from a clock that was ahead, never costs the backup just taken")
    func future() async throws {
        let place = try await Place()
        let future = BackupCalendar.name(place.now + .seconds(365 * 86_400))
        try Data("x".utf8).write(to: URL(fileURLWithPath: place.path + "/" + future))
        let backups = place.make(BackupSettings(path: place.path, everyHours: 6, keep: 1, withoutKeys: true))
        #expect(backups.state.last == nil)
        try await backups.takeWhereDue()
        #expect(try place.taken == [BackupCalendar.name(place.now)])
        let names = (0..<4).map { BackupCalendar.name(Self.start + .seconds(Int64($0) * 60)) }
        let now = Self.start + .seconds(61)
        #expect(BackupCalendar.surplus(names, keep: 3, now: now, taken: names[1]) == [names[2]])
        #expect(BackupCalendar.surplus(names, keep: 1, now: now, taken: names[1]) == [names[2], names[3], names[0]])
        try await place.store.close()
    }
}
