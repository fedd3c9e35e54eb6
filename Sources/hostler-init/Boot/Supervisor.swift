internal import CLinux
internal import Glibc

/// Process 1: starts the agent, reaps what ends, and starts the agent again when it crashed.
///
/// It does nothing else, so that there is nothing in it that could crash: the
/// kernel panics when process 1 ends.
struct Supervisor {
    /// Where the new agent finds how the old one ended.
    static let crashPath = "/run/hostler/crash"
    /// So many crashes in a row, each within a minute of its start, and a person must look.
    private static let crashLimit = 8
    private static let tailBytes = 8192
    private static let calmMilliseconds: Int64 = 60_000

    func run() -> Never {
        mkdir("/run/hostler", 0o700)
        agent_catch_ctrl_alt_del()
        let signals = agent_signal_fd()
        var crashes = 0
        while true {
            let begun = agent_uptime_milliseconds()
            let end = runAgent(signals: signals)
            if agent_uptime_milliseconds() - begun > Self.calmMilliseconds { crashes = 0 }
            crashes += 1
            say("the agent ended (\(end.how)); crash \(crashes) in a row")
            remember(end)
            if crashes >= Self.crashLimit { giveUp(end, signals: signals) }
            pause(milliseconds: min(30_000, 500 << min(6, crashes - 1)), signals: signals)
        }
    }

    private struct End {
        var how: String
        /// The last of what it wrote to its standard error.
        var tail: [UInt8] = []
    }

    private func runAgent(signals: Int32) -> End {
        var pipes: [Int32] = [-1, -1]
        let failure = agent_pipe(&pipes)
        guard failure == 0 else { return End(how: "no pipe: \(String(cString: strerror(-failure)))") }
        let (reading, writing) = (pipes[0], pipes[1])
        defer { close(reading) }
        let pid = withCStrings(["hostler-init", "agent"]) { arguments in
            withCStrings(["PATH=/bin:/sbin:/usr/bin:/usr/sbin", "HOME=/root", "TERM=linux", "SWIFT_BACKTRACE=enable=no"]) {
                agent_spawn("/proc/self/exe", arguments, $0, writing)
            }
        }
        close(writing)
        guard pid > 0 else { return End(how: "it could not be started: \(String(cString: strerror(-pid)))") }
        var end = End(how: "")
        var ended = false
        while !ended {
            var waits = [
                pollfd(fd: reading, events: Int16(POLLIN), revents: 0),
                pollfd(fd: signals, events: Int16(POLLIN), revents: 0),
            ]
            poll(&waits, 2, 1000)
            if waits[0].revents != 0 { pass(reading, &end) }
            obey(signals)
            while let child = reap() {
                guard child.pid == pid else { continue }
                end.how = child.how
                ended = true
            }
        }
        // Its children may hold the pipe open: take only what is there.
        var rest = pollfd(fd: reading, events: Int16(POLLIN), revents: 0)
        while poll(&rest, 1, 0) > 0, rest.revents & Int16(POLLIN) != 0, pass(reading, &end) {}
        return end
    }

    /// From the agent's standard error to the console; keeps the tail. False at the end.
    @discardableResult
    private func pass(_ reading: Int32, _ end: inout End) -> Bool {
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = read(reading, &bytes, bytes.count)
        guard count > 0 else {
            // The agent closed it: do not spin until the agent itself ends.
            if count == 0 { usleep(100_000) }
            return false
        }
        _ = bytes.withUnsafeBytes { Glibc.write(2, $0.baseAddress, count) }
        end.tail += bytes[..<count]
        if end.tail.count > Self.tailBytes { end.tail.removeFirst(end.tail.count - Self.tailBytes) }
        return true
    }

    private func reap() -> (pid: pid_t, how: String)? {
        var code: Int32 = 0
        var signal: Int32 = 0
        let pid = agent_reap(-1, false, &code, &signal)
        guard pid > 0 else { return nil }
        return (pid, signal == 0 ? "exit code \(code)" : "signal \(signal), \(String(cString: strsignal(signal)))")
    }

    /// SIGTERM and ctrl-alt-del (SIGINT) restart the machine, SIGUSR2 turns it off.
    private func obey(_ signals: Int32) {
        while true {
            switch agent_next_signal(signals) {
            case 0: return
            case SIGTERM, SIGINT:
                say("restarting on request")
                agent_restart(AGENT_RESTART)
            case SIGUSR2:
                say("turning off on request")
                agent_restart(AGENT_POWER_OFF)
            default: continue
            }
        }
    }

    private func pause(milliseconds: Int, signals: Int32) {
        let until = agent_uptime_milliseconds() + Int64(milliseconds)
        while case let left = until - agent_uptime_milliseconds(), left > 0 {
            var wait = pollfd(fd: signals, events: Int16(POLLIN), revents: 0)
            poll(&wait, 1, Int32(left))
            obey(signals)
            while reap() != nil {}
        }
    }

    private func remember(_ end: End) {
        let text = "\(end.how)\n" + String(decoding: end.tail, as: UTF8.self)
        try? SystemFile.write(Self.crashPath, text)
    }

    private func giveUp(_ end: End, signals: Int32) -> Never {
        while true {
            say(
                """
                HOSTLER'S AGENT CANNOT RUN ON THIS MACHINE. It crashed \(Self.crashLimit) times in a row, last: \(end.how).
                Nothing more is done to the machine. Restart it (ctrl-alt-del) to try again. The last that it said:
                \(String(decoding: end.tail.suffix(1500), as: UTF8.self))
                """)
            pause(milliseconds: 300_000, signals: signals)
        }
    }

    /// To every console that the kernel has, not only the last.
    private func say(_ text: String) {
        let line = "hostler-init: \(text)\n"
        let consoles = SystemFile.attribute("/sys/class/tty/console/active")?.split(separator: " ") ?? []
        for console in consoles {
            let fd = open("/dev/\(console)", O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)
            guard fd >= 0 else { continue }
            SystemFile.writeAll(fd, line)
            close(fd)
        }
        if consoles.isEmpty { SystemFile.writeAll(2, line) }
    }
}
