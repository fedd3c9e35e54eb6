import Control
import Foundation
import Logging
import Model
import Store
import Testing

@testable import hostler

@Suite("what hostler store repair leaves alone, and what goes with a machine", .serialized)
struct StoreRepairTests {
    private let quiet = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
    private let machine = "m-bad001"

    private func open(_ state: String) async throws -> SealedStore {
        try await SealedStore.open(
            SQLiteStore(path: state + "/hostler.db", logger: quiet), keyFile: KeyFile(state + "/seal.key"), logger: quiet)
    }

    /// A record with a sound secret of each kind that is looked at, and one event that cannot be read.
    private func furnish(_ state: String) async throws {
        let store = try await open(state)
        try await store.commit([
            .put(key: "/secrets/session", value: [UInt8](repeating: 7, count: 32), if: .none),
            .put(key: "/secrets/user-data/m-good01", value: Array(#"{"userData":"aGVsbG8="}"#.utf8), if: .none),
            .put(key: "/secrets/bmcs/bmc-good01", value: Array(#"{"current":"x"}"#.utf8), if: .none),
        ])
        try await store.close()
    }

    /// All that is in the record, as it lies there.
    private func content(_ state: String) throws -> [String: [UInt8]] {
        var found: [String: [UInt8]] = [:]
        _ = try SQLiteStore.inspect(path: state + "/hostler.db") { found[$0.key] = $0.value }
        return found
    }

    @Test("a seal.key that is missing or another server's damages no secret: check names none, repair takes out nothing, backups verify")
    func seal() async throws {
        let folder = try TestFolder()
        let state = folder.path + "/state"
        try await furnish(state)
        let database = try SQLiteStore(path: state + "/hostler.db", logger: quiet)
        try await database.commit([.put(key: "/events/000000000001-1", value: Array("rubbish".utf8), if: .none)])
        try await database.close()
        let before = try content(state)
        let (key, kept) = (state + "/seal.key", folder.path + "/seal.key")
        try FileManager.default.moveItem(atPath: key, toPath: kept)
        for code in ["seal-key-missing", "seal-key-wrong"] {
            if code == "seal-key-wrong" { try KeyFile(key).make([UInt8](repeating: 9, count: 32)) }
            let found = try HostlerProcess.run("store", "check", state: state)
            #expect(found.status == 1 && found.output.contains("/events/000000000001-1") && found.output.contains("seal.key"), "\(found.output)")
            #expect(!found.output.contains("/secrets/") && found.output.contains("3 secrets, not looked at"), "\(found.output)")
            let repair = try HostlerProcess.run("store", "repair", "--yes", state: state)
            #expect(repair.status != 0 && repair.error.contains(code), "\(repair.output)\(repair.error)")
            #expect(try content(state) == before)
            #expect(try !FileManager.default.contentsOfDirectory(atPath: state).contains { $0.hasPrefix("set-aside-") })
        }
        // One that does not open beside others that do is damaged, as ever.
        try FileManager.default.removeItem(atPath: key)
        try FileManager.default.moveItem(atPath: kept, toPath: key)
        let again = try SQLiteStore(path: state + "/hostler.db", logger: quiet)
        let session = try #require(before["/secrets/session"])
        try await again.commit([.put(key: "/secrets/markers", value: session, if: .none)])
        try await again.close()
        let moved = try HostlerProcess.run("store", "check", state: state)
        #expect(moved.output.contains("/secrets/markers: it does not open") && !moved.output.contains("/secrets/session"), "\(moved.output)")
        let repair = try HostlerProcess.run("store", "repair", "--yes", state: state)
        #expect(repair.status == 0, "\(repair.error)")
        var left = before
        left["/events/000000000001-1"] = nil
        #expect(try content(state) == left)
    }

    @Test("a backup without keys verifies on a host that has none, and says that secrets were not looked at")
    func verify() async throws {
        let folder = try TestFolder()
        let state = folder.path + "/state"
        try await furnish(state)
        let database = try SQLiteStore(path: state + "/hostler.db", logger: quiet)
        _ = try await database.backup(to: folder.path + "/x.backup", atMilliseconds: 5)
        try await database.close()
        let verified = try HostlerProcess.run("backup", "verify", folder.path + "/x.backup", "--state-dir", "/nowhere")
        #expect(verified.status == 0 && verified.output.contains("secrets were not looked at"), "\(verified.output)\(verified.error)")
        // Under a passphrase the keys are to be in it, and to fit.
        let own = try #require(try KeyFile(state + "/seal.key").read())
        for (seal, isWhole) in [(own, true), ([UInt8](repeating: 9, count: 32), false)] {
            let faults = try BackupVerification(file: folder.path + "/x.backup", passphrase: nil, localKeys: ["seal.key": seal]).faults
            #expect(faults.isEmpty == isWhole, "\(faults)")
        }
    }

    @Test("with a machine that is taken out goes what lies below other keys, into the file; its BMC is named, with the way out")
    func belongings() async throws {
        let folder = try TestFolder()
        let state = folder.path + "/state"
        try await furnish(state)
        let store = try await open(state)
        let sound = Machine(id: MachineID(unchecked: machine), name: try DisplayName("x"), interfaces: [], now: Timestamp(milliseconds: 1))
        let begun = OperationTransition.begin(
            id: OperationID(unchecked: "op-fbad01"), request: .inspect, machine: sound, by: "test", now: Timestamp(milliseconds: 1))
        var bmc = BMC(id: BMCID(unchecked: "bmc-fbad01"), kind: .redfish, address: "127.0.0.1:9", now: Timestamp(milliseconds: 1))
        bmc.machine = sound.id
        let also = ["/secrets/user-data/" + machine, "/attestation/logs/" + machine]
        try await store.commit([
            .put(key: "/rack/machines/" + machine, value: Array("rubbish".utf8), if: .none),
            .put(key: also[0], value: Array(#"{"userData":"aGVsbG8="}"#.utf8), if: .none),
            .put(key: also[1], value: [1, 2, 3], if: .none),
            .put(key: begun.operation.key, value: RecordCoding.encode(begun.operation), if: .none),
            .put(key: bmc.key, value: RecordCoding.encode(bmc), if: .none),
        ])
        try await store.close()
        let before = try content(state)
        let repair = try HostlerProcess.run("store", "repair", "--yes", state: state)
        #expect(repair.status == 0 && repair.output.contains("hostler bmc unbind bmc-fbad01"), "\(repair.output)\(repair.error)")
        let name = try #require(try FileManager.default.contentsOfDirectory(atPath: state).first { $0.hasPrefix("set-aside-") })
        let lines = try String(contentsOfFile: "\(state)/\(name)", encoding: .utf8).split(separator: "\n")
            .map { try JSONDecoder().decode(SetAsideFile.Line.self, from: Data($0.utf8)) }
        #expect(Set(lines.map(\.key)) == Set(["/rack/machines/" + machine, begun.operation.key] + also))
        let after = try content(state)
        for line in lines {
            #expect(try Data(#require(before[line.key])).base64EncodedString() == line.value && after[line.key] == nil, "\(line.key)")
        }
        #expect(after["/secrets/user-data/m-good01"] == before["/secrets/user-data/m-good01"])
        let found = try HostlerProcess.run("store", "check", state: state)
        #expect(found.status == 1 && found.output.contains("hostler bmc unbind bmc-fbad01"), "\(found.output)")
    }

    @Test("lost revisions are told by the first server that comes so far, whoever opened the store before it")
    func untold() async throws {
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
        // It settles the loss, and removes nothing.
        _ = try HostlerProcess.run("image", "remove", "--offline", "--dry-run", "x", state: state)
        #expect(try SQLiteStore.inspect(path: state + "/hostler.db") { _ in }.loss == nil)
        try FileManager.default.moveItem(atPath: state + "/seal.key", toPath: folder.path + "/seal.key")
        let failed = try HostlerProcess.run(
            "serve", "--config", state + ".yaml", "--state-dir", state, "--api-port", "\(taken.number)", "--no-tls", state: state)
        #expect(failed.status != 0 && (failed.error + failed.output).contains("seal-key-missing"), "\(failed.error)")
        try FileManager.default.moveItem(atPath: folder.path + "/seal.key", toPath: state + "/seal.key")
        #expect(try HostlerProcess.run("store", "check", state: state).status == 0)

        let server = try HostlerProcess.Server(state: state, port: taken.number, "--no-tls")
        try server.waitUntilItListens()
        #expect(try HostlerProcess.run("status", state: state).output.contains("5 acknowledged changes"))
        let events = try HostlerProcess.run("event", "list", state: state).output
        #expect(events.contains("store.revisions-lost") && !events.contains("restored from a backup"), "\(events)")
        server.end()
        let last = try HostlerProcess.Server(state: state, port: taken.number, "--no-tls")
        try last.waitUntilItListens()
        #expect(try !HostlerProcess.run("status", state: state).output.contains("revisions-lost"))
        #expect(try HostlerProcess.run("event", "list", state: state).output.split(separator: "\n").count { $0.contains("revisions-lost") } == 1)
        last.end()
    }
}
