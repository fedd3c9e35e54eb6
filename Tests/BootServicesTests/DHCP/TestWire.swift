import Foundation
import Glibc
import Synchronization

/// A private wire: a network namespace for a server and one for a client, with cables (veth pairs) between them.
/// Nothing of it touches the host's own networks; all of it is gone with the value.
final class TestWire: Sendable {
    static let isPossible = geteuid() == 0 && FileManager.default.isExecutableFile(atPath: "/usr/sbin/ip")
    private static let made = Mutex(0)

    let server: String
    let client: String

    /// Cable `n` joins the interfaces `wireN` of both sides; the server's side has 10.78.`n`.1/24, the client's
    /// 10.78.`n`.2/24.
    init(cables: Int = 1) throws {
        let number = Self.made.withLock {
            $0 += 1; return $0
        }
        server = "hostler-test-\(getpid())-\(number)-s"
        client = "hostler-test-\(getpid())-\(number)-c"
        for space in [server, client] {
            try Self.ip("netns add \(space)")
            try Self.ip("-n \(space) link set lo up")
        }
        for cable in 0..<cables {
            try Self.ip("-n \(server) link add wire\(cable) type veth peer name wire\(cable) netns \(client)")
            for (space, host) in [(server, 1), (client, 2)] {
                try Self.ip("-n \(space) address add 10.78.\(cable).\(host)/24 dev wire\(cable)")
                try Self.ip("-n \(space) link set wire\(cable) up")
            }
            for space in [server, client] { try Self.waitForLink(space, "wire\(cable)") }
        }
    }

    deinit {
        for space in [server, client] { try? Self.ip("netns delete \(space)") }
    }

    /// A file that is there and cannot be opened: a character device that no driver has.
    static func makeDeadDevice(_ path: String) throws {
        guard mknod(path, S_IFCHR | 0o600, 60 << 8 | 7) == 0 else { throw FixtureError(what: "mknod: \(errno)") }
    }

    /// A link carries nothing before the kernel has noted that both of its ends are up.
    static func waitForLink(_ space: String, _ interface: String) throws {
        let loop = "until grep -q up /sys/class/net/\(interface)/operstate; do sleep 0.01; done"
        let status = try TestProgram("/usr/sbin/ip", ["netns", "exec", space, "timeout", "10", "sh", "-c", loop]).wait()
        guard status == 0 else { throw FixtureError(what: "\(interface) does not come up") }
    }

    static func ip(_ words: String) throws {
        let status = try TestProgram("/usr/sbin/ip", words.split(separator: " ").map(String.init)).wait()
        guard status == 0 else { throw FixtureError(what: "ip \(words) failed") }
    }
}

/// A program that a test runs: killed, if it did not end, with the value.
///
/// Foundation's `Process` waits on a thread of a pool for each of its children: with few processors one that runs
/// on keeps all others from being seen to end.
final class TestProgram {
    private let pid: pid_t
    private var hasEnded = false

    init(_ path: String, _ arguments: [String]) throws {
        var words: [UnsafeMutablePointer<CChar>?] = ([path] + arguments).map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var files = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&files)
        defer { posix_spawn_file_actions_destroy(&files) }
        for handle in 0...2 as ClosedRange<CInt> {
            posix_spawn_file_actions_addopen(&files, handle, "/dev/null", O_RDWR, 0)
        }
        var child: pid_t = 0
        let code = posix_spawn(&child, path, &files, nil, &words, environ)
        guard code == 0 else { throw FixtureError(what: "\(path) cannot be run: \(code)") }
        pid = child
    }

    deinit {
        guard !hasEnded else { return }
        kill(pid, SIGKILL)
        _ = try? wait()
    }

    /// Waits for its end; the exit status.
    func wait() throws -> Int32 {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 {
            guard errno == EINTR else { throw FixtureError(what: "waitpid: \(errno)") }
        }
        hasEnded = true
        return status
    }
}
