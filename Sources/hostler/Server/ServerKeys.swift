import FoundationEssentials
import Glibc
import Model
import Store

/// The files of a server beside its record that a new host needs too. They are in no backup except under a passphrase.
struct ServerKeys {
    /// What seals the record's secrets, and within them what seals the issuer's keys and the BMCs' passwords.
    static let names = ["seal.key", "identity.key", "vault.key"]
    /// The CA that clients trust; the key before the certificate, as a CA's certificate is never there without its key.
    static let authority = ["tls/ca.key", "tls/ca.pem"]
    /// The server's configuration: in a backup for a person to compare, and not put in place.
    static let configuration = "hostler.yaml"
    private static let fileLimitBytes = 256 << 10
    private static let passphraseFileLimitBytes = 4096

    var stateDirectory: String

    var seal: KeyFile { KeyFile(stateDirectory + "/seal.key") }

    /// Those that there are, by name.
    func read() throws(Problem) -> [String: [UInt8]] {
        var files: [String: [UInt8]] = [:]
        for name in Self.names { files[name] = try KeyFile(stateDirectory + "/" + name).read() }
        return files
    }

    /// All that goes into a backup under a passphrase: the key files, the CA, and the configuration at `path`.
    func readAll(configuration path: String?) throws(Problem) -> [String: [UInt8]] {
        var files = try read()
        for name in Self.authority { files[name] = Self.content(of: stateDirectory + "/" + name) }
        files[Self.configuration] = path.flatMap(Self.content)
        return files
    }

    /// What there is on this host, or may be, and is not among the files of a backup.
    func missing(from files: [String]) -> [String] {
        (Self.names + Self.authority).filter { !files.contains($0) }.compactMap { name in
            var found = stat()
            if lstat(stateDirectory + "/" + name, &found) != 0, errno == ENOENT || errno == ENOTDIR { return nil }
            return "\(name) is in \(stateDirectory) and not in the backup: it could not be read"
        }
    }

    /// Of a file that is no larger than one of ours can be.
    private static func content(of path: String) -> [UInt8]? {
        guard let data = FileManager.default.contents(atPath: path), data.count <= fileLimitBytes else { return nil }
        return Array(data)
    }

    /// Puts the files of a backup into place, and answers what was there before and is kept beside them.
    func restore(_ files: [String: [UInt8]], at time: Timestamp) throws(Problem) -> [String] {
        var kept: [String] = []
        for name in Self.names + Self.authority {
            guard let bytes = files[name] else { continue }
            if name.hasPrefix("tls/"), mkdir(stateDirectory + "/tls", 0o700) != 0, errno != EEXIST {
                throw Problem("key-file", status: 500, title: "\(stateDirectory)/tls cannot be made", detail: String(cString: strerror(errno)))
            }
            let file = KeyFile(stateDirectory + "/" + name)
            if let name = try file.replace(with: bytes, keepingAs: ".before-restore-\(time.milliseconds)") { kept.append(name) }
        }
        return kept
    }

    /// Puts the configuration of a backup beside the state, for a person; answers where.
    func keep(_ files: [String: [UInt8]], at time: Timestamp) throws(Problem) -> String? {
        guard let bytes = files[Self.configuration] else { return nil }
        let path = "\(stateDirectory)/\(Self.configuration).from-backup-\(time.milliseconds)"
        try KeyFile(path).make(bytes)
        return path
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
