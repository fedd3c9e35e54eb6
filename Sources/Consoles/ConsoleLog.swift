internal import Glibc

/// The file that a console is appended to. At its limit it becomes `….1`, which
/// takes the place of the one before.
final class ConsoleLog {
    static let rotateBytes = 8 << 20

    private let path: String
    private let limitBytes: Int
    private var descriptor: Int32 = -1
    private var sizeBytes = 0

    init(path: String, limitBytes: Int = ConsoleLog.rotateBytes) {
        self.path = path
        self.limitBytes = limitBytes
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// A log that cannot be written is no reason to stop a machine: it is skipped.
    func append(_ bytes: [UInt8]) {
        if descriptor < 0 { reopen() }
        guard descriptor >= 0 else { return }
        let written = write(descriptor, bytes, bytes.count)
        sizeBytes += max(0, written)
        if sizeBytes >= limitBytes {
            close(descriptor)
            descriptor = -1
            rename(path, path + ".1")
        }
    }

    /// Of both files together.
    var recordedBytes: Int {
        [path, path + ".1"].reduce(0) { sum, path in
            var facts = stat()
            return sum + (stat(path, &facts) == 0 ? Int(facts.st_size) : 0)
        }
    }

    /// The last bytes of both files together, at most `limit`; empty where there are none.
    func tail(_ limit: Int) -> [UInt8] {
        let newest = Self.tail(of: path, limit)
        return newest.count < limit ? Self.tail(of: path + ".1", limit - newest.count) + newest : newest
    }

    private static func tail(of path: String, _ limit: Int) -> [UInt8] {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return [] }
        defer { close(file) }
        let size = Int(lseek(file, 0, SEEK_END))
        guard size > 0 else { return [] }
        let wanted = min(size, limit)
        return [UInt8](unsafeUninitializedCapacity: wanted) { space, count in
            while count < wanted {
                let got = pread(file, space.baseAddress.map { $0 + count }, wanted - count, off_t(size - wanted + count))
                guard got > 0 else { return }
                count += got
            }
        }
    }

    private func reopen() {
        descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        sizeBytes = max(0, Int(lseek(descriptor, 0, SEEK_END)))
    }
}
