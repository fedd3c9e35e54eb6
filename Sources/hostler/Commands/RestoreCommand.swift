import ArgumentParser
import FoundationEssentials
import Model
import Store

struct RestoreCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore", abstract: "Put a backup in the place of the state. The server must not run.",
        discussion: """
            The backup is checked whole before anything is replaced, and the replaced state is kept beside it. Secrets open with \
            the key files of the server that made the backup: those in the state directory, or, with --passphrase-file, those in \
            the backup. What does not open is left out and named. The login of this host (admin.json) is made at the server's next start.
            """)
    @Option(help: "The server's state directory. Else $HOSTLER_STATE_DIR.") var stateDir = StateDirectory.standard
    @Argument(help: "The backup.") var file: String
    @Option(help: "A file with the passphrase that the backup's keys were encrypted with.") var passphraseFile: String?
    @Flag(help: "Do not ask.") var yes = false
    @Flag(help: "Do nothing; show what would be replaced.") var dryRun = false

    func run() async throws {
        let manifest = try SQLiteStore.verifyBackup(at: file)
        let keys = ServerKeys(stateDirectory: stateDir)
        var files: [String: [UInt8]] = [:]
        if let passphraseFile {
            files = try BackupKeys.open(backup: file, passphrase: ServerKeys.passphrase(in: passphraseFile))
        }
        let seal = try files["seal.key"].map { try SealingKey($0) } ?? keys.seal.sealingKey()
        let keeps: (String, [UInt8]) -> Bool = { name, value in SealedStore.opens(value, at: name, with: seal) }

        let unopened = try SQLiteStore.secrets(inBackup: file, unless: keeps)
        let leftOut = LeftOutSecrets(keys: unopened)
        if !leftOut.isEmpty {
            print(leftOut.text)
            if passphraseFile == nil, try BackupKeys.areIn(backup: file) {
                print("The backup has the keys to these, under a passphrase: with --passphrase-file they are restored too.")
            }
        }
        let opened = try SQLiteStore.secrets(inBackup: file) { _, _ in false }.filter { !unopened.contains($0) }
        let hints = try hints(opened, Set(files.keys).union(keys.readAll(configuration: nil).keys))
        let made = Timestamp(milliseconds: manifest.createdAtMilliseconds)
        let consequence = "The state in \(stateDir) will be replaced by the backup of \(made), revision \(manifest.revision)."
        if dryRun { return print(([consequence] + hints).joined(separator: "\n")) }
        try confirm(yes, consequence)
        try StateOwner.become(of: stateDir, toRead: file)
        let now = Timestamp.now
        let report = try SQLiteStore.restore(from: file, to: stateDir + "/hostler.db", atMilliseconds: now.milliseconds, keeps: keeps)
        // The record first: a kill in between leaves one whose keys are missing, and the server says so and what to do.
        let kept = try keys.restore(files, at: now)
        let configuration = try keys.keep(files, at: now)
        print("restored \(report.keyCount) records of revision \(manifest.revision); revisions go on from \(report.revision)")
        for name in (report.keptAs.map { [$0] } ?? []) + kept { print("what it replaces is kept as \(name)") }
        if let configuration { print("that server's configuration is in \(configuration): compare it with \(ServerConfiguration.defaultPath)") }
        for hint in hints { print(hint) }
        print(BackupVerification.notInIt)
    }

    /// What opens no more although the record has it: within seal.key's it is sealed once more, with a key file that is not here.
    private func hints(_ secrets: [String], _ files: Set<String>) -> [String] {
        var hints: [String] = []
        if !files.contains("identity.key"), secrets.contains(where: { $0.hasPrefix("/secrets/identity/") }) {
            hints.append("identity.key is not in \(stateDir): put it there, or start the server once with --new-identity")
        }
        if !files.contains("vault.key"), secrets.contains(where: { $0.hasPrefix("/secrets/bmcs/") }) {
            hints.append("vault.key is not in \(stateDir): put it there, or remove and add each BMC with its password")
        }
        if !files.contains("tls/ca.key") {
            hints.append("the CA is not in \(stateDir)/tls: a new one is made, and clients elsewhere must trust it: hostler login URL")
        }
        return hints
    }
}

/// The secrets of a backup that do not open where it is restored, in words.
struct LeftOutSecrets {
    var keys: [String]

    private static let kinds: [(prefix: String, what: String, remedy: String)] = [
        ("/secrets/user-data/", "the user-data of", "give it again: hostler machine set MACHINE --user-data FILE"),
        ("/secrets/bmcs/", "the password of", "remove and add the BMC again: hostler bmc remove BMC, hostler bmc add"),
        (
            "/secrets/identity/", "the issuer's keys",
            "new ones are made at the next start: whoever pinned the old ones, or trusts the SSH authorities, needs the new ones"
        ),
        ("/secrets/seeds/", "the first-boot data of", "these installations end with the restore: ask for them again"),
        (
            "/secrets/markers", "what disk markers are checked with",
            "systems that were installed after the backup are not taken into the record again: install them anew"
        ),
        // These are made anew by every restore.
        ("/secrets/session", "", ""), ("/secrets/boot", "", ""),
    ]

    /// Whether nothing is lost.
    var isEmpty: Bool { lines.isEmpty }

    var text: String {
        (["These secrets do not open without the key files of the server that made the backup, and are left out:"] + lines)
            .joined(separator: "\n")
    }

    var lines: [String] {
        var rest = keys
        var lines: [String] = []
        for kind in Self.kinds {
            let names = rest.filter { $0.hasPrefix(kind.prefix) }.map { String($0.dropFirst(kind.prefix.count)) }
            rest.removeAll { $0.hasPrefix(kind.prefix) }
            guard !names.isEmpty, !kind.what.isEmpty else { continue }
            let list = names.filter { !$0.isEmpty }.joined(separator: ", ")
            lines.append("  \(kind.what)\(list.isEmpty ? "" : " " + list): \(kind.remedy)")
        }
        if !rest.isEmpty { lines.append("  \(rest.joined(separator: ", "))") }
        return lines
    }
}
