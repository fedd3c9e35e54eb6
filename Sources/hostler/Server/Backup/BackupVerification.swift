import API
import Control
import FoundationEssentials
import Glibc
import Hardware
import Identity
import Model
import Store

/// A backup restored into a folder of its own, and looked through: what `hostler backup verify` does, and the server after
/// each backup that it takes by itself.
struct BackupVerification: Encodable {
    var revision: Int64
    var takenAt: Timestamp
    /// Which of the server's files are in it, under the passphrase.
    var files: [String]
    /// What a new host could not do with it.
    var faults: [String]
    /// What it does not have, as it was asked for.
    var notes: [String]
    var counts: [String: Int]

    /// - Parameters:
    ///   - passphrase: opens the server's files in it; nil: they are not looked at.
    ///   - localKeys: what opens the secrets where there is no passphrase: the key files of this host, if it is the server's.
    init(file: String, passphrase: [UInt8]?, localKeys: [String: [UInt8]] = [:]) throws {
        let manifest = try SQLiteStore.verifyBackup(at: file)
        revision = manifest.revision.rawValue
        takenAt = Timestamp(milliseconds: manifest.createdAtMilliseconds)
        var keys = localKeys
        files = []
        faults = []
        notes = []
        if let passphrase {
            let found = try BackupKeys.open(backup: file, passphrase: passphrase)
            files = found.keys.sorted()
            keys = found
        } else if try BackupKeys.areIn(backup: file) {
            notes.append("the server's keys in it were not looked at: give --passphrase-file")
        } else {
            notes.append("it has none of the server's keys: what they open is lost on another host")
        }
        let folder = try Self.makeFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let path = folder + "/hostler.db"
        // All of it: what does not open is a finding here.
        _ = try SQLiteStore.restore(from: file, to: path, atMilliseconds: manifest.createdAtMilliseconds)
        let seal = try keys["seal.key"].map { try SealingKey($0) }
        if seal == nil { notes.append("secrets were not looked at") }
        var check = RecordCheck(seal: seal)
        var secrets: [StoredValue] = []
        let inspection = try SQLiteStore.inspect(path: path) { stored in
            check.add(stored)
            guard let seal, SecretKeys.contains(stored.key), let value = SealedStore.open(stored.value, at: stored.key, with: seal) else { return }
            var opened = stored
            opened.value = value
            secrets.append(opened)
        }
        check.finish()
        counts = check.counts
        faults += inspection.faults + check.findings.map { "\($0.key): \($0.what)" }
        if check.isSealForeign { faults.append("its secrets were not sealed with that seal.key: \(counts[RecordCheck.unseen] ?? 0) do not open") }
        if seal == nil, passphrase != nil, let unseen = counts[RecordCheck.unseen] {
            faults.append("seal.key is not in it: \(unseen) secrets do not open")
        }
        try checkKeys(keys, secrets, folder, isComplete: passphrase != nil)
    }

    private mutating func checkKeys(_ keys: [String: [UInt8]], _ secrets: [StoredValue], _ folder: String, isComplete: Bool) throws {
        let passwords = secrets.filter { $0.key.hasPrefix(BMCPasswordCheck.prefix) }
        if let bytes = keys["vault.key"] {
            try KeyFile(folder + "/vault.key").make(bytes)
            let vault = try Vault(keyFile: folder + "/vault.key")
            for stored in passwords {
                do { try BMCPasswordCheck.check(stored, with: vault) } catch { faults.append("\(stored.key) does not open with vault.key: \(error)") }
            }
        } else if isComplete, !passwords.isEmpty {
            faults.append("vault.key is not in it: the passwords of \(passwords.count) BMCs do not open")
        }
        let issuers = secrets.filter { $0.key.hasPrefix(IdentityKeysCheck.prefix) }
        if let bytes = keys["identity.key"] {
            let sealing = try SealingKey(bytes)
            for stored in issuers {
                do { try IdentityKeysCheck.check(stored, with: sealing) } catch { faults.append("\(stored.key) does not open with identity.key") }
            }
        } else if isComplete, !issuers.isEmpty {
            faults.append("identity.key is not in it: the issuer's keys do not open")
        }
        if let certificate = keys["tls/ca.pem"] {
            guard let key = keys["tls/ca.key"], CertificateAuthority.isPair(certificate: certificate, key: key) else {
                return faults.append("the CA's certificate has not its key beside it")
            }
        }
    }

    /// A folder that only this user reads: what is opened in it are secrets.
    private static func makeFolder() throws -> String {
        let base = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        guard let folder = ScratchFolder.make(in: base, named: "hostler-verify-") else {
            throw Problem("file-unwritable", title: "No folder can be made in \(base)", detail: String(cString: strerror(errno)))
        }
        return folder
    }

    /// What is in no backup, for those who read of one.
    static let notInIt = "Not in a backup: images, console recordings, boot files, certificates of your own."

    var text: String {
        var lines = faults.map { "✘ \($0)" } + notes.map { "! \($0)" }
        let read = counts.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
        lines.append("taken \(takenAt), revision \(revision); readable: \(read)")
        if !files.isEmpty { lines.append("with \(files.joined(separator: ", "))") }
        lines.append(Self.notInIt)
        lines.append(faults.isEmpty ? "it restores" : "it does not restore as it should")
        return lines.joined(separator: "\n")
    }
}
