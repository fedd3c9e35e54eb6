internal import Glibc

/// The few file operations of the store that must be exact about modes and syncing.
enum StoreFile {
    /// Makes `path` and what is missing above it, each with mode 0700; leaves
    /// directories that exist as they are.
    static func makeDirectory(_ path: String) throws(StoreError) {
        guard !path.isEmpty, path != "/", !exists(path) else { return }
        try makeDirectory(parent(of: path))
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw failure("cannot make the directory \(path)") }
    }

    static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// Makes an empty file if there is none; its mode is 0600 afterwards either way.
    static func makePrivate(_ path: String) throws(StoreError) {
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw failure("cannot open \(path)") }
        defer { _ = Glibc.close(file) }
        guard fchmod(file, 0o600) == 0 else { throw failure("cannot set the mode of \(path)") }
    }

    static func remove(_ path: String) { _ = unlink(path) }

    static func rename(_ from: String, to: String) throws(StoreError) {
        guard Glibc.rename(from, to) == 0 else { throw failure("cannot rename \(from) to \(to)") }
    }

    static func link(_ from: String, to: String) throws(StoreError) {
        guard Glibc.link(from, to) == 0 else { throw failure("cannot keep \(from) as \(to)") }
    }

    /// Makes what was written to a file, or the names in a directory, durable.
    static func sync(_ path: String) throws(StoreError) {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw failure("cannot open \(path)") }
        defer { _ = Glibc.close(file) }
        guard fsync(file) == 0 else { throw failure("cannot sync \(path)") }
    }

    /// Whether both names are the same file.
    static func isSame(_ left: String, _ right: String) -> Bool {
        var first = stat()
        var second = stat()
        guard stat(left, &first) == 0, stat(right, &second) == 0 else { return false }
        return first.st_dev == second.st_dev && first.st_ino == second.st_ino
    }

    /// Whether there is something at `path`, itself no link, that is not a regular file.
    static func isSpecial(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0 && status.st_mode & S_IFMT != S_IFREG
    }

    /// Copies a file to a new one of mode 0600.
    static func copy(_ from: String, to: String) throws(StoreError) {
        // A named pipe would be waited for.
        let source = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard source >= 0 else { throw failure("cannot open \(from)") }
        defer { _ = Glibc.close(source) }
        var status = stat()
        guard fstat(source, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw .foreign("\(from) is not a regular file")
        }
        remove(to)
        let target = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard target >= 0 else { throw failure("cannot make \(to)") }
        defer { _ = Glibc.close(target) }
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = read(source, &buffer, buffer.count)
            guard count >= 0 else { throw failure("cannot read \(from)") }
            if count == 0 { return }
            var offset = 0
            while offset < count {
                let written = buffer.withUnsafeBytes { bytes in
                    write(target, bytes.baseAddress.map { $0 + offset }, count - offset)
                }
                guard written > 0 else { throw failure("cannot write \(to)") }
                offset += written
            }
        }
    }

    /// The bytes that are free for the file's owner on the disk of `path`.
    static func freeBytes(at path: String) -> UInt64? {
        var status = statvfs()
        guard statvfs(path, &status) == 0 else { return nil }
        return UInt64(status.f_bavail) * UInt64(status.f_frsize)
    }

    static func failure(_ what: String) -> StoreError {
        let number = errno
        let reason = "\(what): \(strerror(number).map { String(cString: $0) } ?? "error \(number)")"
        return number == ENOSPC || number == EDQUOT ? .diskFull(reason) : .unavailable(reason)
    }
}

/// An exclusive lock on a store's files, which ends with the process however it ends.
struct StoreLock: ~Copyable, Sendable {
    private let file: Int32

    init(storePath: String) throws(StoreError) {
        let path = storePath + ".lock"
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else {
            throw .unavailable("cannot open \(path): \(strerror(errno).map { String(cString: $0) } ?? "")")
        }
        guard flock(file, LOCK_EX | LOCK_NB) == 0 else {
            var buffer = [UInt8](repeating: 0, count: 32)
            let count = max(read(file, &buffer, buffer.count), 0)
            _ = Glibc.close(file)
            let holder = String(decoding: buffer[..<count].prefix { $0 != 0x0a }, as: UTF8.self)
            throw .inUse("\(storePath) is open in process \(holder.isEmpty ? "unknown" : holder)")
        }
        let text = Array("\(getpid())\n".utf8)
        _ = ftruncate(file, 0)
        _ = pwrite(file, text, text.count, 0)
        self.file = file
    }

    deinit { _ = Glibc.close(file) }
}
