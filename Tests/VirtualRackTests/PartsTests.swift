import Foundation
import Testing

@testable import VirtualRack

@Suite("the lab's small parts")
struct PartsTests {
    @Test("lines are cut at LF however the bytes arrive")
    func lines() {
        var splitter = LineSplitter()
        #expect(splitter.append(Array("a".utf8)).isEmpty)
        #expect(splitter.append(Array("b\n\nc\nd".utf8)) == [Array("ab".utf8), Array("c".utf8)])
        var first = LineSplitter()
        #expect(first.firstLine(after: Array("{".utf8)) == nil)
        let found = first.firstLine(after: Array("}\nrest".utf8))
        #expect(found?.line == Array("{}".utf8))
        #expect(found?.rest == Array("rest".utf8))
    }

    @Test("QMP's four messages are told apart")
    func qmp() {
        func message(_ text: String) -> QMPMessage? { QMPMessage(Array(text.utf8)) }
        #expect(message(#"{"QMP": {"version": {}, "capabilities": []}}"#) == .greeting)
        #expect(message(#"{"return": {}, "id": 4}"#) == .answer(id: 4, .value([:])))
        #expect(
            message(#"{"id": 5, "error": {"class": "GenericError", "desc": "no"}}"#) == .answer(id: 5, .error("no")))
        #expect(
            message(
                #"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "SHUTDOWN", "data": {"guest": true}}"#)
                == .event(QMPEvent(name: "SHUTDOWN", data: ["guest": true])))
        #expect(message("{") == nil)
        #expect(message("[]") == nil)
    }

    @Test("the loss filter matches all frames at 100 percent and a drawn share below")
    func loss() {
        #expect(PacketLoss.bytecode(percent: 100) == "1,6 0 0 4294967295")
        #expect(
            PacketLoss.bytecode(percent: 50) == "4,32 0 0 4294963256,53 1 0 2147483647,6 0 0 4294967295,6 0 0 0")
    }

    @Test("a disk's faults stack between its file and its raw node, and come off in reverse")
    func diskChain() throws {
        let faults = [try Fault("disk-full:A"), try Fault("slow-disk:A=5000"), try Fault("disk-error:B")]
        let plan = DiskFaults(faults, serial: "A").plan(disk: 0, generation: 7)
        #expect(plan.build.map(\.command) == ["blockdev-add", "object-add", "blockdev-add", "blockdev-reopen"])
        #expect(plan.build[2].arguments["file"] == "disk0-errors7")
        #expect(
            plan.remove.map { $0.arguments["node-name"] ?? $0.arguments["id"] } == [
                "disk0-slow7", "disk0-slow7-group", "disk0-errors7",
            ])
        #expect(DiskFaults(faults, serial: "C").plan(disk: 1, generation: 8).build.map(\.command) == ["blockdev-reopen"])
    }

    @Test("a process is itself only with the same start time")
    func identity() throws {
        let me = try #require(ProcessIdentity(pid: getpid()))
        #expect(me.isAlive)
        #expect(!ProcessIdentity(pid: me.pid, startTicks: me.startTicks + 1).isAlive)
    }
}
