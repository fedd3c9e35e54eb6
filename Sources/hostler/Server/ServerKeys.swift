import FoundationEssentials
import Glibc
import Model
import Store

/// The key files of a server, which are in no backup except under a passphrase.
struct ServerKeys {
    /// What seals the record's secrets, and within them what seals the issuer's keys and the BMCs' passwords.
    static let names = ["seal.key", "identity.key", "vault.key"]
    private static let passphraseFileLimitBytes = 4096

    var stateDirectory: String

    var seal: KeyFile { KeyFile(stateDirectory + "/seal.key") }

    /// Those that there are, by name.
    func read() throws(Problem) -> [String: [UInt8]] {
        var files: [String: [UInt8]] = [:]
        for name in Self.names { files[name] = try KeyFile(stateDirectory + "/" + name).read() }
        return files
    }

    /// Puts the files of a backup into place, and answers what was there before and is kept beside them.
    func restore(_ files: [String: [UInt8]], at time: Timestamp) throws(Problem) -> [String] {
        var kept: [String] = []
        for name in Self.names {
            guard let bytes = files[name] else { continue }
            let file = KeyFile(stateDirectory + "/" + name)
            if let name = try file.replace(with: bytes, keepingAs: ".before-restore-\(time.milliseconds)") { kept.append(name) }
        }
        return kept
    }

    /// The first line of a file, without its end.
    static func passphrase(in path: String) throws(Problem) -> [UInt8] {
        func failure(_ why: String) -> Problem {
            Problem("passphrase-file", title: "The passphrase file \(path) cannot be used", detail: why)
        }
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw failure(String(cString: strerror(errno))) }
        defer { close(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: passphraseFileLimitBytes + 1)
        while bytes.count <= passphraseFileLimitBytes {
            let count = Glibc.read(file, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw failure(String(cString: strerror(errno))) }
            if count == 0 { break }
            bytes += buffer.prefix(count)
        }
        guard bytes.count <= passphraseFileLimitBytes else { throw failure("It has more than \(passphraseFileLimitBytes) bytes.") }
        let line = bytes.prefix { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") }
        guard !line.isEmpty else { throw failure("Its first line is empty.") }
        guard bytes.dropFirst(line.count).allSatisfy({ $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\r") }) else {
            throw failure("It has more than one line; what stands after the first would count for nothing.")
        }
        return Array(line)
    }
}
