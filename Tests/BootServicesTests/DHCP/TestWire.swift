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
        let number = Self.made.withLock { $0 += 1; return $0 }
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
        }
    }

    deinit {
        for space in [server, client] { try? Self.ip("netns delete \(space)") }
    }

    static func ip(_ words: String) throws {
        let process = try start("/usr/sbin/ip", words.split(separator: " ").map(String.init))
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw FixtureError(what: "ip \(words) failed") }
    }

    /// A program that runs until the caller ends it.
    static func start(_ path: String, _ arguments: [String]) throws -> Process {
        let process = Process()
        process.executableURL = URL(filePath: path)
        process.arguments = arguments
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        return process
    }
}
