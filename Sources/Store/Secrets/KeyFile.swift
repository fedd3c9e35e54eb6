internal import Glibc
public import Model

/// A file with key material that nobody but its owner may read.
public struct KeyFile: Sendable {
    public let path: String
    /// Larger than any key file of ours.
    private static let limitBytes = 64 << 10

    public init(_ path: String) { self.path = path }

    /// Its bytes; nil: there is no such file.
    public func read() throws(Problem) -> [UInt8]? {
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard file >= 0 else {
            if errno == ENOENT { return nil }
            throw failure()
        }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0 else { throw failure() }
        guard status.st_mode & S_IFMT == S_IFREG else { throw invalid("it is not a regular file") }
        guard status.st_mode & 0o077 == 0 else {
            throw Problem(
                "key-file-open", status: 500, title: "\(path) can be read by others than its owner",
                remedy: "chmod 600 \(path); if others had access to this host, what it seals is known to them.")
        }
        guard status.st_size <= Self.limitBytes else { throw invalid("it has \(status.st_size) bytes") }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while bytes.count <= Self.limitBytes {
            let count = Glibc.read(file, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw failure() }
            if count == 0 { return bytes }
            bytes += buffer.prefix(count)
        }
        throw invalid("it is too long")
    }

    /// Writes a file that is not there yet, with mode 0600: whole and durable, or not at all.
    public func make(_ bytes: [UInt8]) throws(Problem) {
        let temporary = "\(path).\(getpid()).tmp"
        unlink(temporary)
        let file = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard file >= 0 else { throw failure() }
        defer { unlink(temporary) }
        let isWritten = Glibc.write(file, bytes, bytes.count) == bytes.count && fsync(file) == 0
        close(file)
        // Not renamed: a key that somebody else has made meanwhile is not replaced.
        guard isWritten, link(temporary, path) == 0 else { throw failure() }
        do { try StoreFile.sync(StoreFile.parent(of: path)) } catch { throw failure() }
    }

    /// Puts these bytes into the file; what it had before, if that was anything else, is kept beside it, under the name
    /// that is returned.
    public func replace(with bytes: [UInt8], keepingAs suffix: String) throws(Problem) -> String? {
        guard let old = try read() else {
            try make(bytes)
            return nil
        }
        if old == bytes { return nil }
        let kept = path + suffix
        guard rename(path, kept) == 0 else { throw failure() }
        try make(bytes)
        return kept
    }

    /// The sealing key that is its content; nil: there is no such file.
    public func sealingKey() throws(Problem) -> SealingKey? {
        guard let bytes = try read() else { return nil }
        guard bytes.count == SealingKey.byteCount else { throw invalid("it has \(bytes.count) bytes, not \(SealingKey.byteCount)") }
        return try SealingKey(bytes)
    }

    private func invalid(_ why: String) -> Problem {
        Problem(
            "key-file-invalid", status: 500, title: "\(path) is not a key file", detail: why,
            remedy: "Put it back from where you keep a copy of it: a backup with a passphrase has one.")
    }

    private func failure() -> Problem {
        Problem("key-file", status: 500, title: "The key file \(path) cannot be used", detail: String(cString: strerror(errno)))
    }
}
