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
        discussion: """
            Asks the server; with --offline it reads the state directory itself, and the server must not run. A backup has no \
            secret that opens without the server's key files. With --passphrase-file it has these too, encrypted under the \
            passphrase: run it where the server runs, as who may read them. Without, keep copies of the key files elsewhere: \
            seal.key, identity.key and vault.key in the state directory.
            """)
    @OptionGroup var connection: ConnectionOptions
    @Argument(help: "The file to write.") var file: String
    @Flag(help: "Read the state directory itself.") var offline = false
    @Option(help: "Add the server's key files, encrypted under the passphrase in this file.") var passphraseFile: String?

    func run() async throws {
        // Before anything is written: what is wrong with it should not leave half of what was asked for.
        let passphrase = try passphraseFile.map { try ServerKeys.passphrase(in: $0) }
        if let passphrase { try BackupKeys.check(passphrase) }
        let partial = file + ".partial"
        if offline {
            let manifest = try await backupOffline(to: partial)
            return try finish(partial, manifest, passphrase)
        }
        try await APIClient.with(connection) { client in
            let response = try await client.open(.POST, "/v1/backup", deadline: .distantFuture)
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
            try finish(partial, manifest, passphrase)
        }
    }

    private func backupOffline(to partial: String) async throws -> BackupManifest {
        let logger = Logger(label: "hostler") { _ in SwiftLogNoOpLogHandler() }
        let store = try SQLiteStore(path: connection.stateDir + "/hostler.db", logger: logger)
        do {
            // What an older version left readable is sealed first. A record that is sealed needs no key to be copied.
            if try await !store.isErased() {
                let file = ServerKeys(stateDirectory: connection.stateDir).seal
                _ = try await SealedStore.open(store, keyFile: file, logger: logger)
            }
            let manifest = try await store.backup(to: partial, atMilliseconds: Timestamp.now.milliseconds)
            try await store.close()
            return manifest
        } catch {
            try? await store.close()
            throw error
        }
    }

    /// Adds the keys where they are wanted, and gives the backup its name.
    private func finish(_ partial: String, _ manifest: BackupManifest, _ passphrase: [UInt8]?) throws {
        do {
            if let passphrase { try addKeys(to: partial, passphrase) }
            guard rename(partial, file) == 0 else { throw Self.cannotWrite(file) }
        } catch {
            unlink(partial)
            throw error
        }
        print("\(file): revision \(manifest.revision)" + (passphrase == nil ? "" : ", with the server's keys under the passphrase"))
    }

    private func addKeys(to partial: String, _ passphrase: [UInt8]) throws {
        let keys = ServerKeys(stateDirectory: connection.stateDir)
        let seal = try keys.seal.sealingKey()
        let unopened = try SQLiteStore.secrets(inBackup: partial) { name, value in SealedStore.opens(value, at: name, with: seal) }
        guard seal != nil, unopened.isEmpty else {
            throw Problem(
                "backup-keys-elsewhere", title: "The key files in \(connection.stateDir) are not those of the server that was asked",
                detail: seal == nil ? "There is no seal.key." : "seal.key does not open the record's secrets.",
                remedy: "Run it on the machine where the server runs, with the server's --state-dir.")
        }
        try BackupKeys.add(keys.read(), toBackup: partial, passphrase: passphrase)
    }

    private static func cannotWrite(_ path: String) -> Problem {
        Problem("file-unwritable", title: "\(path) cannot be written", detail: String(cString: strerror(errno)))
    }
}
