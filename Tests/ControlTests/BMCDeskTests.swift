import Foundation
import Hardware
import Logging
import Model
import Store
import Synchronization
import Testing
import Wire

@testable import Control

/// The hardware side of a BMC that lives in memory.
final class PretendBMC: Sendable {
    struct State: Sendable {
        var power = PowerState.off
        var password = "old-Secret1"
        /// How the next change of password goes wrong, if it does.
        var accident: Accident?
        var isSilent = false
    }
    enum Accident: Sendable { case refused, takenButSilent, silentAtAll }
    let state = Mutex(State())

    struct Way: PowerSwitch {
        let bmc: PretendBMC
        let password: Mutex2<String?>
        var address: String { "pretend" }
        var fingerprint: String? { "SHA256:" + String(repeating: "0", count: 64) }

        private func check() throws {
            try bmc.state.withLock { state in
                if state.isSilent { throw Problem("bmc-silent", status: 502, title: "It is silent") }
                guard password.value == state.password else { throw Problem("bmc-auth-refused", status: 502, title: "Wrong password") }
            }
        }
        func readPower() async throws -> PowerReading {
            try check()
            return PowerReading(state: bmc.state.withLock { $0.power })
        }
        func request(_ request: PowerRequest) async throws {
            try check()
            bmc.state.withLock { $0.power = request == .on || request == .restart ? .on : .off }
        }
        func facts() async throws -> BMCFacts {
            var facts = BMCFacts()
            facts.macs = [testMAC]
            return facts
        }
        func setPassword(_ new: String) async throws {
            try check()
            try bmc.state.withLock { state in
                switch state.accident {
                case .refused: throw Problem("bmc-refused", status: 422, title: "Too short")
                case .takenButSilent:
                    state.password = new
                    throw Problem("bmc-silent", status: 502, title: "No answer came")
                case .silentAtAll:
                    state.password = new
                    state.isSilent = true
                    throw Problem("bmc-silent", status: 502, title: "No answer came")
                case nil: state.password = new
                }
            }
            password.value = new
        }
    }
}

final class Mutex2<Value: Sendable>: Sendable {
    private let box: Mutex<Value>
    init(_ value: Value) { box = Mutex(value) }
    var value: Value {
        get { box.withLock { $0 } }
        set { box.withLock { $0 = newValue } }
    }
}

@Suite("The desk of BMCs") struct BMCDeskTests {
    private func with(_ body: (BMCDesk, PretendBMC, MemoryStore, _ reopen: () async throws -> BMCDesk) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let store = MemoryStore()
        let one = try machine()
        try await store.commit([one.put(.absent)])
        let control = try await open(store)
        let pretend = PretendBMC()
        var ways = BMCWays()
        ways.substitute = { _, password in PretendBMC.Way(bmc: pretend, password: Mutex2(password)) }
        let chosen = ways
        let reopen = { try await BMCDesk.open(control: control, vault: Vault(keyFile: folder + "/vault.key"), ways: chosen) }
        try await body(try await reopen(), pretend, store, reopen)
    }

    private func request() -> BMCRequest {
        var request = BMCRequest(kind: .redfish, address: "10.0.0.4")
        request.userName = "root"
        request.password = "old-Secret1"
        return request
    }

    private func code(_ body: () async throws -> Void) async -> String? {
        do { try await body() } catch let problem as Problem { return problem.code } catch { return "\(error)" }
        return nil
    }

    /// Everything that the store holds, as text.
    private func everything(_ store: MemoryStore) async throws -> String {
        try await store.list(prefix: "/", after: nil, limit: 1000).values.map { String(decoding: $0.value, as: UTF8.self) }.joined()
    }

    @Test("a BMC that answers is added, its machine is found, and its password rests unreadable") func add() async throws {
        try await with { desk, _, store, reopen in
            let added = try await desk.add(request(), by: "test")
            #expect(added.machine == MachineID(unchecked: "m-test01"))
            #expect(added.fingerprint?.hasPrefix("SHA256:") == true)
            #expect(added.observed.power?.state == .off)
            let text = try await everything(store)
            #expect(!text.contains("old-Secret1"))
            #expect(await code { _ = try await desk.add(request(), by: "test") } == "bmc-known")
            // A new program knows it, and its password.
            #expect(try await reopen().power(.on, machine: "one", by: "test").state == .on)
        }
    }

    @Test("a BMC that refuses the password is not added") func refused() async throws {
        try await with { desk, _, store, _ in
            var wrong = request()
            wrong.password = "wrong"
            let asked = wrong
            #expect(await code { _ = try await desk.add(asked, by: "test") } == "bmc-auth-refused")
            let all = try await desk.all()
            #expect(all.isEmpty)
        }
    }

    @Test("a new password is proved before the old one is forgotten") func rotation() async throws {
        try await with { desk, pretend, store, reopen in
            let added = try await desk.add(request(), by: "test")
            _ = try await desk.rotatePassword(added.id.rawValue, by: "test")
            let new = pretend.state.withLock { $0.password }
            #expect(new != "old-Secret1" && new.count == 16)
            #expect(try await desk.secret(of: added.id)?.pending == nil)
            let text = try await everything(store)
            #expect(!text.contains(new))
            #expect(try await reopen().powerStatus(machine: "one").state == .off)
        }
    }

    @Test("a refused change leaves the old password in force") func refusedRotation() async throws {
        try await with { desk, pretend, _, _ in
            let added = try await desk.add(request(), by: "test")
            pretend.state.withLock { $0.accident = .refused }
            #expect(await code { _ = try await desk.rotatePassword(added.id.rawValue, by: "test") } == "bmc-refused")
            #expect(try await desk.secret(of: added.id)?.pending == nil)
            #expect(try await desk.powerStatus(machine: "one").state == .off)
        }
    }

    @Test("a change that was taken though no answer came is found out") func silentRotation() async throws {
        try await with { desk, pretend, _, _ in
            let added = try await desk.add(request(), by: "test")
            pretend.state.withLock { $0.accident = .takenButSilent }
            _ = try await desk.rotatePassword(added.id.rawValue, by: "test")
            #expect(try await desk.powerStatus(machine: "one").state == .off)
        }
    }

    @Test("a kill in the middle of a rotation loses nothing: both passwords are kept until one works") func killed() async throws {
        try await with { desk, pretend, _, reopen in
            let added = try await desk.add(request(), by: "test")
            pretend.state.withLock { $0.accident = .silentAtAll }
            #expect(await code { _ = try await desk.rotatePassword(added.id.rawValue, by: "test") } == "bmc-silent")
            let secret = try #require(try await desk.secret(of: added.id))
            #expect(secret.current != nil && secret.pending != nil)
            pretend.state.withLock { $0.isSilent = false }
            let again = try await reopen()
            await again.settlePasswords()
            #expect(try await again.secret(of: added.id)?.pending == nil)
            #expect(try await again.powerStatus(machine: "one").state == .off)
        }
    }

    @Test("power that flips by itself is an event, and so is a BMC that falls silent and comes back") func events() async throws {
        try await with { desk, pretend, _, _ in
            let added = try await desk.add(request(), by: "test")
            func sweep() async throws {
                let seen = Mutex<[BMCFleet.Observation]>([])
                await desk.fleet.sweep { observation in seen.withLock { $0.append(observation) } }
                for observation in seen.withLock({ $0 }) { try await desk.note(observation) }
            }
            func kinds() async throws -> [String] { try await desk.records.all(Event.self).map(\.value.kind) }
            try await sweep()
            let before = try await kinds()
            #expect(!before.contains("power.flipped"))
            pretend.state.withLock { $0.power = .on }
            try await sweep()
            let flip = try #require(try await desk.records.all(Event.self).map(\.value).first { $0.kind == "power.flipped" })
            #expect(flip.machine == added.machine && flip.evidence["from"] == "off" && flip.evidence["to"] == "on")
            _ = try await desk.power(.off, machine: "one", by: "test")
            try await sweep()
            let after = try await kinds()
            #expect(after.filter { $0 == "power.flipped" }.count == 1)

            pretend.state.withLock { $0.isSilent = true }
            for _ in 0..<3 { try await sweep() }
            let silent = try await kinds()
            #expect(silent.contains("bmc.silent"))
            let shown = try await desk.bmc(named: "one").value
            #expect(shown.observed.breaker == .open && shown.observed.problem?.code == "bmc-silent")
            #expect(shown.observed.power?.state == .off, "what was last known stays, with its time")
        }
    }
}
