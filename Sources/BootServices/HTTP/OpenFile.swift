internal import Glibc
internal import NIOCore
internal import NIOPosix

/// Why a file could not be opened.
enum FileOpenError: Error, Equatable {
    /// There is no such file, or it is not a regular one.
    case absent
    /// The host cannot open it now (open files, memory, a disk's error): asked again, it may.
    case unavailable(errno: CInt)

    init(errno code: CInt) {
        self = [ENOENT, ENOTDIR, ENAMETOOLONG, ELOOP].contains(code) ? .absent : .unavailable(errno: code)
    }
}

/// A descriptor of a regular file, no link, for reading.
enum RegularFile {
    static func open(_ path: String) throws(FileOpenError) -> (descriptor: CInt, status: stat) {
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else { throw FileOpenError(errno: errno) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            let code = errno
            close(descriptor)
            throw FileOpenError(errno: code)
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw .absent
        }
        return (descriptor, status)
    }
}

/// A regular file opened for sending; closed with its last reference.
final class OpenFile {
    private let handle: NIOFileHandle
    let bytes: Int
    let defaultTag: String

    init(path: String) throws(FileOpenError) {
        let (descriptor, status) = try RegularFile.open(path)
        handle = NIOFileHandle(_deprecatedTakingOwnershipOfDescriptor: descriptor)
        bytes = Int(status.st_size)
        defaultTag =
            String(status.st_ino, radix: 16) + "-" + String(bytes, radix: 16) + "-"
            + String(status.st_mtim.tv_sec, radix: 16) + String(status.st_mtim.tv_nsec, radix: 16)
    }

    deinit { try? handle.close() }

    /// Part of the file for sendfile(2). The file must be kept until it is sent.
    func region(_ range: Range<Int>) -> FileRegion {
        FileRegion(fileHandle: handle, readerIndex: range.lowerBound, endIndex: range.upperBound)
    }
}
