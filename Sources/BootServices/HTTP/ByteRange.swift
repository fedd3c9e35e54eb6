internal import Glibc
internal import NIOCore
internal import NIOPosix

/// A single byte range of a request (RFC 9110 §14.1.2). Several ranges in one
/// request are answered with the whole, which that section allows.
enum ByteRange: Equatable {
    case whole
    case range(Range<Int>)
    case unsatisfiable

    static func parse(_ header: String?, of bytes: Int) -> ByteRange {
        guard let header, header.hasPrefix("bytes="), !header.contains(",") else { return .whole }
        let parts = header.dropFirst(6).split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2 else { return .whole }
        if parts[0].isEmpty {
            guard let suffix = Int(parts[1]), suffix >= 0 else { return .whole }
            return suffix == 0 || bytes == 0 ? .unsatisfiable : .range(max(0, bytes - suffix)..<bytes)
        }
        guard let first = Int(parts[0]), first >= 0 else { return .whole }
        guard parts[1].isEmpty || (Int(parts[1]).map { $0 >= first } ?? false) else { return .whole }
        guard first < bytes else { return .unsatisfiable }
        let last = min(Int(parts[1]) ?? bytes - 1, bytes - 1)
        return .range(first..<last + 1)
    }
}

/// A regular file opened for sending; closed with its last reference.
final class OpenFile {
    private let handle: NIOFileHandle
    let bytes: Int
    let defaultTag: String

    init?(path: String) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { return nil }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            return nil
        }
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
