import API
import ArgumentParser
import FoundationEssentials
import Glibc
import Logging
import Model
import NIOCore
import Store

struct BackupCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup", abstract: "Take a consistent copy of the state, while the server runs or not.",
        discussion: "Asks the server; with --offline it reads the state directory itself, and the server must not run.")
    @OptionGroup var connection: ConnectionOptions
    @Argument(help: "The file to write.") var file: String
    @Flag(help: "Read the state directory itself.") var offline = false

    func run() async throws {
        if offline {
            let logger = Logger(label: "hostler") { _ in SwiftLogNoOpLogHandler() }
            let store = try SQLiteStore(path: connection.stateDir + "/hostler.db", logger: logger)
            let manifest = try await store.backup(to: file, atMilliseconds: Timestamp.now.milliseconds)
            try await store.close()
            return print("\(file): revision \(manifest.revision)")
        }
        try await APIClient.with(connection) { client in
            let response = try await client.open(.POST, "/v1/backup", deadline: .distantFuture)
            let partial = file + ".partial"
            let handle = Glibc.open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
            guard handle >= 0 else { throw Self.cannotWrite(partial) }
            do {
                defer { close(handle) }
                for try await buffer in response.body {
                    var rest = buffer.readableBytesView[...]
                    while !rest.isEmpty {
                        let count = rest.withUnsafeBytes { Glibc.write(handle, $0.baseAddress, $0.count) }
                        guard count >= 0 || errno == EINTR else { throw Self.cannotWrite(partial) }
                        rest = rest.dropFirst(max(0, count))
                    }
                }
                guard fsync(handle) == 0 else { throw Self.cannotWrite(partial) }
            } catch {
                unlink(partial)
                throw error is Problem ? error : client.unreachable(error)
            }
            // Only what is whole and readable gets the name.
            let manifest: BackupManifest
            do {
                manifest = try SQLiteStore.verifyBackup(at: partial)
            } catch {
                unlink(partial)
                throw error
            }
            guard rename(partial, file) == 0 else { throw Self.cannotWrite(file) }
            print("\(file): revision \(manifest.revision)")
        }
    }

    private static func cannotWrite(_ path: String) -> Problem {
        Problem("file-unwritable", title: "\(path) cannot be written", detail: String(cString: strerror(errno)))
    }
}

struct RestoreCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore", abstract: "Put a backup in the place of the state. The server must not run.",
        discussion: "The backup is checked whole before anything is replaced, and the replaced state is kept beside it.")
    @Option(help: "The server's state directory. Else $HOSTLER_STATE_DIR.") var stateDir = StateDirectory.standard
    @Argument(help: "The backup.") var file: String
    @Flag(help: "Do not ask.") var yes = false

    func run() async throws {
        let manifest = try SQLiteStore.verifyBackup(at: file)
        let made = Timestamp(milliseconds: Int64(manifest.createdAtMilliseconds))
        try confirm(yes, "The state in \(stateDir) will be replaced by the backup of \(made), revision \(manifest.revision).")
        try StateOwner.become(of: stateDir, toRead: file)
        let report = try SQLiteStore.restore(
            from: file, to: stateDir + "/hostler.db", atMilliseconds: Timestamp.now.milliseconds)
        print("restored \(report.keyCount) records of revision \(manifest.revision); revisions go on from \(report.revision)")
        if let kept = report.keptAs { print("the replaced state is kept as \(kept)") }
    }
}
