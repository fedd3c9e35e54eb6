import Foundation
import Hardware
import Logging
import Model
import Store
import Synchronization
import Testing
import Wire

@testable import Control

/// A BMC that says what the test has it say, and counts what it is asked to switch.
private final class TalkingBMC: PowerSwitch {
    struct State: Sendable {
        var facts = BMCFacts()
        var power = PowerState.on
        var switched: [String] = []
    }
    let state: Mutex<State>
    let address: String

    init(_ address: String, _ facts: BMCFacts) {
        self.address = address
        state = Mutex(State(facts: facts))
    }

    func readPower() async throws -> PowerReading { PowerReading(state: state.withLock { $0.power }) }
    func request(_ request: PowerRequest) async throws {
        state.withLock {
            $0.switched.append(request.rawValue)
            $0.power = request == .on || request == .restart ? .on : .off
        }
    }
    func facts() async throws -> BMCFacts { state.withLock { $0.facts } }
    func setBoot(_ wanted: BootOverride) async throws { state.withLock { $0.switched.append("boot \(wanted.target.rawValue)") } }
    func bootOverride() async throws -> BootOverride { BootOverride(target: .none) }
}

@Suite("BMCs and their machines", .timeLimit(.minutes(1))) struct BMCBindingTests {
    private let uuidA = "b8e6f2a1-93d4-4c07-8f5e-6d10c2a7e94b"
    private let uuidB = "4c4c4544-0051-3410-8051-b5c04f375931"
    private let filler = "03000200-0400-0500-0006-000700080009"
    private let portA = MACAddress("ac:1f:6b:00:0a:01")!
    private let portB = MACAddress("ac:1f:6b:00:0b:01")!
    private let link = MACAddress("be:3a:f2:b6:05:9f")!

    private struct Place {
        let control: ControlPlane
        let store: MemoryStore
        let folder: String
        let ways: Mutex2<[String: TalkingBMC]>

        func desk() async throws -> BMCDesk {
            var chosen = BMCWays()
            let ways = ways
            chosen.substitute = { bmc, _ in ways.value[bmc.address] ?? TalkingBMC(bmc.address, BMCFacts()) }
            var settings = BMCDesk.Settings()
            settings.power.poll = .milliseconds(5)
            return try await BMCDesk.open(control: control, vault: Vault(keyFile: folder + "/vault.key"), ways: chosen, settings: settings)
        }

        func bmc(_ address: String, _ uuid: String?, _ serial: String?, _ macs: [MACAddress] = []) -> TalkingBMC {
            var facts = BMCFacts()
            facts.systemUUID = uuid
            facts.serial = serial
            facts.macs = macs
            let bmc = TalkingBMC(address, facts)
            ways.value[address] = bmc
            return bmc
        }

        func events(_ kind: String) async throws -> [Event] { try await control.records.all(Event.self).map(\.value).filter { $0.kind == kind } }
    }

    private func machine(
        _ id: String, _ uuid: String?, _ serial: String?, booted: [MACAddress] = [], owned: [MACAddress] = []
    ) throws -> Machine {
        var machine = Machine(
            id: MachineID(unchecked: id), name: try DisplayName(id),
            interfaces: booted.map { Interface(mac: $0, bootedAt: Timestamp(milliseconds: 0)) } + owned.map { Interface(mac: $0) },
            now: Timestamp(milliseconds: 0))
        var facts = inventory()
        facts.nics = []
        facts.system.uuid = uuid
        facts.system.serial = serial
        machine.observed.inventory = facts
        machine.state = .ready
        return machine
    }

    private func with(_ machines: [Machine], _ bmcs: [BMC] = [], _ body: (Place) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let store = MemoryStore()
        try await store.commit(
            machines.map { try $0.put(.absent) } + bmcs.map { try $0.put(.absent) } + bmcs.map { try BMCSecret().put(for: $0.id, .absent) })
        try await running(try await open(store)) { control in
            try await body(Place(control: control, store: store, folder: folder, ways: Mutex2([:])))
        }
    }

    private func request(_ address: String, machine: String? = nil, new: Bool = false) -> BMCRequest {
        var request = BMCRequest(kind: .redfish, address: address)
        request.userName = "root"
        request.password = "old-Secret1"
        request.machine = machine
        request.makesMachine = new ? true : nil
        return request
    }

    private func problem(_ body: () async throws -> Void) async -> Problem? {
        do { try await body() } catch let problem as Problem { return problem } catch { return Problem("other", title: "\(error)") }
        return nil
    }

    @Test("the BMC of a board with a default UUID and serial number is not bound to another such board, and switches nothing of it")
    func fillers() async throws {
        try await with([try machine("m-aaaa", filler, "To be filled by O.E.M.", booted: [portA])]) { place in
            let desk = try await place.desk()
            let b = place.bmc("10.0.0.2", filler, "Default string", [portB])
            let added = try await desk.add(request("10.0.0.2"), by: "ann")
            #expect(added.machine == nil && added.proposals == nil)
            #expect(await problem { _ = try await desk.power(.off, machine: "m-aaaa", by: "ann") }?.code == "machine-without-bmc")
            #expect(b.state.withLock { $0.switched.isEmpty })
        }
    }

    @Test("a new BMC is not bound by the address of its link to the host, which a machine has in its record") func hostInterface() async throws {
        try await with([try machine("m-aaaa", uuidA, "S-7745", owned: [portA, link])]) { place in
            let desk = try await place.desk()
            let b = place.bmc("10.0.0.2", uuidB, "S-9001", [portB, link])
            let added = try await desk.add(request("10.0.0.2"), by: "ann")
            #expect(added.machine == nil && added.proposals == nil)
            #expect(await problem { _ = try await desk.power(.off, machine: "m-aaaa", by: "ann") }?.code == "machine-without-bmc")
            #expect(b.state.withLock { $0.switched.isEmpty })
            // Its own machine comes into the record without that address.
            try await desk.remove(added.id.rawValue, by: "ann")
            let new = try await desk.add(request("10.0.0.2", new: true), by: "ann")
            let made = try await place.control.machine(named: try #require(new.machine).rawValue).value
            #expect(made.interfaces.map(\.mac) == [portB])
            #expect(new.binding?.basis == .hand && new.binding?.by == "ann")
        }
    }

    @Test("what is proved is bound when the BMC is added, and says why") func proved() async throws {
        try await with([try machine("m-aaaa", uuidA, "S-7745", booted: [portA]), try machine("m-bbbb", uuidB, "S-9001", booted: [portB])]) { place in
            let desk = try await place.desk()
            let b = place.bmc("10.0.0.2", uuidB, "S-9001", [portB])
            let added = try await desk.add(request("10.0.0.2"), by: "ann")
            #expect(added.machine?.rawValue == "m-bbbb" && added.binding?.basis == .facts && added.binding?.by == "ann")
            #expect(added.binding?.findings.filter { $0.standing == .agrees }.map(\.fact) == [.bootedMAC, .uuid, .serial])
            #expect(try await place.events("bmc.added").first?.evidence["booted-mac"]?.hasPrefix("agrees") == true)
            #expect(try await desk.power(.off, machine: "m-bbbb", by: "ann").state == .off)
            #expect(b.state.withLock { $0.switched } == ["off"])
        }
    }

    @Test("what is doubtful is proposed with its reasons; it switches nothing until a person says so, and then it does") func asked() async throws {
        try await with([try machine("m-aaaa", uuidA, "S-7745", booted: [portA])]) { place in
            let desk = try await place.desk()
            let bmc = place.bmc("10.0.0.2", uuidA, "S-9001")
            let added = try await desk.add(request("10.0.0.2"), by: "ann")
            #expect(added.machine == nil)
            let proposal = try #require(added.proposals?.first)
            #expect(proposal.machine.rawValue == "m-aaaa")
            #expect(proposal.findings.first { $0.fact == .serial }?.words == "serial number differs: the BMC says S-9001, the machine S-7745")
            let refused = try #require(await problem { _ = try await desk.power(.off, machine: "m-aaaa", by: "ann") })
            #expect(refused.code == "bmc-binding-doubtful" && refused.detail?.contains("UUID agrees") == true)
            #expect(refused.remedy?.contains("hostler bmc bind \(added.id) m-aaaa") == true)
            #expect(bmc.state.withLock { $0.switched.isEmpty })
            #expect(desk.bindingWarnings.map(\.code) == ["bmc-binding-doubtful"])

            // Looking again asks again.
            #expect(try await desk.verify(added.id.rawValue, by: "ann").machine == nil)
            let bound = try await desk.bind(added.id.rawValue, to: nil, by: "bob")
            #expect(bound.machine?.rawValue == "m-aaaa" && bound.binding?.basis == .hand && bound.binding?.by == "bob")
            #expect(bound.proposals == nil && desk.bindingWarnings.isEmpty)
            let event = try #require(try await place.events("bmc.bound").first)
            #expect(event.actor == "bob" && event.evidence["serial"]?.hasPrefix("differs") == true)
            #expect(try await desk.power(.off, machine: "m-aaaa", by: "ann").state == .off)
        }
    }

    @Test("a look at a BMC never binds it and never rebinds it, whatever it says by then") func verify() async throws {
        try await with([try machine("m-aaaa", uuidA, "S-7745", booted: [portA]), try machine("m-bbbb", uuidB, "S-9001", booted: [portB])]) { place in
            let desk = try await place.desk()
            let bmc = place.bmc("10.0.0.2", nil, nil)
            let added = try await desk.add(request("10.0.0.2"), by: "ann")
            #expect(added.machine == nil && added.proposals == nil)
            bmc.state.withLock {
                $0.facts.systemUUID = uuidA
                $0.facts.serial = "S-7745"
                $0.facts.macs = [portA]
            }
            let seen = try await desk.verify(added.id.rawValue, by: "ann")
            #expect(seen.machine == nil && seen.proposals?.map(\.machine.rawValue) == ["m-aaaa"], "everything agrees: proposed, not bound")
            _ = try await desk.bind(added.id.rawValue, to: "m-aaaa", by: "ann")
            bmc.state.withLock {
                $0.facts.systemUUID = uuidB
                $0.facts.serial = "S-9001"
                $0.facts.macs = [portB]
            }
            let moved = try await desk.verify(added.id.rawValue, by: "ann")
            #expect(moved.machine == nil && moved.proposals?.map(\.machine.rawValue) == ["m-aaaa"])
            #expect(try await place.events("bmc.binding-doubtful").count == 1)
            for name in ["m-aaaa", "m-bbbb"] {
                #expect(await problem { _ = try await desk.power(.off, machine: name, by: "ann") } != nil)
            }
            #expect(bmc.state.withLock { $0.switched.isEmpty })
        }
    }

    @Test("before power is switched the BMC is asked who it is: where another answers at its address, nothing is switched", arguments: [true, false])
    func another(byHand: Bool) async throws {
        try await with([try machine("m-aaaa", uuidA, "S-7745", booted: [portA])]) { place in
            let desk = try await place.desk()
            let bmc = place.bmc("10.0.0.2", uuidA, "S-7745", [portA])
            let added = try await desk.add(request("10.0.0.2", machine: byHand ? "m-aaaa" : nil), by: "ann")
            #expect(added.binding?.basis == (byHand ? .hand : .facts))
            _ = try await desk.power(.off, machine: "m-aaaa", by: "ann")
            // A BMC that is off names no ports, and some no UUID.
            bmc.state.withLock {
                $0.facts.macs = []
                $0.facts.systemUUID = "00000000-0000-0000-0000-000000000000"
            }
            _ = try await desk.power(.on, machine: "m-aaaa", by: "ann")
            bmc.state.withLock {
                $0.switched = []
                $0.facts.systemUUID = uuidB
                $0.facts.serial = "S-9001"
            }
            let refused = try #require(await problem { _ = try await desk.power(.off, machine: "m-aaaa", by: "ann") })
            #expect(refused.code == "bmc-binding-doubtful" && refused.detail?.contains("S-9001") == true)
            #expect(
                await problem { _ = try await desk.setBoot(BootOverride(target: .pxe), machine: "m-aaaa", by: "ann") }?.code == "bmc-binding-doubtful"
            )
            #expect(bmc.state.withLock { $0.switched.isEmpty })
            #expect(try await place.events("bmc.binding-doubtful").first?.evidence["machine"] == "m-aaaa")
            // The board was changed: a person says so, and it is known by what it says now.
            _ = try await desk.bind(added.id.rawValue, to: "m-aaaa", by: "ann")
            #expect(try await desk.power(.off, machine: "m-aaaa", by: "ann").state == .off)
        }
    }

    @Test("a BMC that said nothing when it was bound by hand is known by the first that it says") func firstWord() async throws {
        try await with([try machine("m-aaaa", nil, nil, booted: [portA])]) { place in
            let desk = try await place.desk()
            let bmc = place.bmc("10.0.0.2", nil, nil)
            let added = try await desk.add(request("10.0.0.2", machine: "m-aaaa"), by: "ann")
            _ = try await desk.power(.off, machine: "m-aaaa", by: "ann")
            bmc.state.withLock { $0.facts.serial = "S-7745" }
            _ = try await desk.power(.on, machine: "m-aaaa", by: "ann")
            #expect(try await desk.bmc(named: added.id.rawValue).value.binding?.facts?.serial == "S-7745")
            bmc.state.withLock { $0.facts.serial = "S-9001" }
            #expect(await problem { _ = try await desk.power(.off, machine: "m-aaaa", by: "ann") }?.code == "bmc-binding-doubtful")
            #expect(bmc.state.withLock { $0.switched } == ["off", "on"])
        }
    }

    @Test("a person says that it is not this machine's: it is not proposed again, and may still be bound") func denied() async throws {
        try await with([try machine("m-aaaa", uuidA, nil)]) { place in
            let desk = try await place.desk()
            _ = place.bmc("10.0.0.2", uuidA, nil)
            let added = try await desk.add(request("10.0.0.2"), by: "ann")
            #expect(added.proposals?.count == 1)
            let parted = try await desk.unbind(added.id.rawValue, by: "ann")
            #expect(parted.proposals == nil && parted.denied?.map(\.rawValue) == ["m-aaaa"])
            #expect(try await desk.verify(added.id.rawValue, by: "ann").proposals == nil)
            #expect(await problem { _ = try await desk.unbind(added.id.rawValue, by: "ann") }?.code == "bmc-not-bound")
            #expect(await problem { _ = try await desk.bind(added.id.rawValue, to: nil, by: "ann") }?.code == "bmc-binding-unclear")
            #expect(try await desk.bind(added.id.rawValue, to: "m-aaaa", by: "ann").denied == nil)
            #expect(try await desk.unbind(added.id.rawValue, by: "ann").machine == nil)
        }
    }

    @Test("a machine has one BMC, bound by hand or found") func second() async throws {
        try await with([try machine("m-aaaa", uuidA, "S-7745", booted: [portA])]) { place in
            let desk = try await place.desk()
            _ = place.bmc("10.0.0.2", uuidA, "S-7745", [portA])
            _ = place.bmc("10.0.0.3", nil, nil)
            _ = try await desk.add(request("10.0.0.2"), by: "ann")
            let other = try await desk.add(request("10.0.0.3"), by: "ann")
            #expect(await problem { _ = try await desk.bind(other.id.rawValue, to: "m-aaaa", by: "ann") }?.code == "machine-has-bmc")
        }
    }

    @Test("a machine that may be the BMC's is not recorded a second time as a new one") func newMachine() async throws {
        try await with([try machine("m-aaaa", uuidA, nil)]) { place in
            let desk = try await place.desk()
            _ = place.bmc("10.0.0.2", uuidA, nil, [portB])
            let refused = try #require(await problem { _ = try await desk.add(request("10.0.0.2", new: true), by: "ann") })
            #expect(refused.code == "bmc-ambiguous" && refused.detail?.contains("UUID agrees") == true)
            #expect(try await desk.all().isEmpty)
        }
    }

    // MARK: Records of earlier versions

    private func old(_ id: String, _ address: String, _ machine: String, _ uuid: String?, _ serial: String?, _ macs: [MACAddress]) -> BMC {
        var bmc = BMC(id: BMCID(unchecked: id), kind: .redfish, address: address, userName: "root", now: Timestamp(milliseconds: 0))
        bmc.machine = MachineID(unchecked: machine)
        var facts = BMCFacts()
        facts.systemUUID = uuid
        facts.serial = serial
        facts.macs = macs
        bmc.facts = facts
        return bmc
    }

    @Test("bindings of an earlier version: by two facts, by a booted port and by hand they stay; by a filler or one port they are asked")
    func upgrade() async throws {
        let machines = [
            try machine("m-1001", filler, "Default string", booted: [MACAddress("ac:1f:6b:00:01:01")!]),
            try machine("m-1002", uuidA, "S-7745", owned: [portA, link]),
            try machine("m-1003", uuidB, "S-9001", owned: [MACAddress("ac:1f:6b:00:02:01")!, MACAddress("ac:1f:6b:00:02:02")!]),
            try machine("m-1004", nil, nil, booted: [MACAddress("ac:1f:6b:00:03:01")!]),
            try machine("m-1005", nil, "S-1111-Q", owned: [MACAddress("ac:1f:6b:00:04:01")!]),
            try machine("m-1006", nil, nil, owned: [MACAddress("ac:1f:6b:00:05:01")!]),
        ]
        let bmcs = [
            old("bmc-1001", "10.0.1.1", "m-1001", filler, "Default string", []),
            old("bmc-1002", "10.0.1.2", "m-1002", "a9bffa99-794f-1e59-9183-1123456789ab", "S-5555-X", [portB, link]),
            old("bmc-1003", "10.0.1.3", "m-1003", uuidB, "S-9001", []),
            old("bmc-1004", "10.0.1.4", "m-1004", nil, nil, [MACAddress("ac:1f:6b:00:03:01")!]),
            old("bmc-1005", "10.0.1.5", "m-1005", "5f253d3a-4002-f1c4-9301-e58e5f2faaf9", "S-2222-Q", []),
            old("bmc-1006", "10.0.1.6", "m-1006", nil, nil, []),
        ]
        try await with(machines, bmcs) { place in
            for bmc in bmcs { _ = place.bmc(bmc.address, bmc.facts?.systemUUID, bmc.facts?.serial, bmc.facts?.macs ?? []) }
            for round in 1...2 {
                let desk = try await place.desk()
                let all = try await desk.all()
                func one(_ id: String) -> BMC? { all.first { $0.id.rawValue == id } }
                for id in ["1001", "1002"] {
                    #expect(one("bmc-\(id)")?.machine == nil && one("bmc-\(id)")?.proposals?.map(\.machine.rawValue) == ["m-\(id)"], "\(id)")
                    #expect(await problem { _ = try await desk.power(.off, machine: "m-\(id)", by: "ann") }?.code == "bmc-binding-doubtful")
                    #expect(place.ways.value[one("bmc-\(id)")?.address ?? ""]?.state.withLock { $0.switched } == [])
                }
                for (id, basis) in [("1003", BMCBinding.Basis.facts), ("1004", .facts), ("1005", .hand), ("1006", .hand)] {
                    #expect(one("bmc-\(id)")?.machine?.rawValue == "m-\(id)" && one("bmc-\(id)")?.binding?.basis == basis, "\(id)")
                    _ = try await desk.power(round == 1 ? .off : .on, machine: "m-\(id)", by: "ann")
                }
                #expect(desk.bindingWarnings.count == 2)
                #expect(try await place.events("bmc.binding-doubtful").count == 2, "told once")
            }
        }
    }

    @Test("a record of an earlier version, as it stands in the store, is read") func decoding() throws {
        let text = """
            {"id":"bmc-1001","kind":"redfish","address":"10.0.0.4","machine":"m-test01","trustsAuthorities":false,"options":{},"createdAt":0,\
            "updatedAt":0,"observed":{"breaker":"closed"},"facts":{"macs":["be:3a:f2:b6:05:9f"],"counts":{},"serial":"None"}}
            """
        let bmc = try JSONDecoder().decode(BMC.self, from: Data(text.utf8))
        #expect(bmc.machine?.rawValue == "m-test01" && bmc.binding == nil && bmc.proposals == nil)
    }

    @Test("a machine that only a proposal points to is not forgotten as merely discovered") func kept() async throws {
        try await with([try machine("m-aaaa", uuidA, nil)]) { place in
            let desk = try await place.desk()
            _ = place.bmc("10.0.0.2", uuidA, nil)
            _ = try await desk.add(request("10.0.0.2"), by: "ann")
            try await place.control.expireDiscovered()
            #expect(place.control.snapshot.machines.count == 1)
        }
    }
}
