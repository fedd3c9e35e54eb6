import Model
import Store
import Testing
import Wire

@testable import Control

/// What an agent says of its machine's ports, and what that may change.
@Suite("Ports that an agent names")
struct ClaimedPortTests {
    private let victim = MACAddress(value: 0x5254_0077_00aa)
    private let attacker = MACAddress(value: 0x5254_0077_00ee)
    private let second = MACAddress(value: 0x5254_0077_00ab)

    /// Boots by `port`, naming `others` too.
    private func boot(_ control: ControlPlane, _ port: MACAddress, naming others: [MACAddress] = [], key: Character = "a") async throws -> HelloReply
    {
        let hello = HelloRequest(
            nonce: control.nonces.make(for: port, now: control.now), sessionKey: String(repeating: key, count: 64), mac: port,
            macs: [port] + others, uuid: nil, serial: nil, firmware: .bios, version: "test")
        return try await control.hello(hello, from: Sender(mac: port, address: IPv4Address("10.77.0.9"), interface: "eth0"), wantsProof: false)
    }

    private func machine(_ control: ControlPlane, _ id: MachineID) async throws -> Machine {
        try await control.machine(named: id.rawValue).value
    }

    private func events(_ control: ControlPlane, _ kind: String) async throws -> [Event] {
        try await control.records.all(Event.self).map(\.value).filter { $0.kind == kind }
    }

    @Test("another machine's port stays that machine's, in a hello and in an inventory, from a new machine and from a known one")
    func foreignPort() async throws {
        for known in [false, true] {
            try await running(try await open(MemoryStore())) { control in
                let honest = try await boot(control, victim)
                try await control.record(inventory(), of: honest.machine, wantsProof: false)
                let operation = try await control.start(.install(InstallRequest(image: "debian-12")), on: honest.machine.rawValue, by: "test")
                if known { _ = try await boot(control, attacker, key: "b") }

                let reply = try await boot(control, attacker, naming: [victim], key: "c")
                #expect(reply.machine != honest.machine)
                var facts = inventory()
                facts.nics = [attacker, victim].map { Inventory.NICFacts(name: "eth0", mac: $0, link: true) }
                try await control.record(facts, of: reply.machine, wantsProof: false)

                let own = try await machine(control, honest.machine)
                #expect(own.owns(victim) && own.openOperation == operation.id)
                #expect(control.boots(victim).machine?.id == honest.machine)
                #expect(try control.machine(session: honest.session).id == honest.machine, "its session goes on")
                let claimant = try await machine(control, reply.machine)
                #expect(!claimant.owns(victim) && claimant.claims(victim) && claimant.openOperation != operation.id)
                let conflicts = try await events(control, "interface.conflict")
                #expect(conflicts.count == 1, "told once, not at each message")
                #expect(conflicts.first?.machine == reply.machine)
                #expect(conflicts.first?.evidence["owner"] == honest.machine.rawValue)
                #expect(conflicts.first?.evidence["sender"] == attacker.description)
                #expect(conflicts.first?.evidence["interface"] == "eth0" && conflicts.first?.evidence["address"] == "10.77.0.9")
                #expect(control.interfaceWarnings.map(\.code) == ["interface-conflict"])
            }
        }
    }

    @Test("a hello that is not from the port that it names is refused, and spends nothing")
    func foreignHello() async throws {
        try await running(try await open(MemoryStore())) { control in
            let hello = HelloRequest(
                nonce: control.nonces.make(for: victim, now: control.now), sessionKey: String(repeating: "a", count: 64), mac: victim,
                macs: [victim], uuid: nil, serial: nil, firmware: .bios, version: "test")
            await #expect(throws: Problem.self) {
                try await control.hello(hello, from: Sender(mac: attacker, address: nil), wantsProof: false)
            }
            _ = try await control.hello(hello, from: Sender(mac: victim, address: nil), wantsProof: false)
        }
    }

    @Test("a port that its machine named comes to it when it boots itself and names a port of the machine in turn")
    func secondPort() async throws {
        try await running(try await open(MemoryStore())) { control in
            let first = try await boot(control, victim, naming: [second])
            #expect(control.boots(second).machine == nil, "until it has booted it is nobody's")
            let again = try await boot(control, second, naming: [victim], key: "b")
            #expect(again.machine == first.machine)
            let own = try await machine(control, first.machine)
            #expect(own.owns(second) && !own.claims(second))
            #expect(try await events(control, "interface.joined").count == 1)
        }
    }

    @Test("naming a port before its machine comes gains nothing: that machine does not name the other")
    func claimedBefore() async throws {
        try await running(try await open(MemoryStore())) { control in
            let early = try await boot(control, attacker, naming: [victim])
            let honest = try await boot(control, victim, naming: [second], key: "b")
            #expect(honest.machine != early.machine)
            // Nor does it when the other names a port of the machine's after that.
            let later = try await boot(control, attacker, naming: [victim, second], key: "c")
            #expect(later.machine == early.machine)
            #expect(try await machine(control, honest.machine).interfaces.map(\.mac) == [victim])
        }
    }

    @Test("a port that two machines name, and that nobody has, is an event and a warning, and identifies neither")
    func duplicate() async throws {
        try await running(try await open(MemoryStore())) { control in
            let one = try await boot(control, victim, naming: [second])
            #expect(control.interfaceWarnings.isEmpty)
            let two = try await boot(control, attacker, naming: [second], key: "b")
            _ = try await boot(control, attacker, naming: [second], key: "c")
            let found = try await events(control, "interface.duplicate")
            #expect(found.count == 1, "at the first time only")
            #expect(found.first?.machine == two.machine && found.first?.evidence["other"] == one.machine.rawValue)
            #expect(found.first?.evidence["sender"] == attacker.description && found.first?.evidence["macs"] == second.description)
            #expect(control.interfaceWarnings.map(\.code) == ["interface-duplicate"])
            #expect(control.boots(second).machine == nil)
        }
    }

    @Test("the event of a boot says by which port and from which address it came")
    func origin() async throws {
        try await running(try await open(MemoryStore())) { control in
            let reply = try await boot(control, victim)
            let arrivals = try await events(control, "step.succeeded").filter { $0.evidence["boot"] != nil }
            #expect(arrivals.map { $0.evidence["sender"] } == [victim.description])
            #expect(arrivals.map { $0.evidence["address"] } == ["10.77.0.9"])
            try await control.record(inventory(), of: reply.machine, wantsProof: false)
            _ = try await control.start(.install(InstallRequest(image: "debian-12")), on: reply.machine.rawValue, by: "test")
            _ = try await control.task(
                for: reply.session, query: TaskQuery(operation: nil, generation: 0), base: "http://10.77.0.1:8080", wantsProof: false)
            _ = try await boot(control, victim, key: "d")
            let returns = try await events(control, "operation.agent-returned")
            #expect(returns.map { $0.evidence["sender"] } == [victim.description])
        }
    }

    @Test("an agent names as many ports as a machine can have, and no more are kept")
    func manyPorts() async throws {
        try await running(try await open(MemoryStore())) { control in
            let reply = try await boot(control, victim, naming: (0..<60).map { MACAddress(value: 0x5254_0000_0000 + UInt64($0)) })
            var facts = inventory()
            facts.nics = (100..<900).map { Inventory.NICFacts(name: "e\($0)", mac: MACAddress(value: 0x5254_0000_0000 + UInt64($0)), link: false) }
            try await control.record(facts, of: reply.machine, wantsProof: false)
            #expect(try await machine(control, reply.machine).observed.claimedInterfaces?.count == ObservedMachine.claimLimit)
            await #expect(throws: Problem.self) {
                _ = try await boot(control, second, naming: (0..<65).map { MACAddress(value: UInt64($0 + 1)) }, key: "b")
            }
        }
    }

    @Test("an agent that crashed and says hello again after hours has its session still; a nonce that nobody spent is too old")
    func lateAgain() async throws {
        let clock = ManualClock()
        try await running(try await open(MemoryStore(), clock: clock)) { control in
            let sender = Sender(mac: victim, address: IPv4Address("10.77.0.9"))
            func hello(_ nonce: String, _ key: Character) -> HelloRequest {
                HelloRequest(
                    nonce: nonce, sessionKey: String(repeating: key, count: 64), mac: victim, macs: [victim], uuid: nil, serial: nil,
                    firmware: .bios, version: "test")
            }
            let (spent, unspent) = (control.nonces.make(for: victim, now: clock.now), control.nonces.make(for: victim, now: clock.now))
            let first = try await control.hello(hello(spent, "a"), from: sender, wantsProof: false)
            clock.advance(.seconds(7200))
            let again = try await control.hello(hello(spent, "a"), from: sender, wantsProof: false)
            #expect(again.session == first.session)
            await #expect(throws: Problem.self) { _ = try await control.hello(hello(spent, "b"), from: sender, wantsProof: false) }
            await #expect(throws: Problem.self) { _ = try await control.hello(hello(unspent, "c"), from: sender, wantsProof: false) }
        }
    }

    @Test("agents' logs have a limit for each machine and in all, and go with the machine")
    func logs() {
        let (machineBytes, totalBytes) = (8 << 10, 100 << 10)
        let logs = AgentLogs(machineBytes: machineBytes, totalBytes: totalBytes)
        func say(_ machine: Int, _ lines: Int) {
            let batch = LogBatch(lines: (0..<lines).map { .init(uptimeMilliseconds: Int64($0), text: String(repeating: "x", count: 100)) })
            logs.append(batch, of: MachineID(unchecked: "m-\(machine)"))
        }
        func bytes(_ machine: Int) -> Int { logs.all(of: MachineID(unchecked: "m-\(machine)")).reduce(0) { $0 + $1.utf8.count } }
        for machine in 0..<50 { say(machine, 200) }
        let all = (0..<50).map(bytes)
        #expect(all.allSatisfy { $0 > 0 && $0 <= machineBytes })
        #expect(all.reduce(0, +) <= totalBytes)
        #expect((1...AgentLogs.tailLines).contains(logs.tail(of: MachineID(unchecked: "m-49")).count))
        logs.forget(MachineID(unchecked: "m-49"))
        #expect(bytes(49) == 0)
    }

    @Test("a person moves a port; the session of the machine that had it ends")
    func taken() async throws {
        try await running(try await open(MemoryStore())) { control in
            let former = try await boot(control, victim)
            try await control.record(inventory(), of: former.machine, wantsProof: false)
            let other = try await boot(control, attacker, naming: [victim], key: "b")
            let lost = try await control.agreement(to: .take(victim), on: other.machine.rawValue)
            let changed = try await control.take(interface: victim, into: other.machine.rawValue, by: "ann", agreement: lost)
            #expect(changed.owns(victim) && !changed.claims(victim))
            #expect(control.boots(victim).machine?.id == other.machine)
            #expect(throws: Problem.self) { try control.machine(session: former.session) }
            let event = try #require(try await events(control, "interface.moved").first)
            #expect(event.actor == "ann" && event.evidence["from"] == former.machine.rawValue)
            #expect(control.interfaceWarnings.isEmpty)
            await #expect(throws: Problem.self) {
                try await control.take(interface: .broadcast, into: other.machine.rawValue, by: "ann")
            }
        }
    }
}
