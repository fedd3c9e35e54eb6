import Logging
import Model
import Store
import Testing
import Wire

@testable import Control

@Suite("records that cannot be read")
struct DamageTests {
    /// What may be left of a record, and what each kind of damage makes of it.
    private static let damages: [(name: String, of: @Sendable ([UInt8]) -> [UInt8])] = [
        ("empty", { _ in [] }), ("torn", { Array($0.prefix($0.count * 2 / 3)) }), ("zeros", { [UInt8](repeating: 0, count: $0.count) }),
        ("not UTF-8", { [0xff, 0xfe] + $0 }), ("another kind", { _ in Array(#"{"id":"x"}"#.utf8) }), ("a list", { _ in Array("[1]".utf8) }),
        ("a number for a word", { Array(String(decoding: $0, as: UTF8.self).replacing("\"id\":\"", with: "\"id\":5,\"was\":\"").utf8) }),
    ]

    private func put(_ store: MemoryStore, _ key: String, _ value: [UInt8]) async throws {
        try await store.commit([.put(key: key, value: value, if: .none)])
    }

    /// A record with a sound machine and, beside it, one whose record was damaged.
    private func rack(_ damage: @Sendable ([UInt8]) -> [UInt8]) async throws -> (store: MemoryStore, good: Machine, bad: Machine) {
        let store = MemoryStore()
        var good = try machine()
        good.interfaces = [Interface(mac: MACAddress(value: 0x5254_0077_0009))]
        var bad = Machine(
            id: MachineID(unchecked: "m-bad001"), name: try DisplayName("database"), interfaces: [Interface(mac: testMAC)],
            now: Timestamp(milliseconds: 0))
        bad.state = .running
        try await put(store, good.key, RecordCoding.encode(good))
        try await put(store, bad.key, damage(RecordCoding.encode(bad)))
        return (store, good, bad)
    }

    @Test("a machine whose record is damaged does not stop the start; it is named, booted from its disk, and not touched")
    func machines() async throws {
        for damage in Self.damages {
            let (store, good, bad) = try await rack(damage.of)
            let control = try await open(store)
            try await control.tellDamage()
            #expect(control.snapshot.machines.keys.map(\.rawValue) == [good.id.rawValue], "\(damage.name)")
            let page = try await control.records.list(Machine.self)
            #expect(page.items.map(\.value.id) == [good.id] && page.skipped == [bad.id.rawValue], "\(damage.name)")
            #expect(control.records.damaged.warnings.map(\.code) == ["record-damaged"])
            let told = try await control.records.all(Event.self).map(\.value).filter { $0.kind == "record.damaged" }
            #expect(told.map(\.machine) == [bad.id] && told.first?.evidence["key"] == bad.key)
            // Once.
            try await control.tellDamage()
            #expect(try await control.records.all(Event.self).count { $0.value.kind == "record.damaged" } == 1)
            await #expect(performing: { try await control.machine(named: bad.id.rawValue) }, throws: { ($0 as? Problem)?.code == "record-damaged" })
            try await running(control) { control in
                _ = try await control.update(machine: good.id.rawValue, with: MachinePatch(hostname: "web"), expecting: nil, by: "test")
            }

            let canBeRead = ["torn", "not UTF-8", "a number for a word"].contains(damage.name)
            let (_, verdict) = control.boots(testMAC)
            guard canBeRead else { continue }
            guard case .localDisk(let why) = verdict else {
                Issue.record("\(damage.name): \(verdict)")
                continue
            }
            #expect(why.contains("cannot be read"))
            // Its port stays its own: no new machine comes of it, no other takes it, and the agent gets nothing.
            await #expect(performing: { try await boot(control) }, throws: { ($0 as? Problem)?.code == "record-damaged" })
            await #expect(
                performing: { try await control.take(interface: testMAC, into: good.id.rawValue, by: "test") },
                throws: { ($0 as? Problem)?.code == "record-damaged" })
            #expect(control.snapshot.isKnown(testMAC))
            guard damage.name == "a number for a word" else { continue }
            await #expect(
                performing: { try await control.update(machine: good.id.rawValue, with: MachinePatch(name: "database"), expecting: nil, by: "test") },
                throws: { ($0 as? Problem)?.code == "record-damaged" })
        }
    }

    @Test("a record that says that it is another one is believed to be neither")
    func otherID() async throws {
        let store = MemoryStore()
        let good = try machine()
        try await put(store, good.key, RecordCoding.encode(good))
        var other = good
        other.state = .running
        try await put(store, Machine.prefix + "m-other1", RecordCoding.encode(other))
        let control = try await open(store)
        #expect(control.snapshot.machines[good.id]?.state == good.state && control.snapshot.machines.count == 1)
        #expect(control.records.damaged.all.map(\.name) == ["m-other1"])
    }

    @Test("a damaged operation is neither open nor over: its machine is not led into the agent, and its secrets stay")
    func operations() async throws {
        for damage in Self.damages {
            let store = MemoryStore()
            var subject = try machine(.ready)
            let begun = OperationTransition.begin(
                id: OperationID(unchecked: "op-test01"), request: .inspect, machine: subject, by: "test",
                now: Timestamp(milliseconds: 0))
            subject = begun.machine
            try await put(store, subject.key, RecordCoding.encode(subject))
            try await put(store, begun.operation.key, damage.of(RecordCoding.encode(begun.operation)))
            try await put(store, SeedSecrets.prefix + begun.operation.id.rawValue, Array("{}".utf8))
            let control = try await open(store)
            guard case .refuse = control.boots(testMAC).verdict else {
                Issue.record("\(damage.name): \(control.boots(testMAC).verdict)")
                continue
            }
            #expect(try await store.get(SeedSecrets.prefix + begun.operation.id.rawValue) != nil)
            #expect(try await control.records.list(Model.Operation.self).skipped == [begun.operation.id.rawValue])
            // Taken out of the record, it is over; a person decides about the machine.
            try await store.commit([.delete(key: begun.operation.key, if: .none)])
            let after = try await open(store)
            let settled = try #require(after.snapshot.machines[subject.id])
            #expect(settled.openOperation == nil && settled.holds.map(\.problem.code) == ["operation-lost"])
            guard case .refuse = after.boots(testMAC).verdict else {
                Issue.record("\(damage.name): it is on hold")
                continue
            }
        }
    }

    @Test("no damaged record of any kind stops a start, or hides the others")
    func kinds() async throws {
        for damage in Self.damages {
            let store = MemoryStore()
            let first = try await open(store)
            try await first.recordEvent(kind: "test.one", actor: "test", message: "one")
            try await first.recordEvent(kind: "test.two", actor: "test", message: "two")
            let events = try await first.records.all(Event.self)
            try await put(store, events[0].value.key, damage.of(RecordCoding.encode(events[0].value)))
            let bmc = BMC(id: BMCID(unchecked: "bmc-0001"), kind: .redfish, address: "10.0.9.4", now: .init(milliseconds: 1))
            try await put(store, bmc.key, damage.of(RecordCoding.encode(bmc)))
            for key in [
                "/nonces/1234", "/secrets/user-data/m-gone01", "/secrets/seeds/op-gone01", "/secrets/bmcs/bmc-0001", "/attestation/logs/m-gone01",
                StoredSecret.session.key, StoredSecret.markers.key,
            ] { try await put(store, key, damage.of(Array(#"{"createdAt":1}"#.utf8))) }
            let control = try await open(store)
            let left = try await control.records.list(Event.self)
            #expect(left.items.contains { $0.value.kind == "test.two" } && left.skipped == [events[0].value.id], "\(damage.name)")
            #expect(try await control.records.list(BMC.self).skipped == ["bmc-0001"])
            try await control.tellDamage()
            let told = try await control.records.all(Event.self).map(\.value).filter { $0.kind == "record.damaged" }.compactMap { $0.evidence["key"] }
            #expect(Set([StoredSecret.session.key, StoredSecret.markers.key, bmc.key]).isSubset(of: told), "\(damage.name): \(told)")
            try await running(control) { control in _ = try await boot(control) }
        }
    }

    @Test("what looks like a port's address in a torn record is one, and nothing else is")
    func addresses() {
        let text = #"{"a":"52:54:00:AA:bb:01","b":"52:54:00:aa:bb","c":"x52:54:00:aa:bb:02x"52:54:00:aa:bb:03"#
        let found = DamagedMachine.addresses(in: Array(text.utf8)).map(\.description)
        #expect(found == ["52:54:00:aa:bb:01", "52:54:00:aa:bb:02", "52:54:00:aa:bb:03"])
        for text in ["", "52:54:00:aa:bb:0", "52-54-00-aa-bb-01", "gg:54:00:aa:bb:01"] {
            #expect(DamagedMachine.addresses(in: Array(text.utf8)).isEmpty)
        }
    }

    @Test("of each kind that the control plane keeps, the check reads what it writes")
    func recordKinds() throws {
        for kind in RecordKind.ofControl {
            let stored = StoredValue(
                key: kind.prefix.hasSuffix("/") ? kind.prefix + "x" : kind.prefix, value: [0xff], createdRevision: .zero, modifiedRevision: .zero)
            #expect(kind.holds(stored.key))
            if kind.name == "attestation log" { continue }
            #expect(throws: (any Error).self, "\(kind.name)") { try kind.check(stored) }
        }
        let good = try machine()
        let stored = StoredValue(key: good.key, value: try RecordCoding.encode(good), createdRevision: .zero, modifiedRevision: .zero)
        try RecordKind.ofControl[0].check(stored)
    }

    @Test("a system whose operation is lost boots its disk, and is known again once an agent has read its marker", arguments: [true, false])
    func lostOperation(isDamaged: Bool) async throws {
        let store = MemoryStore()
        var found: (machine: MachineID, operation: Model.Operation)?
        try await running(try await open(store)) { control in
            let reply = try await boot(control)
            try await control.record(inventory(disks: [("D1", 8_000_000_000)]), of: reply.machine, wantsProof: false)
            let operation = try await control.order(.install(InstallRequest(image: "debian-12")), on: reply.machine.rawValue, by: "t")
            _ = try await control.task(
                for: reply.session, query: TaskQuery(operation: nil, generation: 0), base: testBase, wantsProof: false)
            for step in InstallTests.order {
                let report = StepReport(
                    operation: operation.id, generation: operation.generation, step: step, kind: .succeeded,
                    evidence: step == .chooseDisk ? ["serial": "D1"] : [:])
                _ = try await control.report(report, of: reply.machine, wantsProof: false)
                if step == .restart { break }
            }
            found = (reply.machine, operation)
        }
        let (id, operation) = try #require(found)
        if isDamaged { try await put(store, operation.key, []) } else { try await store.commit([.delete(key: operation.key, if: .none)]) }
        try await running(try await open(store)) { control in
            guard case .localDisk = control.boots(testMAC).verdict else {
                Issue.record("its system is kept from its disk: \(control.boots(testMAC).verdict)")
                return
            }
            guard !isDamaged else { return }
            let hold = try #require(try await control.machine(named: id.rawValue).value.holds.first)
            #expect(hold.problem.code == "operation-lost")
            _ = try await control.agreedRelease(hold.id, on: id.rawValue, by: "t")
            let reply = try await boot(control, key: String(repeating: "b", count: 64))
            let marker = InstallRecord(
                machine: id, operation: operation.id, generation: operation.generation, image: "debian-12", digest: OneImage.digest, hostname: "one")
            var facts = inventory(disks: [("D1", 8_000_000_000)])
            // A made-up one brings nothing back.
            facts.installations = [.init(disk: "vd0", record: marker)]
            try await control.record(facts, of: reply.machine, wantsProof: false)
            #expect(try await control.machine(named: id.rawValue).value.installed == nil)
            facts.installations = [.init(disk: "vd0", record: try control.markers.sealed(marker))]
            try await control.record(facts, of: reply.machine, wantsProof: false)
            let machine = try await control.machine(named: id.rawValue).value
            #expect(machine.installed?.operation == operation.id && machine.state == .running && machine.installed?.isAdopted == true)
            guard case .localDisk = control.boots(testMAC).verdict else { Issue.record("not sent to its disk"); return }
        }
    }

    @Test("what the brake, the clock and a freeze write is sound, and known")
    func ownRecordsAreSound() async throws {
        let store = MemoryStore()
        let clock = ManualClock()
        var environment = ControlEnvironment(now: { clock.now }, logger: Logger(label: "test"))
        environment.brake = BrakeLimits()
        let control = try await ControlPlane.open(store: store, images: OneImage(), environment: environment)
        try await running(control) { control in
            let reply = try await boot(control)
            try await control.record(inventory(disks: [("D1", 8_000_000_000)]), of: reply.machine, wantsProof: false)
            _ = try await control.order(.install(InstallRequest(image: "debian-12")), on: reply.machine.rawValue, by: "t")
            _ = try await control.beginFreeze("a test", by: "t")
        }
        #expect(try await store.get(BrakeLedger.key) != nil)
        for stored in try await store.list(prefix: "/", after: nil, limit: 1000).values {
            let kind = RecordKind.ofControl.first { $0.holds(stored.key) }
            #expect(kind != nil, "\(stored.key) is of no kind")
            do { try kind?.check(stored) } catch { Issue.record("\(stored.key): \(error)") }
        }
    }
}
