internal import Glibc
internal import NIOCore
internal import NetBoot

/// The files of one folder by TFTP: those directly in it, no links, no subfolders.
struct BootFolder: TFTPFileSource {
    let path: String

    func has(_ name: String) -> Bool { access(path + "/" + name, R_OK) == 0 }

    func open(_ name: String, from client: SocketAddress) async throws -> TFTPFile {
        guard !name.contains("/"), let file = ReadOnlyFile(path: path + "/" + name) else {
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
}

/// A regular file that is read by position; closed with its last reference.
private final class ReadOnlyFile: Sendable {
    let descriptor: CInt
    let bytes: UInt64

    init?(path: String) {
        descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { return nil }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            return nil
        }
        bytes = UInt64(status.st_size)
    }

    deinit { if descriptor >= 0 { close(descriptor) } }
}
