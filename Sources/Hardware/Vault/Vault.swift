internal import Crypto
internal import FoundationEssentials
internal import Glibc
internal import Model
internal import Synchronization
internal import Wire

/// Encrypts what must not rest readable in the database, with AES-256-GCM. The keys are in a file beside it that
/// only its owner may read; a copy of the database alone opens nothing.
///
/// Each secret is bound to what it belongs to (`context`, authenticated): moved to another record, it does not open.
/// The file has one key a line, `NAME HEX`; the last one seals, all open.
public final class Vault: Sendable {
    private struct Key {
        var name: String
        var key: SymmetricKey
    }
    private let path: String
    private let keys: Mutex<[Key]>

    /// A key file of more is not ours.
    static let fileLimitBytes = 64 << 10

    /// Reads the key file, or makes one with mode 0600.
    public init(keyFile path: String) throws {
        self.path = path
        let text = try Self.read(path)
        var keys = try text.map(Self.parse) ?? []
        if keys.isEmpty {
            keys = [Key(name: "k1", key: SymmetricKey(size: .bits256))]
            try Self.write(Self.text(keys), to: path)
        }
        self.keys = Mutex(keys)
    }

    /// `v1.KEY.HEX`: nonce, ciphertext and tag, readable by whoever has the key of that name.
    public func seal(_ secret: String, context: String) throws -> String {
        guard let key = keys.withLock({ $0.last }) else { throw Self.missing("none", path) }
        let box = try AES.GCM.seal(Data(secret.utf8), using: key.key, authenticating: Data(context.utf8))
        guard let bytes = box.combined else { throw Self.broken }
        return "v1.\(key.name).\(Hex.encode(bytes))"
    }

    /// Throws `vault-key-missing` where the key is not in the file, `vault-broken` where the secret was changed
    /// or belongs to something else.
    public func open(_ sealed: String, context: String) throws -> String {
        let parts = sealed.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 3, parts[0] == "v1", let bytes = Hex.decode(parts[2]) else { throw Self.broken }
        guard let key = keys.withLock({ $0.last { $0.name == parts[1] } }) else { throw Self.missing(parts[1], path) }
        guard let box = try? AES.GCM.SealedBox(combined: Data(bytes)),
            let plain = try? AES.GCM.open(box, using: key.key, authenticating: Data(context.utf8))
        else { throw Self.broken }
        return String(decoding: plain, as: UTF8.self)
    }

    /// Adds a key that seals from now on; what older ones sealed still opens. Durable when it returns.
    public func rotate() throws {
        try keys.withLock { keys in
            let next = keys + [Key(name: "k\(keys.count + 1)", key: SymmetricKey(size: .bits256))]
            try Self.write(Self.text(next), to: path)
            keys = next
        }
    }

    /// Whether the newest key sealed it.
    public func isCurrent(_ sealed: String) -> Bool {
        keys.withLock { $0.last.map { sealed.hasPrefix("v1.\($0.name).") } ?? false }
    }

    // MARK: The file

    private static func parse(_ text: String) throws -> [Key] {
        try text.split(separator: "\n").filter { !$0.hasPrefix("#") }.map { line in
            let parts = line.split(separator: " ").map(String.init)
            guard parts.count == 2, let bytes = Hex.decode(parts[1]), bytes.count == 32 else {
                throw Problem(
                    "vault-file-invalid", status: 500, title: "The key file of the vault cannot be read", detail: "a line is not “NAME HEX”",
                    remedy: "Put it back from the backup of the state directory; without it BMC passwords must be given anew.")
            }
            return Key(name: parts[0], key: SymmetricKey(data: bytes))
        }
    }

    private static func text(_ keys: [Key]) -> String {
        "# Opens the BMC passwords in the database. Back it up apart from the database.\n"
            + keys.map { "\($0.name) \($0.key.withUnsafeBytes { Hex.encode($0) })\n" }.joined()
    }

    /// Nil where there is no file.
    private static func read(_ path: String) throws -> String? {
        let file = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard file >= 0 else {
            if errno == ENOENT { return nil }
            throw failure(path)
        }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0 else { throw failure(path) }
        guard status.st_mode & 0o077 == 0 else {
            throw Problem(
                "vault-file-open", status: 500, title: "\(path) can be read by others than its owner",
                remedy: "chmod 600 \(path); if others had access to this host, give the BMCs new passwords: hostler bmc rotate")
        }
        var bytes = [UInt8](repeating: 0, count: fileLimitBytes)
        let count = Glibc.read(file, &bytes, bytes.count)
        guard count >= 0 else { throw failure(path) }
        return String(decoding: bytes.prefix(count), as: UTF8.self)
    }

    /// Whole or not at all: beside its place, synced, renamed, and the folder synced.
    private static func write(_ text: String, to path: String) throws {
        let temporary = "\(path).\(getpid()).tmp"
        let file = Glibc.open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard file >= 0 else { throw failure(path) }
        let bytes = Array(text.utf8)
        let isWritten = Glibc.write(file, bytes, bytes.count) == bytes.count && fsync(file) == 0
        close(file)
        guard isWritten, rename(temporary, path) == 0 else {
            unlink(temporary)
            throw failure(path)
        }
        let folder = Glibc.open(String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]) + "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if folder >= 0 {
            fsync(folder)
            close(folder)
        }
    }

    private static func failure(_ path: String) -> Problem {
        Problem("vault-file", status: 500, title: "The key file \(path) cannot be used", detail: String(cString: strerror(errno)))
    }
    private static func missing(_ name: String, _ path: String) -> Problem {
        Problem(
            "vault-key-missing", status: 500, title: "The key “\(name)” that sealed this password is not in \(path)",
            remedy: "Put the key file back from its backup, or give the BMC's password anew.")
    }
    private static let broken = Problem(
        "vault-broken", status: 500, title: "A stored password does not open", detail: "it was changed, or belongs to another record",
        remedy: "Give the BMC's password anew.")
}
