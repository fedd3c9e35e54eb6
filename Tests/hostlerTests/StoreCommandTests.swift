import Control
import Foundation
import Logging
import Model
import Store
import Testing

@testable import hostler

@Suite("hostler store check and repair", .serialized)
struct StoreCommandTests {
    private let quiet = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

    @Test("one bad record of each kind: the server starts, the rest works, check names them, repair takes them out into a file")
    func repair() async throws {
        let folder = try TestFolder()
        let state = folder.path + "/state"
        let taken = try TakenPort()
        taken.free()
        let first = try HostlerProcess.Server(state: state, port: taken.number, "--no-tls")
        try first.waitUntilItListens()
        first.end()
        let sound = try HostlerProcess.run("store", "check", state: state)
        #expect(sound.status == 0 && sound.output.contains("all is sound"), "\(sound.output)\(sound.error)")

        let bad = [
            "/events/000000000001-1", "/rack/machines/m-bad001", "/rack/operations/op-bad001", "/bmcs/bmc-bad01", "/tokens/t-bad00001", "/nonces/bad",
            "/leases/rack/10.0.0.7", "/secrets/bmcs/bmc-bad01", "/secrets/seeds/op-bad001", "/secrets/user-data/m-bad001",
        ]
        do {
            let store = try SQLiteStore(path: state + "/hostler.db", logger: quiet)
            try await store.commit(bad.map { .put(key: $0, value: Array("rubbish".utf8), if: .none) })
            // An operation of the machine goes with it: its system is to be known by its disk again.
            let machine = Machine(
                id: MachineID(unchecked: "m-bad001"), name: try DisplayName("x"), interfaces: [], now: Timestamp(milliseconds: 1))
            let begun = OperationTransition.begin(
                id: OperationID(unchecked: "op-ofbad1"), request: .inspect, machine: machine, by: "test", now: Timestamp(milliseconds: 1))
            try await store.commit([.put(key: begun.operation.key, value: RecordCoding.encode(begun.operation), if: .none)])
            try await store.close()
        }
        let found = try HostlerProcess.run("store", "check", state: state)
        #expect(found.status == 1)
        for key in bad { #expect(found.output.contains("\(key): "), "\(key) in \(found.output)") }

        let server = try HostlerProcess.Server(state: state, port: taken.number, "--no-tls")
        try server.waitUntilItListens()
        for words in [["event", "list"], ["machine", "list"], ["operation", "list"], ["bmc", "list"], ["token", "list"]] {
            let listed = try HostlerProcess.run(words[0], words[1], state: state)
            #expect(listed.status == 0, "\(words): \(listed.error)")
        }
        #expect(try HostlerProcess.run("machine", "list", state: state).error.contains("m-bad001"))
        #expect(try HostlerProcess.run("status", state: state).output.contains("record-damaged"))
        #expect(try HostlerProcess.run("event", "list", state: state).output.contains("record.damaged"))
        // While the server runs, it can be checked and not repaired.
        #expect(try HostlerProcess.run("store", "check", state: state).status == 1)
        #expect(try HostlerProcess.run("store", "repair", "--yes", state: state).status != 0)
        server.end()

        let repaired = try HostlerProcess.run("store", "repair", "--yes", state: state)
        #expect(repaired.status == 0, "\(repaired.output)\(repaired.error)")
        let after = try HostlerProcess.run("store", "check", state: state)
        #expect(after.status == 0, "\(after.output)\(after.error)")
        let name = try #require(try FileManager.default.contentsOfDirectory(atPath: state).first { $0.hasPrefix("set-aside-") })
        let lines = try String(contentsOfFile: "\(state)/\(name)", encoding: .utf8).split(separator: "\n")
            .map { try JSONDecoder().decode(SetAsideFile.Line.self, from: Data($0.utf8)) }
        #expect(Set(lines.map(\.key)).isSuperset(of: bad) && lines.contains { $0.key == "/rack/operations/op-ofbad1" })
        #expect(lines.first { $0.key == bad[0] }?.value == Data("rubbish".utf8).base64EncodedString())
        let last = try HostlerProcess.Server(state: state, port: taken.number, "--no-tls")
        try last.waitUntilItListens()
        let status = try HostlerProcess.run("status", state: state)
        last.end()
        #expect(status.status == 0 && !status.output.contains("record-damaged"), "\(status.output)")
    }

    @Test("lost revisions are said by check, by the server's start, its status and its events")
    func loss() async throws {
        let folder = try TestFolder()
        let state = folder.path + "/state"
        let taken = try TakenPort()
        taken.free()
        let first = try HostlerProcess.Server(state: state, port: taken.number, "--no-tls")
        try first.waitUntilItListens()
        first.end()
        let old = try Data(contentsOf: URL(fileURLWithPath: state + "/hostler.db"))
        let store = try SQLiteStore(path: state + "/hostler.db", logger: quiet)
        for number in 0..<5 { try await store.commit([.put(key: "/leases/rack/x\(number)", value: [1], if: .none)]) }
        try await store.close()
        try old.write(to: URL(fileURLWithPath: state + "/hostler.db"))
        let found = try HostlerProcess.run("store", "check", state: state)
        #expect(found.status == 1 && found.output.contains("5 acknowledged changes"), "\(found.output)")
        let server = try HostlerProcess.Server(state: state, port: taken.number, "--no-tls")
        try server.waitUntilItListens()
        #expect(server.log.contains("it lost revisions"))
        #expect(try HostlerProcess.run("status", state: state).output.contains("revisions-lost"))
        #expect(try HostlerProcess.run("event", "list", state: state).output.contains("store.revisions-lost"))
        server.end()
    }
}
