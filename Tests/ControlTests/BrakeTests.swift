import Foundation
import Logging
import Model
import Store
import Synchronization
import Testing
import Wire

@testable import Control

/// The uptime of a host that a test starts anew and lets grow old.
final class ManualUptime: Sendable {
    private let state = Mutex(HostUptime(boot: "first", milliseconds: 1_000_000))
    @Sendable func read() -> HostUptime { state.withLock { $0 } }
    func advance(_ duration: Duration) { state.withLock { $0.milliseconds += duration.wholeMilliseconds } }
    func reboot(_ boot: String) { state.withLock { $0 = HostUptime(boot: boot, milliseconds: 5_000) } }
}

@Suite("The brake's ledger") struct BrakeLedgerTests {
    private let id = MachineID(unchecked: "m-0000")

    private func advanced(_ ledger: BrakeLedger, _ boot: String, _ milliseconds: Int64, open: Bool = false) -> BrakeLedger {
        var ledger = ledger
        ledger.advance(to: HostUptime(boot: boot, milliseconds: milliseconds)) { _ in open }
        return ledger
    }

    @Test("counts an hour by uptime, each kind by itself") func hour() {
        var ledger = BrakeLedger(HostUptime(boot: "a", milliseconds: 0))
        ledger.add(.wipe, machine: id, operation: nil)
        #expect(ledger.begun(.wipe) == 1 && ledger.begun(.install) == 0)
        #expect(advanced(ledger, "a", 3_599_999).begun(.wipe) == 1)
        #expect(advanced(ledger, "a", 3_600_000).begun(.wipe) == 0)
        #expect(advanced(ledger, "a", 3_600_000).entries.isEmpty)
    }

    @Test("keeps what is under way beyond the hour, without counting it as begun") func open() {
        var ledger = BrakeLedger(HostUptime(boot: "a", milliseconds: 0))
        ledger.add(.install, machine: id, operation: OperationID(unchecked: "op-0000"))
        let old = advanced(ledger, "a", 7_200_000, open: true)
        #expect(old.entries.count == 1 && old.begun(.install) == 0)
    }

    @Test("neither empties nor fills by a start of the host: each entry is as old as it was") func reboot() {
        var ledger = BrakeLedger(HostUptime(boot: "a", milliseconds: 0))
        ledger.add(.wipe, machine: id, operation: nil)
        ledger = advanced(ledger, "a", 3_000_000)
        ledger.add(.wipe, machine: id, operation: nil)
        ledger = advanced(ledger, "b", 10)
        #expect(ledger.begun(.wipe) == 2)
        #expect(advanced(ledger, "b", 600_009).begun(.wipe) == 2)
        #expect(advanced(ledger, "b", 600_010).begun(.wipe) == 1, "3000 s before the start, 600 s after it")
        #expect(advanced(ledger, "b", 3_600_010).begun(.wipe) == 0)
        // An uptime that runs backwards within one start is one of another host, or a fault.
        #expect(advanced(ledger, "b", 0).begun(.wipe) == 2)
    }

    @Test("whatever numbers a record has, it counts without a trap") func extremes() throws {
        for number in [Int64.min, .min + 1, -1, 0, .max - 1, .max] {
            for written in [Int64.min, 0, .max] {
                let text = """
                    {"boot":"a","writtenAt":\(written),"entries":[{"kind":"wipe","machine":"m-0000","beganAt":\(number)}]}
                    """
                var ledger = try JSONDecoder().decode(BrakeLedger.self, from: Data(text.utf8))
                _ = ledger.begun(.wipe)
                for (boot, now) in [("a", Int64(5)), ("b", 10), ("c", .max >> 8), ("d", 0)] {
                    ledger.advance(to: HostUptime(boot: boot, milliseconds: now)) { _ in true }
                    ledger.add(.wipe, machine: id, operation: nil)
                    _ = ledger.begun(.wipe)
                }
            }
        }
    }

    @Test("has a limit of its own") func limit() {
        var ledger = BrakeLedger(HostUptime(boot: "a", milliseconds: 0))
        for _ in 0..<(BrakeLedger.entryLimit + 5) { ledger.add(.install, machine: id, operation: OperationID(unchecked: "op-00000000")) }
        #expect(ledger.entries.count == BrakeLedger.entryLimit)
        #expect((try? RecordCoding.encode(ledger).count < 1 << 20) == true)
    }
}

@Suite("The brake for the rack") struct BrakeTests {
    private let clock = ManualClock()
    private let uptime = ManualUptime()

    private func open(_ store: MemoryStore, _ limits: BrakeLimits) async throws -> ControlPlane {
        let clock = clock
        var environment = ControlEnvironment(now: { clock.now }, logger: Logger(label: "test"))
        environment.brake = limits
        environment.uptime = uptime.read
        return try await ControlPlane.open(store: store, images: OneImage(), environment: environment)
    }

    private func limits(_ perHour: Int, atOnce: Int = 100) -> BrakeLimits {
        var limits = BrakeLimits()
        (limits.installsPerHour, limits.wipesPerHour, limits.powerOffsPerHour) = (perHour, perHour, perHour)
        (limits.installsAtOnce, limits.wipesAtOnce, limits.powerOffsAtOnce) = (atOnce, atOnce, atOnce)
        return limits
    }

    private func rack(_ count: Int, in store: MemoryStore) async throws {
        for number in 0..<count {
            var one = Machine(
                id: MachineID(unchecked: "m-000\(number)"), name: try DisplayName("node\(number)"),
                interfaces: [Interface(mac: MACAddress(value: 0x5254_0000_0000 + UInt64(number)))], now: Timestamp(milliseconds: 0))
            one.state = .ready
            one.observed.inventory = inventory(disks: [("D\(number)", 8_000_000_000)])
            try await store.commit([one.put(.absent)])
        }
    }

    @Test("lets as many begin as its limit says; the next waits, and its machine stays as it is") func perHour() async throws {
        let store = MemoryStore()
        try await rack(4, in: store)
        try await running(try await open(store, limits(2))) { control in
            for number in 0..<2 { #expect(try await control.order(.wipe(WipeRequest()), on: "node\(number)", by: "t").state == .running) }
            let foreseen = try await control.consequence(of: .operation(.wipe(WipeRequest())), on: "node2")
            #expect(foreseen.waits?.code == "brake")
            let waiting = try await control.order(.wipe(WipeRequest()), on: "node2", by: "t")
            #expect(waiting.state == .waiting && waiting.problem?.code == "brake" && waiting.isOpen)
            #expect(waiting.problem?.remedy?.contains("hostler operation approve \(waiting.id)") == true)
            let machine = try await control.machine(named: "node2").value
            #expect(machine.state == .ready && machine.openOperation == waiting.id)
            #expect(await problemCode { _ = try await control.order(orderToInstall(["ssh-ed25519 AAAA"]), on: "node2", by: "t") } == "machine-busy")
            // Installations have limits of their own.
            #expect(try await control.order(orderToInstall(["ssh-ed25519 AAAA"]), on: "node3", by: "t").state == .running)
        }
    }

    @Test("an admin's second word lets it begin; it counts, and who gave it is in the record and the events") func approval() async throws {
        let store = MemoryStore()
        try await rack(3, in: store)
        try await running(try await open(store, limits(1))) { control in
            _ = try await control.order(.wipe(WipeRequest()), on: "node0", by: "t")
            let waiting = try await control.order(.wipe(WipeRequest()), on: "node1", by: "t")
            #expect(await problemCode { _ = try await control.approve(waiting.id, by: "boss") } == "confirmation-needed", "it says what it destroys")
            let agreed = try await control.agreement(to: .approve(waiting.id), on: "node1")
            let begun = try await control.approve(waiting.id, by: "boss", agreement: agreed)
            #expect(begun.state == .running && begun.problem == nil && begun.approvedBy == "boss" && begun.currentStep?.state == .running)
            #expect(try await control.machine(named: "node1").value.state == .wiping)
            #expect(await problemCode { _ = try await control.approve(waiting.id, by: "boss") } == "operation-not-waiting")
            #expect(try await control.records.all(Event.self).map(\.value).contains { $0.kind == "operation.approved" && $0.actor == "boss" })
            uptime.advance(.seconds(3599))
            #expect(try await control.order(.wipe(WipeRequest()), on: "node2", by: "t").state == .waiting, "what was approved counts")
        }
    }

    @Test("a waiting operation can be cancelled, and its machine is what it was") func cancelled() async throws {
        let store = MemoryStore()
        try await store.commit([try machineWithSystem().put(.absent)])
        try await running(try await open(store, limits(0))) { control in
            let waiting = try await control.order(orderToInstall(), on: "one", by: "t")
            #expect(waiting.state == .waiting)
            #expect(control.boots(testMAC).verdict == .localDisk(why: "its system runs"))
            _ = try await control.cancel(waiting.id, by: "t")
            let machine = try await control.machine(named: "one").value
            #expect(machine.state == .running && machine.openOperation == nil && machine.installed != nil && machine.holds.isEmpty)
        }
    }

    @Test("while an operation waits, its machine's system is told nothing of it, and is itself") func metadata() async throws {
        let store = MemoryStore()
        try await store.commit([try machineWithSystem().put(.absent)])
        try await running(try await open(store, limits(0))) { control in
            var request = InstallRequest(image: "debian-12", sshKeys: ["ssh-ed25519 AAAA"])
            request.userData = Base64Bytes(base64: "c2VjcmV0")
            let waiting = try await control.order(.install(request), on: "one", by: "t")
            let machine = try #require(control.snapshot.machines.values.first)
            #expect(control.snapshot.openOperation(of: machine) == nil && control.snapshot.namedOperation(of: machine)?.id == waiting.id)
            #expect(try await control.userData(of: machine.id, wantsProof: false) == nil)
            #expect(try await control.vendorData(of: machine.id, base: testBase, wantsProof: false) == nil, "the proof of being up is not given away")
            #expect(await problemCode { _ = try await control.seed(of: waiting.id, base: testBase, wantsProof: false) } == "seed-not-found")
            _ = try await control.approve(waiting.id, by: "boss", agreement: control.agreement(to: .approve(waiting.id), on: "one"))
            #expect(try await control.userData(of: machine.id, wantsProof: false) == Array("secret".utf8))
        }
    }

    @Test("an agent that waits on its machine gets no work of an operation that waits") func agent() async throws {
        let store = MemoryStore()
        try await running(try await open(store, limits(0))) { control in
            let reply = try await boot(control)
            try await control.record(inventory(), of: reply.machine, wantsProof: false)
            let waiting = try await control.order(orderToInstall(["ssh-ed25519 AAAA"]), on: reply.machine.rawValue, by: "t")
            func task() async throws -> AgentTask {
                try await control.task(
                    for: reply.session, query: TaskQuery(operation: nil, generation: 0), base: testBase, wantsProof: false,
                    patience: .milliseconds(50))
            }
            guard case .wait = try await task().work else { Issue.record("work before the second word"); return }
            #expect(try await control.operation(waiting.id).value.currentStep?.name == .agent)
            _ = try await control.approve(waiting.id, by: "boss")
            _ = try await task()
            guard case .install = try await task().work else { Issue.record("no work after it"); return }
        }
    }

    @Test("the count survives a restart of the program, and no step of the clock empties or fills it") func steps() async throws {
        let store = MemoryStore()
        try await rack(5, in: store)
        try await running(try await open(store, limits(2))) { control in
            for number in 0..<2 { _ = try await control.order(.wipe(WipeRequest()), on: "node\(number)", by: "t") }
        }
        try await running(try await open(store, limits(2))) { control in
            for step in [Duration.seconds(86_400), .seconds(-2 * 86_400)] {
                clock.advance(step)
                let next = try await control.order(.wipe(WipeRequest()), on: "node2", by: "t")
                #expect(next.state == .waiting, "a step of \(step)")
                _ = try await control.cancel(next.id, by: "t")
            }
        }
        uptime.reboot("second")
        try await running(try await open(store, limits(2))) { control in
            let next = try await control.order(.wipe(WipeRequest()), on: "node3", by: "t")
            #expect(next.state == .waiting, "the host was started anew")
            uptime.advance(.seconds(3600))
            #expect(try await control.order(.wipe(WipeRequest()), on: "node4", by: "t").state == .running)
        }
    }

    @Test("of those asked for at the same time no more begin than the limit") func together() async throws {
        let store = MemoryStore()
        try await rack(9, in: store)
        try await running(try await open(store, limits(100, atOnce: 3))) { control in
            let states = try await withThrowingTaskGroup(of: OperationState.self) { group in
                for number in 0..<9 {
                    group.addTask { try await control.order(orderToInstall(["ssh-ed25519 AAAA"]), on: "node\(number)", by: "t").state }
                }
                return try await group.reduce(into: [OperationState]()) { $0.append($1) }
            }
            #expect(states.count { $0 == .running } == 3 && states.count { $0 == .waiting } == 6)
            let begun = try #require(try await control.records.all(Model.Operation.self).map(\.value).first { $0.state == .running })
            _ = try await control.cancel(begun.id, by: "t")
            let spare = try #require(try await control.records.all(Model.Operation.self).map(\.value).first { $0.state == .waiting })
            _ = try await control.cancel(spare.id, by: "t")
            #expect(try await control.order(orderToInstall(["ssh-ed25519 AAAA"]), on: spare.machine.rawValue, by: "t").state == .running)
        }
    }

    @Test("an operation waits on in a restored backup no more, and its machine is what it was") func restored() async throws {
        let store = MemoryStore()
        try await store.commit([try machineWithSystem().put(.absent)])
        var waiting: OperationID?
        try await running(try await open(store, limits(0))) { waiting = try await $0.order(orderToInstall(), on: "one", by: "t").id }
        let control = try await reopen(store, epoch: 1)
        #expect(try await control.operation(try #require(waiting)).value.state == .failed)
        let machine = try await control.machine(named: "one").value
        #expect(machine.state == .running && machine.installed != nil && machine.holds.isEmpty)
    }

    private func reopen(_ store: MemoryStore, epoch: Int) async throws -> ControlPlane {
        let clock = clock
        return try await ControlPlane.open(
            store: store, images: OneImage(), environment: ControlEnvironment(now: { clock.now }, logger: Logger(label: "test")), restoreEpoch: epoch)
    }
}
