import API
import ArgumentParser
import FoundationEssentials
import Glibc
import Logging
import Model
import NIOCore
import Store

/// `hostler backup FILE`, and what else is done with backups.
struct BackupCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup", abstract: "Take a consistent copy of the state, while the server runs or not.",
        subcommands: [Take.self, Verify.self], defaultSubcommand: Take.self)
}

extension BackupCommand {
    struct Take: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write a backup to a file.",
            discussion: """
                Asks the server; with --offline it reads the state directory itself, and the server must not run. A backup has no \
                secret that opens without the server's key files. With --passphrase-file it has these too, and the CA and the \
                configuration, encrypted under the passphrase: run it where the server runs, as who may read them. Without, keep \
                copies elsewhere: seal.key, identity.key, vault.key and tls/ in the state directory. docs/backup.md tells more.
                """)
        @OptionGroup var connection: ConnectionOptions
        @Argument(help: "The file to write.") var file: String
        @Flag(help: "Read the state directory itself.") var offline = false
        @Option(help: "Add the server's key files, encrypted under the passphrase in this file.") var passphraseFile: String?
        @Flag(help: "Say nothing of the keys: they are kept elsewhere. Without them a new host loses what they open.")
        var withoutKeys = false
        @Option(help: "The server's configuration file, to go with the keys.") var config = ServerConfiguration.defaultPath
        @Flag(help: "Replace a file that is there.") var force = false

        func run() async throws {
            // Before anything is written: what is wrong with it should not leave half of what was asked for.
            let target = try BackupTarget(file, stateDirectory: connection.stateDir, mayReplace: force)
            let passphrase = try passphraseFile.map { try ServerKeys.passphrase(in: $0) }
            if let passphrase { try BackupKeys.check(passphrase) }
            guard passphrase == nil || !withoutKeys else {
                throw ValidationError("--passphrase-file puts the server's keys into the backup; --without-keys says that there are none in it.")
            }
            let manifest = try await target.write { temporary in
                if offline {
                    try await backupOffline(to: temporary)
                } else {
                    try await fetch(to: temporary)
                }
                // Only what is whole and readable gets the name.
                let manifest = try SQLiteStore.verifyBackup(at: temporary)
                if let passphrase { try addKeys(to: temporary, passphrase) }
                return manifest
            }
            print("\(file): revision \(manifest.revision)" + (passphrase == nil ? "" : ", with the server's keys under the passphrase"))
            if passphrase == nil, !withoutKeys { Terminal.writeError(Self.costOfNoKeys) }
        }

        static let costOfNoKeys = """
            This backup has none of the server's keys. Restored on another host, it has no BMC passwords, no issuer's keys and no \
            user-data for next installations, and clients must trust a new CA.
              remedy: Take it with --passphrase-file FILE; or keep seal.key, identity.key, vault.key and tls/ elsewhere, and say --without-keys.
            """

        private func fetch(to temporary: String) async throws {
            try await APIClient.with(connection) { client in
                let response = try await client.open(.POST, "/v1/backup", deadline: .distantFuture)
                let handle = Glibc.open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
                guard handle >= 0 else { throw Self.cannotWrite(temporary) }
                defer { close(handle) }
                do {
                    for try await buffer in response.body {
                        var rest = buffer.readableBytesView[...]
                        while !rest.isEmpty {
                            let count = rest.withUnsafeBytes { Glibc.write(handle, $0.baseAddress, $0.count) }
                            guard count >= 0 || errno == EINTR else { throw Self.cannotWrite(temporary) }
                            rest = rest.dropFirst(max(0, count))
                        }
                    }
                } catch {
                    throw error is Problem ? error : client.unreachable(error)
                }
            }
        }

        private func backupOffline(to temporary: String) async throws {
            let logger = Logger(label: "hostler") { _ in SwiftLogNoOpLogHandler() }
            var options = SQLiteStore.Options()
            options.isForCopying = true
            let store = try StateOwner.acting(for: connection.stateDir) { [options] in
                try SQLiteStore(path: connection.stateDir + "/hostler.db", options: options, logger: logger)
            }
            do {
                // A record that is sealed needs no key to be copied.
                guard try await store.isErased() else {
                    throw Problem(
                        "backup-unsealed", status: 409, title: "The record is of an older version, and its secrets rest readable in it",
                        remedy: "Start the server once: it seals them.")
                }
                try await store.backup(to: temporary, atMilliseconds: Timestamp.now.milliseconds)
                try await store.close()
            } catch {
                try? await store.close()
                throw error
            }
        }

        private func addKeys(to temporary: String, _ passphrase: [UInt8]) throws {
            let keys = ServerKeys(stateDirectory: connection.stateDir)
            let seal = try keys.seal.sealingKey()
            let unopened = try SQLiteStore.secrets(inBackup: temporary) { name, value in SealedStore.opens(value, at: name, with: seal) }
            guard seal != nil, unopened.isEmpty else {
                throw Problem(
                    "backup-keys-elsewhere", title: "The key files in \(connection.stateDir) are not those of the server that was asked",
                    detail: seal == nil ? "There is no seal.key." : "seal.key does not open the record's secrets.",
                    remedy: "Run it on the machine where the server runs, with the server's --state-dir.")
            }
            try BackupKeys.add(keys.readAll(configuration: config), toBackup: temporary, passphrase: passphrase)
        }

        private static func cannotWrite(_ path: String) -> Problem {
            Problem("file-unwritable", title: "\(path) cannot be written", detail: String(cString: strerror(errno)))
        }
    }
}

extension BackupCommand {
    struct Verify: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Restore a backup into a folder of its own, and check all of it.",
            discussion: """
                Checks the file, every record, what they refer to, and with the passphrase whether the keys in it open the secrets. \
                Nothing is left of it afterwards. Ends with 0 where it restores, else with 1.
                """)
        @Argument(help: "The backup.") var file: String
        @Option(help: "The passphrase that its keys were encrypted with, in a file.") var passphraseFile: String?
        @Option(help: "Without a passphrase: whose key files open its secrets. Else $HOSTLER_STATE_DIR.") var stateDir = StateDirectory.standard
        @OptionGroup var output: OutputOptions

        func run() async throws {
            let passphrase = try passphraseFile.map { try ServerKeys.passphrase(in: $0) }
            // Another server's keys, or none that this user may read, are no reason not to look at the rest.
            let local = passphrase == nil ? (try? ServerKeys(stateDirectory: stateDir).read()) ?? [:] : [:]
            let isOwn = try local["seal.key"].map { bytes in
                let seal = try SealingKey(bytes)
                return try SQLiteStore.secrets(inBackup: file) { name, value in SealedStore.opens(value, at: name, with: seal) }.isEmpty
            }
            let verification = try BackupVerification(file: file, passphrase: passphrase, localKeys: isOwn == true ? local : [:])
            try output.print(verification) { $0.text }
            if !verification.faults.isEmpty { throw ExitCode(ExitStatus.failure.rawValue) }
        }
    }
}
