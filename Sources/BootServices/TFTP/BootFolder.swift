internal import Glibc
internal import NIOCore
internal import NetBoot
internal import Synchronization

/// The files of one folder by TFTP: those directly in it, no links, no subfolders. All transfers of a file share one
/// descriptor: a read request, which anybody can send in anybody's name, costs none.
final class BootFolder: TFTPFileSource {
    let path: String
    private let opened = Mutex<[String: Weak]>([:])

    private struct Weak { weak let file: ReadOnlyFile? }

    init(path: String) { self.path = path }

    func has(_ name: String) -> Bool { access(path + "/" + name, R_OK) == 0 }

    func open(_ name: String, from client: SocketAddress) async throws -> TFTPFile {
        guard !name.contains("/") else { throw TFTPFileError.notFound(name) }
        let file: ReadOnlyFile
        do throws(FileOpenError) {
            file = try share(name)
        } catch .absent {
            throw TFTPFileError.notFound(name)
        }
        return TFTPFile(bytes: file.bytes) { range, buffer in
            let count = Int(range.upperBound - range.lowerBound)
            let got = buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { space in
                max(0, pread(file.descriptor, space.baseAddress, count, off_t(range.lowerBound)))
            }
            guard got == count else { throw TFTPFileError(code: .notDefined, message: "the file cannot be read") }
        }
    }

    private func share(_ name: String) throws(FileOpenError) -> ReadOnlyFile {
        var status = stat()
        guard lstat(path + "/" + name, &status) == 0 else { throw FileOpenError(errno: errno) }
        let identity = FileIdentity(status)
        if let file = opened.withLock({ $0[name]?.file }), file.identity == identity { return file }
        let file = try ReadOnlyFile(path: path + "/" + name)
        opened.withLock { opened in
            opened = opened.filter { $0.value.file != nil }
            opened[name] = Weak(file: file)
        }
        return file
    }
}

/// Tells whether a path still leads to the same content.
private struct FileIdentity: Equatable {
    let device: UInt64
    let node: UInt64
    let bytes: Int64
    let seconds: Int64
    let nanoseconds: Int64

    init(_ status: stat) {
        device = UInt64(status.st_dev)
        node = UInt64(status.st_ino)
        bytes = Int64(status.st_size)
        seconds = Int64(status.st_mtim.tv_sec)
        nanoseconds = Int64(status.st_mtim.tv_nsec)
    }
}

/// A regular file that is read by position; closed with its last reference.
private final class ReadOnlyFile: Sendable {
    let descriptor: CInt
    let bytes: UInt64
    let identity: FileIdentity

    init(path: String) throws(FileOpenError) {
        let (descriptor, status) = try RegularFile.open(path)
        self.descriptor = descriptor
        bytes = UInt64(status.st_size)
        identity = FileIdentity(status)
    }

    deinit { close(descriptor) }
}
