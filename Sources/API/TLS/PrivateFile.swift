internal import Glibc

/// Files that only their owner may read.
public enum PrivateFile {
    public struct Failure: Error, CustomStringConvertible {
        public var path: String
        public var description: String
    }

    /// Writes the whole file with mode 0600, or leaves the old one: it is written
    /// beside its place, synced, and renamed.
    public static func write(_ bytes: [UInt8], to path: String) throws(Failure) {
        let temporary = "\(path).\(getpid()).tmp"
        let file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard file >= 0 else { throw failure(path) }
        do throws(Failure) {
            defer { close(file) }
            guard fchmod(file, 0o600) == 0 else { throw failure(path) }
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = rest.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
                if count < 0 {
                    if errno == EINTR { continue }
                    throw failure(path)
                }
                rest = rest.dropFirst(count)
            }
            guard fsync(file) == 0, rename(temporary, path) == 0 else { throw failure(path) }
        } catch {
            unlink(temporary)
            throw error
        }
    }

    /// Makes the directory and its parents; the last one with mode 0700.
    public static func makeDirectory(_ path: String) throws(Failure) {
        var prefix = ""
        let parts = path.split(separator: "/")
        for (index, part) in parts.enumerated() {
            prefix += (prefix.isEmpty && !path.hasPrefix("/") ? "" : "/") + part
            guard mkdir(prefix, index == parts.count - 1 ? 0o700 : 0o755) == 0 || errno == EEXIST else {
                throw failure(prefix)
            }
        }
    }

    private static func failure(_ path: String) -> Failure {
        Failure(path: path, description: "\(path): \(String(cString: strerror(errno)))")
    }
}
