import Foundation
import Model
import Synchronization
import Testing

@testable import Hardware

@Suite("A serial console through ipmitool") struct ConsoleTests {
    @Test(
        "the escape character is doubled at a line's start, wherever what is typed is cut",
        arguments: [
            ("~.", "~~."), ("a~.", "a~."), ("ls\r~B", "ls\r~~B"), ("\n~~", "\n~~~"), ("", ""), ("a\r", "a\r"),
        ])
    func typing(text: String, expected: String) {
        var whole = SOLTyping()
        #expect(whole.pass(Array(text.utf8)) == Array(expected.utf8))
        var pieces = SOLTyping()
        #expect(text.utf8.flatMap { pieces.pass([$0]) } == Array(expected.utf8))
    }

    @Test("what the tool says before the session is no output of the machine's, however it is cut")
    func printing() {
        let text = Array("Info: a word\r\n[SOL Session operational.  Use ~? for help]\r\nDebian\r\n[SOL Session operational".utf8)
        let expected = Array("Debian\r\n[SOL Session operational".utf8)
        for cut in 0...text.count {
            var printing = SOLPrinting()
            #expect(printing.pass(Array(text[..<cut])) + printing.pass(Array(text[cut...])) == expected)
            #expect(printing.isOperational)
        }
        var never = SOLPrinting()
        #expect(never.pass(Array("Info: SOL payload already active on another session\n".utf8)).isEmpty)
        #expect(never.pass([UInt8](repeating: 0x41, count: 100_000)).isEmpty)
        #expect(!never.isOperational)
    }

    @Test(
        "a refusal is told by what it means",
        arguments: [
            ("Info: SOL payload already active on another session", "bmc-console-taken"),
            ("Info: Activate payload: limit reached", "bmc-refused"), ("Info: SOL payload disabled", "bmc-unsupported"),
            ("Error: Unable to establish IPMI v2 / RMCP+ session", "bmc-unreachable"), ("something else", "bmc-refused"),
        ])
    func refusals(said: String, code: String) {
        #expect(SOLRefusal.problem(.init(status: 1, output: "", errors: said), address: "10.0.0.9").code == code)
    }

    // MARK: The terminal

    private func sit(
        _ script: String, typed: AsyncStream<[UInt8]>, heard: Heard, environment: [String: String] = [:]
    ) async throws -> HostTool.Result {
        try await HostTool(name: "/bin/sh").sit(["-c", script], environment: environment, typed: typed) { heard.add($0) }
    }

    @Test("a program sits at a raw terminal: bytes go both ways as they are, and its exit code comes back", .timeLimit(.minutes(1)))
    func bothWays() async throws {
        let (typed, keyboard) = AsyncStream.makeStream(of: [UInt8].self)
        let heard = Heard()
        async let result = sit(
            #"test -t 0 && test -t 1 && printf 'tty\n'; head -c 3 | od -An -tx1; printf '%s' "$SECRET"; echo why >&2; exit 7"#,
            typed: typed, heard: heard, environment: ["SECRET": "kept"])
        // Ctrl-C and a carriage return mean nothing to a raw terminal, and nothing is echoed.
        keyboard.yield([0x03, 0x0d])
        keyboard.yield([0x7e])
        let ended = try await result
        #expect(heard.text == "tty\n 03 0d 7e\nkept")
        #expect(ended.status == 7 && ended.errors == "why\n")
    }

    @Test("what is printed last is heard, however much it is", .timeLimit(.minutes(1)))
    func flood() async throws {
        let heard = Heard()
        let (typed, keyboard) = AsyncStream.makeStream(of: [UInt8].self)
        _ = try await sit("head -c 3000000 /dev/zero; printf end", typed: typed, heard: heard)
        keyboard.finish()
        #expect(heard.bytes.count == 3_000_003 && heard.bytes.suffix(3) == Array("end".utf8))
    }

    @Test("a cancelled task hangs up, so that the program can say goodbye", .timeLimit(.minutes(1)))
    func hangUp() async throws {
        let (typed, keyboard) = AsyncStream.makeStream(of: [UInt8].self)
        let (began, begin) = AsyncStream.makeStream(of: Void.self)
        let heard = Heard { begin.yield() }
        let path = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let task = Task { try await sit("echo here; cat >/dev/null; echo goodbye >'\(path)'", typed: typed, heard: heard) }
        for await _ in began { break }
        let clock = ContinuousClock()
        let took = await clock.measure {
            task.cancel()
            _ = try? await task.value
        }
        keyboard.finish()
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "goodbye\n")
        #expect(took < .seconds(3), "it was not killed: it went by itself")
    }

    @Test("a program that does not mind its terminal's end is killed, and what it started with it", .timeLimit(.minutes(1)))
    func stubborn() async throws {
        let (typed, keyboard) = AsyncStream.makeStream(of: [UInt8].self)
        let (began, begin) = AsyncStream.makeStream(of: Void.self)
        let heard = Heard { begin.yield() }
        let task = Task { try await sit("trap '' HUP TERM; sleep 1000 & echo $!; wait; sleep 1000", typed: typed, heard: heard) }
        for await _ in began { break }
        task.cancel()
        _ = try? await task.value
        keyboard.finish()
        let child = try #require(pid_t(heard.text.trimmed))
        // It ends by the signal; its parent may take a moment to be told.
        for _ in 0..<500 where kill(child, 0) == 0 { try await Task.sleep(for: .milliseconds(10)) }
        #expect(kill(child, 0) != 0)
    }

    @Test("a program that is not there is named, with its package")
    func missing() async throws {
        let (typed, _) = AsyncStream.makeStream(of: [UInt8].self)
        let tool = HostTool(name: "no-such-tool-of-ours", package: "some-package")
        await #expect(throws: Problem.self) { _ = try await tool.sit([], typed: typed) { _ in } }
        do {
            _ = try await tool.sit([], typed: typed) { _ in }
        } catch let problem as Problem {
            #expect(problem.code == "tool-missing" && problem.remedy == "apt-get install some-package")
        }
    }
}

private final class Heard: Sendable {
    private let all = Mutex<[UInt8]>([])
    private let told: @Sendable () -> Void
    init(_ told: @escaping @Sendable () -> Void = {}) { self.told = told }
    func add(_ bytes: [UInt8]) {
        all.withLock { $0 += bytes }
        told()
    }
    var bytes: [UInt8] { all.withLock { $0 } }
    var text: String { String(decoding: bytes, as: UTF8.self) }
}
