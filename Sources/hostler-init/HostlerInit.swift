internal import CLinux
internal import Glibc

/// Process 1 of a machine under Hostler's care, and the agent that it starts as its child.
@main
enum HostlerInit {
    static let version = "0.1.0"

    static func main() async {
        if getpid() == 1 { Supervisor().run() }
        guard CommandLine.arguments.dropFirst().first == "agent" else {
            SystemFile.writeAll(2, "hostler-init \(version): process 1 of Hostler's ramdisk; not for use by hand\n")
            exit(64)
        }
        // A peer that closes its connection is an error to handle, not a reason to die.
        signal(SIGPIPE, SIG_IGN)
        let log = AgentLog()
        do {
            try await Agent(log: log).run()
        } catch {
            log("the agent ends: \(error)")
            exit(70)
        }
    }
}
