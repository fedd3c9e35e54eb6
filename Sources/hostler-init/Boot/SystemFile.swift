internal import Glibc

/// A system call that failed.
struct SystemError: Error, CustomStringConvertible {
    let doing: String
    let code: Int32

    /// From a call that set `errno`.
    init(_ doing: String, errno code: Int32 = errno) {
        self.doing = doing
        self.code = code
    }

    var description: String { "\(doing): \(String(cString: strerror(code)))" }

    /// Passes a count on, and throws where a function of ours gave a negated errno.
    @discardableResult
    static func check<Count: SignedInteger>(_ result: Count, _ doing: @autoclosure () -> String) throws(SystemError) -> Count {
        guard result < 0 else { return result }
        throw SystemError(doing(), errno: Int32(-result))
    }
}

/// Small files of /proc, /sys and the ramdisk.
enum SystemFile {
    /// The whole file, at most `limit` bytes; nil where it cannot be read.
    static func bytes(_ path: String, limit: Int = 16 << 20) -> [UInt8]? {
        let fd = open(path, O_RDONLY | O_CLOEXEC)
        guard fd >= 0 else { return nil }
        defer { close(fd) }
        var all: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 65_536)
        while all.count < limit {
            let wanted = min(piece.count, limit - all.count)
            let count = read(fd, &piece, wanted)
            guard count >= 0 else { return nil }
            if count == 0 { break }
            all += piece[..<count]
        }
        return all
    }

    static func text(_ path: String) -> String? { bytes(path).map { String(decoding: $0, as: UTF8.self) } }

    /// A sysfs attribute: its text without the line's end; nil where there is none or it is empty.
    static func attribute(_ path: String) -> String? {
        guard let text = text(path) else { return nil }
        let trimmed = text.split(whereSeparator: \.isNewline).first.map(String.init) ?? ""
        return trimmed.isEmpty ? nil : trimmed
    }

    /// Names in a folder, sorted; empty where there is none.
    static func names(in path: String) -> [String] {
        guard let folder = opendir(path) else { return [] }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { raw in
                String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// Where a symbolic link leads, as it is written.
    static func link(_ path: String) -> String? {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink(path, &buffer, buffer.count)
        return count > 0 ? String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self) : nil
    }

    /// The last part of where a link leads: a device's driver, for one.
    static func linkName(_ path: String) -> String? { link(path)?.split(separator: "/").last.map(String.init) }

    /// Replaces a file as a whole, by one `write`.
    static func write(_ path: String, _ bytes: [UInt8], mode: mode_t = 0o600) throws(SystemError) {
        let fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
        guard fd >= 0 else { throw SystemError("open \(path)") }
        defer { close(fd) }
        guard Glibc.write(fd, bytes, bytes.count) == bytes.count else { throw SystemError("write \(path)") }
    }

    static func write(_ path: String, _ text: String) throws(SystemError) { try write(path, Array(text.utf8)) }

    static func writeAll(_ fd: Int32, _ text: String) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { bytes in bytes.baseAddress.map { Glibc.write(fd, $0, bytes.count) } ?? 0 }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }
}

/// Calls `body` with a NULL-terminated vector of C strings.
func withCStrings<Result>(_ texts: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> Result) -> Result {
    let copies = texts.map { strdup($0) }
    defer { for copy in copies { free(copy) } }
    return body(copies + [nil])
}
