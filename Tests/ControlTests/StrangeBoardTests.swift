import Hardware
import Model
import Store
import Testing
import Wire

@testable import Control

/// Two boards, and a port that does not tell one from the other.
@Suite("Boards that have one address") struct StrangeBoardTests {
    private let first = MACAddress("ac:1f:6b:00:0a:01")!
    private let second = MACAddress("ac:1f:6b:00:0b:01")!
    private let shared = MACAddress("ac:1f:6b:00:0f:01")!
    private let link = MACAddress("be:3a:f2:b6:05:9f")!
    private let uuidA = "b8e6f2a1-93d4-4c07-8f5e-6d10c2a7e94b"
    private let uuidB = "4c4c4544-0051-3410-8051-b5c04f375931"

    private func boot(
        _ control: ControlPlane, _ port: MACAddress, naming others: [MACAddress] = [], _ uuid: String? = nil, _ serial: String? = nil,
        key: Character = "a"
    ) async throws -> HelloReply {
        let hello = HelloRequest(
            nonce: control.nonces.make(for: port, now: control.now), sessionKey: String(repeating: key, count: 64), mac: port,
            macs: [port] + others, uuid: uuid, serial: serial, firmware: .bios, version: "test")
        return try await control.hello(hello, from: Sender(mac: port, address: IPv4Address("10.77.0.9"), interface: "eth0"), wantsProof: false)
    }

    /// Boots, and tells what the board is.
    private func inspected(
        _ control: ControlPlane, _ port: MACAddress, naming others: [MACAddress] = [], _ uuid: String?, _ serial: String?, key: Character = "a"
    ) async throws -> HelloReply {
        let reply = try await boot(control, port, naming: others, uuid, serial, key: key)
        var facts = inventory()
        facts.nics = ([port] + others).enumerated().map { Inventory.NICFacts(name: "eth\($0)", mac: $1, link: true) }
        facts.system.uuid = uuid
        facts.system.serial = serial
        try await control.record(facts, of: reply.machine, wantsProof: false)
        return reply
    }

    private func machine(_ control: ControlPlane, _ id: MachineID) async throws -> Machine { try await control.machine(named: id.rawValue).value }

    private func events(_ control: ControlPlane, _ kind: String) async throws -> [Event] {
        try await control.records.all(Event.self).map(\.value).filter { $0.kind == kind }
    }

    private func problem(_ body: () async throws -> Void) async -> Problem? {
        do { try await body() } catch let problem as Problem { return problem } catch { return Problem("other", title: "\(error)") }
        return nil
    }

    @Test("two boards that boot by one address do not become one machine: the first's session lives, the second gets nothing, a person is told")
    func oneBootPort() async throws {
        try await running(try await open(MemoryStore())) { control in
            let one = try await inspected(control, shared, uuidA, "S-7745")
            let operation = try await control.start(.install(InstallRequest(image: "debian-12")), on: one.machine.rawValue, by: "test")
            for attempt in 1...2 {
                let refused = try #require(await problem { _ = try await boot(control, shared, uuidB, "S-9001", key: "b") })
                #expect(refused.code == "interface-shared" && refused.status == 423, "\(attempt)")
                #expect(refused.detail?.contains(uuidB) == true && refused.remedy?.contains("take-interface \(one.machine) \(shared)") == true)
            }
            #expect(try control.machine(session: one.session).id == one.machine)
            #expect(control.snapshot.machines.count == 1)
            #expect(try await machine(control, one.machine).openOperation == operation.id)
            let told = try await events(control, "interface.shared")
            #expect(told.count == 1, "told once, not at each try")
            #expect(told.first?.machine == one.machine && told.first?.evidence["sender"] == shared.description)
            #expect(told.first?.evidence["uuid"]?.hasPrefix("differs") == true)
            #expect(control.interfaceWarnings.map(\.code) == ["interface-shared"])
            // The board itself boots as ever, and the question is gone until the other comes again.
            _ = try await boot(control, shared, uuidA, "S-7745", key: "c")
            #expect(control.interfaceWarnings.isEmpty)
        }
    }

    @Test(
        "what the board says is compared as what it is",
        arguments: [
            // The record's, the board's, and whether it is let in.
            ("b8e6f2a1-93d4-4c07-8f5e-6d10c2a7e94b", "S-7745", "a1f2e6b8-d493-074c-8f5e-6d10c2a7e94b", "S-7745", true),
            ("b8e6f2a1-93d4-4c07-8f5e-6d10c2a7e94b", "S-7745", "4c4c4544-0051-3410-8051-b5c04f375931", "S-7745", true),
            ("b8e6f2a1-93d4-4c07-8f5e-6d10c2a7e94b", "S-7745", "4c4c4544-0051-3410-8051-b5c04f375931", "Default string", false),
            ("b8e6f2a1-93d4-4c07-8f5e-6d10c2a7e94b", "None", "4c4c4544-0051-3410-8051-b5c04f375931", "None", false),
            ("03000200-0400-0500-0006-000700080009", "Default string", "4c4c4544-0051-3410-8051-b5c04f375931", "S-9001", true),
            ("b8e6f2a1-93d4-4c07-8f5e-6d10c2a7e94b", "S-7745", "03000200-0400-0500-0006-000700080009", "To be filled by O.E.M.", true),
            ("b8e6f2a1-93d4-4c07-8f5e-6d10c2a7e94b", "S-7745", "ffffffff-ffff-ffff-ffff-ffffffffffff", "S-9001", false),
        ])
    func compared(uuid: String, serial: String, otherUUID: String, otherSerial: String, isIn: Bool) async throws {
        try await running(try await open(MemoryStore())) { control in
            let one = try await inspected(control, shared, uuid, serial)
            let refused = await problem {
                let again = try await boot(control, shared, otherUUID, otherSerial, key: "b")
                #expect(again.machine == one.machine)
            }
            #expect(refused?.code == (isIn ? nil : "interface-shared"))
        }
    }

    @Test("a person says that the board was changed: it is the machine's from then on") func changedBoard() async throws {
        try await running(try await open(MemoryStore())) { control in
            let one = try await inspected(control, shared, uuidA, "S-7745")
            #expect(await problem { _ = try await boot(control, shared, uuidB, "S-9001", key: "b") } != nil)
            let taken = try await control.take(interface: shared, into: one.machine.rawValue, by: "ann")
            #expect(taken.observed.strangeBoard == nil && taken.interfaces.count == 1)
            #expect(control.interfaceWarnings.isEmpty)
            #expect(try await boot(control, shared, uuidB, "S-9001", key: "b").machine == one.machine)
            #expect(await problem { _ = try await boot(control, shared, uuidA, "S-7745", key: "c") }?.code == "interface-shared")
        }
    }

    @Test("two boards that name one port stay two, and when it boots it is neither's until a person says so") func oneNamedPort() async throws {
        try await running(try await open(MemoryStore())) { control in
            let one = try await inspected(control, first, naming: [shared], nil, nil)
            let two = try await inspected(control, second, naming: [shared], nil, nil, key: "b")
            #expect(one.machine != two.machine)
            #expect(try control.machine(session: one.session).id == one.machine && control.machine(session: two.session).id == two.machine)
            #expect(try await events(control, "interface.duplicate").count == 1)
            #expect(control.interfaceWarnings.map(\.code) == ["interface-duplicate"])
            let refused = try #require(await problem { _ = try await boot(control, shared, naming: [second], key: "c") })
            #expect(refused.code == "interface-shared" && refused.detail?.contains(one.machine.rawValue) == true)
            #expect(control.snapshot.machines.count == 2 && control.boots(shared).machine == nil)
            #expect(try control.machine(session: one.session).id == one.machine && control.machine(session: two.session).id == two.machine)
            _ = try await control.take(interface: shared, into: two.machine.rawValue, by: "ann")
            #expect(try await boot(control, shared, naming: [second], key: "c").machine == two.machine)
            #expect(try await machine(control, two.machine).observed.strangeBoard == nil)
        }
    }

    @Test("a port that two records have, as an earlier version made them, is neither's until a person says so") func twoOwners() async throws {
        let store = MemoryStore()
        var (one, two) = (try recorded("m-aaaa"), try recorded("m-bbbb"))
        one.interfaces = [Interface(mac: first), Interface(mac: shared)]
        two.interfaces = [Interface(mac: second), Interface(mac: shared)]
        try await store.commit([one.put(.absent), two.put(.absent)])
        try await running(try await open(store)) { control in
            #expect(await problem { _ = try await boot(control, shared, naming: [first]) }?.code == "interface-shared")
            #expect(try await boot(control, second, key: "b").machine == two.id)
            let consequence = try await control.consequence(of: .take(shared), on: two.id.rawValue)
            #expect(consequence.losses.map(\.id) == ["\(shared) m-aaaa"])
            #expect(await problem { _ = try await control.take(interface: shared, into: two.id.rawValue, by: "ann") }?.code == "confirmation-needed")
            let taken = try await control.take(interface: shared, into: two.id.rawValue, by: "ann", agreement: consequence.confirmation)
            #expect(taken.interfaces.count == 2)
            #expect(try await !machine(control, one.id).owns(shared))
            #expect(try await boot(control, shared, key: "c").machine == two.id)
        }
    }

    @Test("a port of two records keeps nobody from his system, and says nothing of another's installation") func twoOwnersBoot() async throws {
        let store = MemoryStore()
        var (one, two) = (try recorded("m-aaaa"), try recorded("m-bbbb"))
        one.interfaces = [Interface(mac: first), Interface(mac: shared)]
        two.interfaces = [Interface(mac: second), Interface(mac: shared)]
        try await store.commit([one.put(.absent), two.put(.absent)])
        try await running(try await open(store)) { control in
            guard case .refuse(let why) = control.boots(shared).verdict else { Issue.record("not refused"); return }
            #expect(why.contains("m-aaaa and m-bbbb"))
            guard case .agent = control.boots(second).verdict else { Issue.record("its own port is its own"); return }
        }
        one.state = .running
        one.installed = Installation(
            operation: OperationID(unchecked: "op-0001"), generation: 1, image: "debian-12", digest: "", hostname: "one", diskSerial: nil,
            installedAt: Timestamp(milliseconds: 0))
        let other = MemoryStore()
        try await other.commit([one.put(.absent), two.put(.absent)])
        try await running(try await open(other)) { control in
            guard case .localDisk = control.boots(shared).verdict else { Issue.record("kept from its disk"); return }
            #expect(control.diskSystem(at: shared) == DiskSystem())
            let told = try await control.systemIsMissing(at: shared, evidence: [:])
            #expect(told == nil)
            #expect(try await events(control, "boot.system-missing").isEmpty)
        }
    }

    private func recorded(_ id: String) throws -> Machine {
        var machine = Machine(id: MachineID(unchecked: id), name: try DisplayName(id), interfaces: [], now: Timestamp(milliseconds: 0))
        machine.state = .ready
        return machine
    }

    @Test("the link between a host and its BMC is no claim, whoever names it, and no warning for a rack of them") func hostInterface() async throws {
        try await running(try await open(MemoryStore())) { control in
            let one = try await inspected(control, first, naming: [link], uuidA, "S-7745")
            let two = try await inspected(control, second, naming: [link], uuidB, "S-9001", key: "b")
            #expect(one.machine != two.machine)
            // Another vendor's, known by its driver.
            let usb = MACAddress("0a:11:32:00:00:01")!
            for reply in [one, two] {
                var facts = try #require(try await machine(control, reply.machine).observed.inventory)
                var card = Inventory.NICFacts(name: "usb0", mac: usb, link: true)
                card.driver = "rndis_host"
                facts.nics.append(card)
                try await control.record(facts, of: reply.machine, wantsProof: false)
                #expect(try await machine(control, reply.machine).observed.claimedInterfaces == nil)
            }
            #expect(control.interfaceWarnings.isEmpty)
            #expect(try await events(control, "interface.duplicate").isEmpty)
        }
    }

    @Test("the record says by which ports the wire saw a machine boot") func bootedAt() async throws {
        try await running(try await open(MemoryStore())) { control in
            let one = try await boot(control, first, naming: [second])
            #expect(try await machine(control, one.machine).interfaces.map(\.bootedAt) == [control.now])
            _ = try await boot(control, second, naming: [first], key: "b")
            #expect(try await machine(control, one.machine).interfaces.allSatisfy { $0.bootedAt != nil })
            // A person's word is none of the wire's.
            let taken = try await control.take(interface: shared, into: one.machine.rawValue, by: "ann")
            #expect(taken.interfaces.last?.bootedAt == nil && !taken.hasBooted(shared) && taken.hasBooted(first))
            _ = try await boot(control, shared, key: "c")
            #expect(try await machine(control, one.machine).hasBooted(shared))
        }
    }
}
