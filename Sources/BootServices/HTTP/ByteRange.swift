internal import Glibc
internal import NIOCore
internal import NIOPosix
internal import Wire

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
        defaultTag = String(status.st_ino, radix: 16) + "-" + String(bytes, radix: 16) + "-"
            + String(status.st_mtim.tv_sec, radix: 16) + String(status.st_mtim.tv_nsec, radix: 16)
    }

    deinit { try? handle.close() }

    /// Part of the file for sendfile(2). The file must be kept until it is sent.
    func region(_ range: Range<Int>) -> FileRegion {
        FileRegion(fileHandle: handle, readerIndex: range.lowerBound, endIndex: range.upperBound)
    }
}

/// Percent-encoded text of queries and forms (WHATWG URL §5.1).
enum FormText {
    static func decode(_ text: some StringProtocol) -> String {
        var bytes: [UInt8] = []
        var input = Array(text.utf8)[...]
        while let byte = input.popFirst() {
            if byte == UInt8(ascii: "%"), input.count >= 2,
                let value = Hex.decode(String(decoding: input.prefix(2), as: UTF8.self))
            {
                bytes += value
                input = input.dropFirst(2)
            } else {
                bytes.append(byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    static func pairs(_ body: [UInt8]) -> [String: String] {
        var pairs: [String: String] = [:]
        for pair in String(decoding: body, as: UTF8.self).split(separator: "&").prefix(64) {
            let parts = pair.split(separator: "=", maxSplits: 1)
            pairs[decode(parts[0])] = parts.count > 1 ? decode(parts[1]) : ""
        }
        return pairs
    }
}
