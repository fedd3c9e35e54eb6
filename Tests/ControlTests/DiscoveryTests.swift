import Logging
import Model
import Store
import Testing
import Wire

@testable import Control

/// Machines that come into the record by themselves.
@Suite("Discovery")
struct DiscoveryTests {
    private func open(_ store: any StateStore, clock: ManualClock, _ change: (inout DiscoveryLimits) -> Void) async throws -> ControlPlane {
        var environment = ControlEnvironment(now: { clock.now }, logger: Logger(label: "test"))
        change(&environment.discovery)
        return try await ControlPlane.open(store: store, images: OneImage(), environment: environment)
    }

    private func boot(_ control: ControlPlane, _ number: UInt64) async throws -> MachineID {
        let port = MACAddress(value: 0x5254_0077_0000 + number)
        let hello = HelloRequest(
            nonce: control.nonces.make(for: port, now: control.now), sessionKey: String(repeating: "a", count: 64), mac: port,
            macs: [port], uuid: nil, serial: nil, firmware: .bios, version: "test")
        return try await control.hello(hello, from: Sender(mac: port, address: nil), wantsProof: false).machine
    }

    private func code(_ body: () async throws -> Void) async -> String? {
        do {
            try await body()
            return nil
        } catch {
            return (error as? Problem)?.code
        }
    }

    @Test("new machines come at a pace; one that is known boots whatever others do")
    func pace() async throws {
        let clock = ManualClock()
        let control = try await open(MemoryStore(), clock: clock) {
            $0.burst = 3
            $0.perMinute = 60
        }
        try await running(control) { control in
            for number in 1...3 { _ = try await boot(control, UInt64(number)) }
            #expect(await code { _ = try await boot(control, 4) } == "discovery-pace")
            _ = try await boot(control, 2)
            clock.advance(.seconds(1))
            _ = try await boot(control, 4)
            #expect(await code { _ = try await boot(control, 5) } == "discovery-pace")
        }
    }

    @Test("there is room for so many that nobody has looked at; those that are silent give way, and a named one stays")
    func cap() async throws {
        let clock = ManualClock()
        let control = try await open(MemoryStore(), clock: clock) { $0.machines = 10 }
        try await running(control) { control in
            let first = try await boot(control, 1)
            _ = try await control.update(machine: first.rawValue, with: MachinePatch(name: "kept"), expecting: nil, by: "test")
            for number in 2...11 { _ = try await boot(control, UInt64(number)) }
            #expect(await code { _ = try await boot(control, 12) } == "discovery-full")
            try await control.expireDiscovered()
            #expect(control.snapshot.machines.count == 11, "all of them were there just now")
            clock.advance(.seconds(700))
            _ = try await boot(control, 5)
            try await control.expireDiscovered()
            #expect(control.snapshot.machines.count == 10)
            #expect(control.snapshot.machines[first] != nil && control.boots(MACAddress(value: 0x5254_0077_0005)).machine != nil)
            _ = try await boot(control, 12)
            let expired = try await control.records.all(Event.self).map(\.value).filter { $0.kind == "machine.expired" }
            #expect(expired.count == 1)
            // Nothing of it stays.
            let machines = Set(control.snapshot.machines.keys)
            #expect(try await control.records.all(Model.Operation.self).allSatisfy { machines.contains($0.value.machine) })
        }
    }

    @Test("one that runs somebody's system is not forgotten because it runs, and so is not unknown at its next start; a flood pushes it out")
    func somebodysSystem() async throws {
        let clock = ManualClock()
        let control = try await open(MemoryStore(), clock: clock) { $0.machines = 10 }
        try await running(control) { control in
            func isLeft() -> Bool {
                if case .leave = control.boots(testMAC, policy: .inspectEmpty).verdict { true } else { false }
            }
            for number in 1...9 { _ = try await boot(control, UInt64(number)) }
            let server = try await boot(control, 1)
            var facts = inventory()
            facts.disks[0].contents = DiskContents(items: [.init(kind: "GPT")], partitions: 2)
            try await control.record(facts, of: server, wantsProof: false)
            #expect(isLeft())
            clock.advance(.seconds(8 * 86_400))
            // One that is silent for as long, and came later.
            try await control.expireDiscovered()
            #expect(control.snapshot.machines.keys.map(\.self) == [server] && isLeft())
            for number in 2...10 {
                clock.advance(.seconds(1))
                _ = try await boot(control, UInt64(number))
            }
            clock.advance(.seconds(700))
            try await control.expireDiscovered()
            #expect(control.snapshot.machines[server] == nil && control.snapshot.machines.count == 9)
        }
    }

    @Test("one that was never more than discovered is forgotten after days; one with work, a wish or a BMC is not")
    func expiry() async throws {
        let clock = ManualClock()
        let store = MemoryStore()
        let control = try await open(store, clock: clock) { _ in }
        try await running(control) { control in
            let plain = try await boot(control, 1)
            let named = try await boot(control, 2)
            let worked = try await boot(control, 3)
            let governed = try await boot(control, 4)
            for id in [plain, named, worked, governed] { try await control.record(inventory(), of: id, wantsProof: false) }
            _ = try await control.update(machine: named.rawValue, with: MachinePatch(labels: ["a": "b"]), expecting: nil, by: "test")
            _ = try await control.start(.inspect, on: worked.rawValue, by: "test")
            var bmc = BMC(id: BMCID(unchecked: "bmc-00000001"), kind: .exec, address: "x", now: clock.now)
            bmc.machine = governed
            _ = try await store.commit([try bmc.put(.absent)])
            clock.advance(.seconds(6 * 86_400))
            try await control.expireDiscovered()
            #expect(control.snapshot.machines.count == 4)
            clock.advance(.seconds(2 * 86_400))
            try await control.expireDiscovered()
            #expect(control.snapshot.machines[plain] == nil)
            #expect(Set(control.snapshot.machines.keys) == [named, worked, governed])
        }
    }

    @Test("an allowance gives its burst, then one in each interval; a clock that is set back stops nobody for long")
    func allowance() {
        let allowance = Allowance(burst: 3, every: .seconds(10))
        let start = Timestamp(milliseconds: 1_000_000)
        var used: Timestamp?
        #expect((0..<5).count { _ in allowance.take(&used, at: start) } == 3)
        #expect(allowance.take(&used, at: start + .seconds(10)))
        #expect(!allowance.take(&used, at: start + .seconds(15)))
        #expect((0..<9).count { _ in allowance.take(&used, at: start + .seconds(1000)) } == 3)
        #expect(!allowance.take(&used, at: start))
        #expect(allowance.take(&used, at: start + .seconds(30)))
        let many = Allowances<Int>(limit: 2)
        #expect(many.take(allowance, of: 1, at: start) && many.take(allowance, of: 2, at: start))
        #expect(!many.take(allowance, of: 3, at: start), "there is no room for one more")
        #expect(many.take(allowance, of: 3, at: start + .seconds(11)), "those that used nothing of late are forgotten")
    }
}
