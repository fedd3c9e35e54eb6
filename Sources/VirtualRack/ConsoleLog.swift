internal import Glibc

/// The file that a console is appended to. At 8 MiB it becomes `….1`, which
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

    private func reopen() {
        descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        sizeBytes = max(0, Int(lseek(descriptor, 0, SEEK_END)))
    }
}
