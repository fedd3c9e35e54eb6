import Foundation
import Glibc
import Model
import Testing

@testable import hostler

/// The program that was built beside the test runner, as a process of its own.
struct HostlerProcess {
    static var program: URL {
        let runner = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return URL(fileURLWithPath: runner).deletingLastPathComponent().appendingPathComponent("hostler")
    }

    struct Result {
        var status: Int32
        var output: String
        var error: String
    }

    /// Runs a command to its end.
    @discardableResult
    static func run(_ arguments: String..., state: String? = nil) throws -> Result {
        let process = make(arguments, state: state)
        let (output, error) = (Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = error
        try process.run()
        // Both are shorter than a pipe holds.
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        let problems = String(decoding: error.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return Result(status: process.terminationStatus, output: text, error: problems)
    }

    private static func make(_ arguments: [String], state: String?) -> Process {
        let process = Process()
        process.executableURL = program
        process.arguments = arguments
        // Whatever the tester has logged in to.
        var environment = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("HOSTLER_") }
        environment["XDG_CONFIG_HOME"] = "/nonexistent"
        environment["HOSTLER_STATE_DIR"] = state
        process.environment = environment
        process.standardInput = FileHandle.nullDevice
        return process
    }

    /// A server on a state directory, with the API alone.
    final class Server {
        let process: Process
        private(set) var log = ""
        private let pipe = Pipe()

        init(state: String, port: Int, _ more: String...) throws {
            let config = state + ".yaml"
            if !FileManager.default.fileExists(atPath: config) { try Data("# none\n".utf8).write(to: URL(fileURLWithPath: config)) }
            process = HostlerProcess.make(
                ["serve", "--config", config, "--state-dir", state, "--api-port", String(port)] + more, state: state)
            process.standardOutput = pipe
            process.standardError = pipe
            try process.run()
        }

        /// Reads its log until it says so; false where it ended before.
        func wait(for text: String) -> Bool {
            while !log.contains(text) {
                let data = pipe.fileHandleForReading.availableData
                if data.isEmpty { return false }
                log += String(decoding: data, as: UTF8.self)
            }
            return true
        }

        func waitUntilItListens() throws {
            guard wait(for: "the API listens") else { throw Problem("test-server", title: "The server ended", detail: log) }
        }

        func end(_ signal: Int32 = SIGTERM) {
            if process.isRunning { kill(process.processIdentifier, signal) }
            log += String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            process.waitUntilExit()
        }
    }
}

/// A port on loopback that is taken as long as this is kept.
final class TakenPort {
    private let handle: Int32
    let number: Int

    init() throws {
        handle = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let handle = handle
        let result = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(handle, $0, length) | listen(handle, 1) | getsockname(handle, $0, &length)
            }
        }
        guard result == 0 else { throw Problem("test-port", title: "No port") }
        number = Int(address.sin_port.bigEndian)
    }

    func free() { close(handle) }
}

/// A folder that goes with the value.
final class TestFolder: Sendable {
    let path: String
    init() throws {
        path = NSTemporaryDirectory() + "/hostler-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    deinit { try? FileManager.default.removeItem(atPath: path) }
}
