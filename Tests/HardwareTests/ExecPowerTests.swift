import Foundation
import Model
import Testing

@testable import Hardware

/// The contract of docs/power-exec.md, with programs that keep it and programs that do not.
@Suite("Power by a program of one's own") struct ExecPowerTests {
    /// A folder with one program in it.
    private func with(
        _ script: String, password: String? = nil, options: [String: String] = [:], timeout: Duration = .seconds(20),
        _ body: (ExecPower, String) async throws -> Void
    ) async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("power-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let text = "#!/bin/sh\nfolder=\(folder)\n" + script
        #expect(FileManager.default.createFile(atPath: folder + "/plug", contents: Data(text.utf8), attributes: [.posixPermissions: 0o755]))
        try await body(
            try ExecPower(program: "plug", folder: folder, userName: "op", password: password, options: options, timeout: timeout), folder)
    }

    private func line(_ power: any PowerSwitch) -> BMCLine { BMCLine(id: BMCID(unchecked: "bmc-0001"), power: power, now: wallClock) }

    private var policy: PowerPursuit.Policy {
        var policy = PowerPursuit.Policy()
        policy.poll = .milliseconds(20)
        policy.repeatAfter = .milliseconds(300)
        policy.deadline = .seconds(2)
        return policy
    }

    @Test("a plug that keeps the contract is switched, and that is proved by its status") func good() async throws {
        try await with("case $1 in status) cat $folder/state 2>/dev/null || echo off ;; on | off) echo $1 >$folder/state ;; *) exit 3 ;; esac") {
            plug, _ in
            let line = line(plug)
            let on = try await line.perform(.on, policy: policy)
            #expect(on.state == .on)
            let cycled = try await line.perform(.cycle, policy: policy)
            #expect(cycled.requests == 2)
            let off = try await line.perform(.off, policy: policy)
            #expect(off.state == .off)
            let refused = await problem { _ = try await plug.request(.shutdown) }
            #expect(refused?.code == "bmc-unsupported")
        }
    }

    @Test(
        "every word of the contract is read",
        arguments: [
            ("on", PowerState.on), ("off", .off), ("turning-on", .turningOn), ("turning-off", .turningOff), ("unknown", .unknown),
            ("  on\\n\\n", .on),
        ]) func words(_ word: String, _ state: PowerState) async throws
    {
        try await with("printf '\(word)'") { plug, _ in
            let read = try await plug.readPower()
            #expect(read.state == state)
        }
    }

    @Test("it gets user and options in its environment, the password on standard input, one argument, and nothing else") func inputs() async throws {
        let script =
            "read -r word; echo \"$# $1 $HOSTLER_USER $HOSTLER_OPTION_SOCKET_NO $word\" >$folder/seen; env >$folder/env; tr '\\0' ' ' </proc/$$/cmdline >$folder/cmdline; echo on"
        try await with(script, password: "s3cret word", options: ["socket-no": "7"]) { plug, folder in
            _ = try await plug.readPower()
            func text(_ name: String) throws -> String { try String(contentsOfFile: folder + "/" + name, encoding: .utf8) }
            let (seen, environment, commandLine) = (try text("seen"), try text("env"), try text("cmdline"))
            #expect(seen == "1 status op 7 s3cret word\n")
            #expect(!environment.contains("s3cret"))
            #expect(!commandLine.contains("s3cret"))
        }
    }

    @Test("a liar is found out: it says it is done and its status stays") func liar() async throws {
        try await with("case $1 in status) echo off ;; esac") { plug, _ in
            let told = await problem { _ = try await line(plug).perform(.on, policy: policy) }
            #expect(told?.code == "power-not-proved")
            #expect(told?.detail?.contains("It still reads “off”.") == true)
        }
    }

    @Test("rubbish is told as such, with its beginning and without what would move a cursor") func rubbish() async throws {
        try await with("printf 'On\\033[2J <html>'") { plug, _ in
            let told = await problem { _ = try await plug.readPower() }
            #expect(told?.code == "bmc-reply-unknown")
            #expect(told?.detail?.contains("<html>") == true && told?.detail?.contains("\u{1b}") == false)
        }
    }

    @Test("a flood of output is an error and not a full memory") func flood() async throws {
        try await with("head -c 3000000 /dev/zero | tr '\\0' x") { plug, _ in
            let told = await problem { _ = try await plug.readPower() }
            #expect(told?.code == "bmc-error")
        }
    }

    @Test("its exit codes are told apart", arguments: [(3, "bmc-unsupported"), (4, "bmc-auth-refused"), (1, "bmc-error"), (127, "bmc-error")])
    func codes(_ status: Int, _ code: String) async throws {
        try await with("echo 'the plug is unplugged' >&2; exit \(status)") { plug, _ in
            let told = await problem { _ = try await plug.readPower() }
            #expect(told?.code == code)
            #expect(told?.detail?.contains("the plug is unplugged") == true)
        }
    }

    @Test("one that is killed by a signal is an error") func signal() async throws {
        try await with("kill -9 $$") { plug, _ in
            let told = await problem { _ = try await plug.readPower() }
            #expect(told?.code == "bmc-error")
        }
    }

    @Test("one that hangs is ended, with what it started, and its line goes on", .timeLimit(.minutes(1))) func hang() async throws {
        try await with("trap '' TERM; echo $$ >$folder/pid; sleep 300 & echo $! >$folder/child; wait", timeout: .seconds(1)) { plug, folder in
            let start = ContinuousClock.now
            let told = await problem { _ = try await plug.readPower() }
            #expect(told?.code == "bmc-silent")
            #expect(.now - start < .seconds(10))
            for name in ["pid", "child"] {
                let id = try String(contentsOfFile: folder + "/" + name, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
                // A process that is gone, or is only waiting for its status to be read.
                let state = (try? String(contentsOfFile: "/proc/\(id)/stat", encoding: .utf8))?.split(separator: " ").dropFirst(2).first
                #expect(state == nil || state == "Z", "\(name) \(id) is still there")
            }
        }
    }

    @Test("a program that is not there, or may not be run, is said to be so") func missing() async throws {
        let none = try ExecPower(program: "nothing", folder: "/nonexistent", userName: nil, password: nil)
        #expect(await problem { _ = try await none.readPower() }?.code == "tool-missing")
        try await with("echo on") { plug, folder in
            try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: folder + "/plug")
            let told = await problem { _ = try await plug.readPower() }
            #expect(["bmc-error", "tool-missing"].contains(told?.code))
        }
    }

    @Test("only a file name in the folder is a program", arguments: ["", ".hidden", "../sh", "a/b", "a b", "plug;id", "ö"])
    func names(_ name: String) throws {
        #expect(throws: Problem.self) { try ExecPower(program: name, userName: nil, password: nil) }
    }
}
