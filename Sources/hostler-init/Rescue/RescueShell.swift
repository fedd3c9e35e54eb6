internal import CLinux
internal import Glibc
internal import Model

/// A shell over SSH for the person who holds one of the keys, until the task changes.
struct RescueShell: Sendable {
    private static let folder = "/run/hostler/rescue"
    private static let port = "22"
    let work: RescueWork
    let reporter: StepReporter
    let address: String

    /// Returns the task that ended it.
    func run() async throws -> AgentTask {
        let log = reporter.log
        let hostKey: String
        let daemon: pid_t
        do {
            hostKey = try prepare()
            daemon = try Self.start(
                ["/usr/sbin/dropbear", "-F", "-E", "-s", "-r", "\(Self.folder)/host-key", "-p", Self.port])
        } catch {
            let problem = Problem(
                "rescue-failed", status: 502, title: "The rescue shell could not be opened", detail: "\(error)")
            try await reporter.insist(reporter.report(.shell, .failed, problem: problem))
            throw problem
        }
        defer { Self.stop(daemon) }
        // Who is told that it is open finds it open. One that takes longer is told of all the same: it may come yet.
        for _ in 0..<100 where !Self.isListening { try await Task.sleep(for: .milliseconds(100)) }
        log("rescue shell: ssh root@\(address)")
        let evidence = ["address": address, "port": Self.port, "hostKey": hostKey]
        try await reporter.insist(reporter.report(.shell, .started, evidence: evidence))
        let query = TaskQuery(operation: reporter.operation, generation: reporter.generation)
        while true {
            let begun = agent_uptime_milliseconds()
            let task = try await reporter.session.insist(on: "task") { client throws(TalkError) in
                try await client.post("task", query, answer: AgentTask.self, timeoutSeconds: 45)
            }
            guard case .rescue = task.work, task.operation == reporter.operation else {
                log("the rescue shell is closed")
                return task
            }
            if agent_uptime_milliseconds() - begun < 1000 { try await Task.sleep(for: .seconds(1)) }
        }
    }

    /// Whether somebody listens at the port (proc(5), /proc/net/tcp: the local port in hexadecimal, and state 0A).
    private static var isListening: Bool {
        ["/proc/net/tcp", "/proc/net/tcp6"].contains { file in
            let text = String(decoding: SystemFile.bytes(file, limit: 1 << 20) ?? [], as: UTF8.self)
            return text.split(separator: "\n").contains { line in
                let words = line.split(separator: " ")
                return words.count > 3 && words[1].hasSuffix(":0016") && words[3] == "0A"
            }
        }
    }

    private func prepare() throws -> String {
        // One that an agent which crashed left behind has the port.
        Self.endServers()
        for path in ["/root", "/root/.ssh", "/run/hostler", Self.folder] {
            mkdir(path, 0o700)
            chmod(path, 0o700)
        }
        let keys = work.sshKeys.joined(separator: "\n") + "\n"
        try SystemFile.write("/root/.ssh/authorized_keys", keys)
        let script = """
            rm -f \(Self.folder)/host-key
            /usr/bin/dropbearkey -t ed25519 -f \(Self.folder)/host-key >\(Self.folder)/host-key.pub 2>&1
            """
        let pid = try Self.start(["/bin/sh", "-c", script])
        var code: Int32 = 0
        var signal: Int32 = 0
        agent_reap(pid, true, &code, &signal)
        let text = SystemFile.text("\(Self.folder)/host-key.pub") ?? ""
        guard code == 0, let key = text.split(whereSeparator: \.isNewline).first(where: { $0.hasPrefix("ssh-") }) else {
            throw NotSupported("dropbearkey failed: \(text)")
        }
        return String(key)
    }

    private static func start(_ arguments: [String]) throws -> pid_t {
        let environment = ["PATH=/bin:/sbin:/usr/bin:/usr/sbin", "HOME=/root", "TERM=linux"]
        let pid = withCStrings(arguments) { argv in
            withCStrings(environment) { agent_spawn(arguments[0], argv, $0, -1) }
        }
        return try SystemError.check(pid, "start \(arguments[0])")
    }

    /// The server and the sessions that it forked, each of which is a process group of its own.
    private static func stop(_ daemon: pid_t) {
        endServers()
        var code: Int32 = 0
        var signal: Int32 = 0
        agent_reap(daemon, true, &code, &signal)
    }

    private static func endServers() {
        for name in SystemFile.names(in: "/proc") {
            guard let pid = pid_t(name), SystemFile.attribute("/proc/\(name)/comm") == "dropbear" else { continue }
            kill(pid, SIGKILL)
        }
    }
}
