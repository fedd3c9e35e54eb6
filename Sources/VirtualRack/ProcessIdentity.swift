internal import CLinux
internal import FoundationEssentials
internal import Glibc

/// A process that a number alone does not name: pids are used again, but not
/// with the same start time.
struct ProcessIdentity: Codable, Hashable, Sendable {
    let pid: Int32
    /// Field 22 of /proc/PID/stat: clock ticks since the kernel started.
    let startTicks: UInt64

    init(pid: Int32, startTicks: UInt64) {
        self.pid = pid
        self.startTicks = startTicks
    }

    /// The process as it is now, or nil where there is none.
    init?(pid: Int32) {
        guard pid > 0, let facts = Self.facts(pid) else { return nil }
        self.init(pid: pid, startTicks: facts.startTicks)
    }

    /// From a file that `write(to:)` made.
    init?(file: String) {
        guard let data = FileManager.default.contents(atPath: file),
            let identity = try? JSONDecoder().decode(ProcessIdentity.self, from: data)
        else { return nil }
        self = identity
    }

    func write(to file: String) throws {
        try JSONEncoder().encode(self).write(to: URL(filePath: file), options: .atomic)
    }

    /// Whether any thread of it is there. Its first thread may be a zombie
    /// while others still hold its files and their locks.
    var isAlive: Bool {
        guard let facts = Self.facts(pid), facts.startTicks == startTicks else { return false }
        if facts.state != "Z", facts.state != "X" { return true }
        return ((try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task")) ?? []).count > 1
    }

    /// Ends it at once, as a cut of the power does. Harmless where it is gone.
    func kill() {
        if isAlive { _ = Glibc.kill(pid, SIGKILL) }
    }

    /// Waits at most this long for its end; for a child, collects it. True if it ended.
    func waitForEnd(atMost limit: Duration) async -> Bool {
        let deadline = ContinuousClock.now + limit
        while true {
            let ended = !isAlive
            // After the look: what had ended by then is collected now.
            _ = waitpid(pid, nil, WNOHANG)
            if ended { return true }
            if ContinuousClock.now >= deadline { return false }
            try? await Task.sleep(for: .milliseconds(10))
        }
    }

    private static func facts(_ pid: Int32) -> (state: String, startTicks: UInt64)? {
        guard let data = FileManager.default.contents(atPath: "/proc/\(pid)/stat") else { return nil }
        let text = String(decoding: data, as: UTF8.self)
        // The name, in brackets, may hold anything: what counts comes after the last one.
        guard let close = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: close)...].split(separator: " ")
        guard fields.count > 19, let start = UInt64(fields[19]) else { return nil }
        return (String(fields[0]), start)
    }
}

/// Starts programs, by way of the one thread that may fork.
enum Spawn {
    /// argv[0] is the program's absolute path.
    static func start(
        _ arguments: [String], namespace: String? = nil, logPath: String?, diesWithParent: Bool
    ) throws(LabError) -> ProcessIdentity {
        let log = logPath.map { open($0, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600) } ?? -1
        defer { if log >= 0 { close(log) } }
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
        argv.append(nil)
        defer { for pointer in argv { free(pointer) } }
        let namespaceText = namespace.flatMap { strdup($0) }
        defer { free(namespaceText) }

        let result = argv.withUnsafeMutableBufferPointer { argv in
            var request = clinux_spawn_request(
                path: argv[0], argv: argv.baseAddress, netns: namespaceText, envp: nil, log_fd: log, error_fd: -1,
                sandbox: nil, dies_with_parent: diesWithParent ? 1 : 0, new_session: 1)
            return clinux_spawn(&request)
        }
        let program = arguments.first ?? ""
        guard result > 0 else {
            throw LabError(
                result == -ENOENT ? .missingProgram : .commandFailed,
                "\(program) did not start: \(String(cString: strerror(-result)))",
                remedy: "Install it (apt install qemu-system-x86 ovmf ipxe-qemu) and run as root.")
        }
        // Unreaped, it cannot vanish before this looks.
        return ProcessIdentity(pid: result) ?? ProcessIdentity(pid: result, startTicks: 0)
    }
}
