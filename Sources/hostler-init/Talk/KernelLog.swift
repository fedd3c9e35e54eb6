internal import CLinux
internal import Glibc
internal import Model

/// The kernel's messages of warning level and above, from /dev/kmsg.
///
/// They are on the console already; here they go to the control plane.
struct KernelLog: ~Copyable {
    private let fd: Int32

    init() { fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC) }
    deinit { if fd >= 0 { close(fd) } }

    /// Hands what is new to `log`; never waits.
    func pass(to log: AgentLog) {
        guard fd >= 0 else { return }
        var record = [UInt8](repeating: 0, count: 8192)
        for _ in 0..<1000 {
            let count = read(fd, &record, record.count)
            // EPIPE: older records were overwritten, and the next read goes on with what is left.
            if count < 0, errno == EPIPE { continue }
            guard count > 0 else { return }
            if let line = Self.warning(String(decoding: record[..<count], as: UTF8.self)) { log.append(line) }
        }
    }

    /// Reads `priority,sequence,microseconds,flags;text` (Documentation/ABI/testing/dev-kmsg);
    /// nil for what is less than a warning.
    static func warning(_ record: String) -> LogBatch.Line? {
        guard let semicolon = record.firstIndex(of: ";") else { return nil }
        let fields = record[..<semicolon].split(separator: ",", omittingEmptySubsequences: false)
        guard fields.count >= 3, let priority = Int(fields[0]), priority >> 3 == 0, priority & 7 <= 4,
            let microseconds = Int64(fields[2])
        else { return nil }
        // A message of several lines has its line ends escaped; a second line of the record is its dictionary.
        let text = record[record.index(after: semicolon)...].prefix { !$0.isNewline }.prefix { $0 != "\\" }
        return LogBatch.Line(uptimeMilliseconds: microseconds / 1000, text: "kernel: \(text.prefix(AgentLog.lineBytes))")
    }
}
