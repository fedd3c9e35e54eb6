internal import Glibc
internal import Model

/// An open file, read and written at offsets; closed when it is let go.
final class DiskFile: Sendable {
    // `<unistd.h>` has these for _GNU_SOURCE only, so Glibc's module lacks them.
    private static let seekData: Int32 = 3
    private static let seekHole: Int32 = 4

    let descriptor: Int32
    let path: String

    /// How a file is opened.
    enum Mode {
        case read
        /// Made anew: an error where it exists.
        case create
        case readWrite
    }

    init(_ path: String, _ mode: Mode) throws(Problem) {
        let flags =
            switch mode {
            case .read: O_RDONLY
            case .create: O_RDWR | O_CREAT | O_EXCL
            case .readWrite: O_RDWR | O_CREAT
            }
        descriptor = open(path, flags | O_CLOEXEC, 0o644)
        self.path = path
        guard descriptor >= 0 else { throw .file("open", path, errno) }
    }

    deinit { close(descriptor) }

    func byteCount() throws(Problem) -> UInt64 {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .file("stat", path, errno) }
        return UInt64(status.st_size)
    }

    /// Whether it is a regular file, not a directory, pipe or device.
    func isRegular() -> Bool {
        var status = stat()
        return fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }

    /// Fills `buffer` from `offset` on; fewer bytes only at the end of the file.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(Problem) -> Int {
        var done = 0
        while done < buffer.count {
            let count = pread(
                descriptor, buffer.baseAddress?.advanced(by: done), buffer.count - done, Int(offset) + done)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw .file("read", path, errno) }
            if count == 0 { break }
            done += count
        }
        return done
    }

    func read(_ count: Int, at offset: UInt64) throws(Problem) -> [UInt8] {
        var result: Result<Int, Problem> = .success(0)
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, used in
            do throws(Problem) {
                used = try read(into: UnsafeMutableRawBufferPointer(buffer), at: offset)
            } catch {
                result = .failure(error)
            }
        }
        _ = try result.get()
        return bytes
    }

    func write(_ bytes: [UInt8], at offset: UInt64) throws(Problem) {
        var failure: Int32 = 0
        bytes.withUnsafeBytes { buffer in
            var done = 0
            while done < buffer.count {
                let count = pwrite(
                    descriptor, buffer.baseAddress?.advanced(by: done), buffer.count - done, Int(offset) + done)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else {
                    failure = errno
                    return
                }
                done += count
            }
        }
        guard failure == 0 else { throw .file("write", path, failure) }
    }

    func synchronize() throws(Problem) {
        guard fsync(descriptor) == 0 else { throw .file("sync", path, errno) }
    }

    /// The next stretch of data at or after `offset`, nil where only a hole follows.
    /// A file system that knows no holes says that all is data.
    func nextData(after offset: UInt64, end: UInt64) -> Range<UInt64>? {
        let start = lseek(descriptor, Int(offset), Self.seekData)
        if start < 0 { return errno == ENXIO ? nil : offset..<end }
        let stop = lseek(descriptor, start, Self.seekHole)
        return UInt64(start)..<(stop < 0 ? end : UInt64(stop))
    }

    /// Takes the advisory lock of the whole file; with `wait` false, says whether it was free.
    @discardableResult
    func lock(wait: Bool = true) -> Bool {
        while flock(descriptor, LOCK_EX | (wait ? 0 : LOCK_NB)) != 0 {
            guard errno == EINTR else { return false }
        }
        return true
    }
}

/// Names in the file system.
enum Directory {
    static func make(_ path: String) throws(Problem) {
        guard mkdir(path, 0o755) == 0 || errno == EEXIST else { throw .file("make", path, errno) }
    }

    static func synchronize(_ path: String) throws(Problem) { try DiskFile(path, .read).synchronize() }

    static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    static func rename(_ from: String, to: String) throws(Problem) {
        guard Glibc.rename(from, to) == 0 else { throw .file("rename", from, errno) }
    }

    static func remove(_ path: String) throws(Problem) {
        guard unlink(path) == 0 || errno == ENOENT else { throw .file("remove", path, errno) }
    }

    static func names(in path: String) throws(Problem) -> [String] {
        guard let directory = opendir(path) else { throw .file("list", path, errno) }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }
}

extension Problem {
    static func file(_ verb: String, _ path: String, _ number: Int32) -> Problem {
        let reason = String(cString: strerror(number))
        let isFull = number == ENOSPC || number == EDQUOT
        return Problem(
            isFull ? "disk-full" : "image-file-error", status: number == ENOENT ? 404 : 500,
            title: "Could not \(verb) \(path)", detail: reason,
            remedy: isFull ? "Free some space on that file system and try again." : nil)
    }
}
