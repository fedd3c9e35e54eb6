import Model
import Store
import Testing
import Wire

@testable import Control

/// What a marker on a disk may bring back into the record.
@Suite("Markers on disks")
struct AdoptionTests {
    /// After the first control plane's clock.
    private static var later: ManualClock {
        let clock = ManualClock()
        clock.advance(.seconds(60))
        return clock
    }

    /// An inventory with a marker on its disk.
    private func facts(_ record: InstallRecord) -> Inventory {
        var facts = inventory()
        facts.installations = [.init(disk: "D1", record: record)]
        return facts
    }

    private func record(_ machine: MachineID, _ operation: String, _ generation: UInt64) -> InstallRecord {
        InstallRecord(
            machine: machine, operation: OperationID(unchecked: operation), generation: generation, image: "debian-12", digest: OneImage.digest,
            hostname: "one")
    }

    /// A machine that is in the record, and the record restored from a backup of that moment.
    private func restored(_ body: (ControlPlane, MachineID) async throws -> Void) async throws {
        let store = MemoryStore()
        var id: MachineID?
        try await running(try await open(store)) { control in
            let reply = try await boot(control)
            try await control.record(inventory(), of: reply.machine, wantsProof: false)
            id = reply.machine
        }
        try await running(try await open(store, clock: Self.later, epoch: 1)) { control in
            _ = try await boot(control, key: String(repeating: "b", count: 64))
            try await body(control, try #require(id))
        }
    }

    private func installed(_ control: ControlPlane, _ id: MachineID) async throws -> Installation? {
        try await control.machine(named: id.rawValue).value.installed
    }

    @Test("what the record lost comes back by a marker of ours, once, and as adopted")
    func adopted() async throws {
        try await restored { control, id in
            try await control.record(facts(control.markers.sealed(record(id, "op-g9ne0001", 7))), of: id, wantsProof: false)
            let machine = try await control.machine(named: id.rawValue).value
            #expect(machine.installed?.isAdopted == true && machine.generation == 7 && machine.state == .running)
            // Its disk is found by what its seed has, though the operation is newer than the backup.
            #expect(control.diskSystem(at: testMAC) == DiskSystem(operation: OperationID(unchecked: "op-g9ne0001")))
        }
    }

    @Test("a marker without our tag, or with one of another record, is what somebody wrote on a disk")
    func forged() async throws {
        try await restored { control, id in
            let own = try control.markers.sealed(record(id, "op-g9ne0001", 7))
            var changes = [record(id, "op-g9ne0001", 7), own, own, own, own, own, own]
            changes[1].generation = 8
            changes[2].image = "other"
            changes[3].operation = OperationID(unchecked: "op-g9ne0002")
            changes[4].machine = MachineID(unchecked: "m-000000")
            changes[5].tag = String(repeating: "0", count: 64)
            changes[6].generation = (1 << 32) - 1
            for forged in changes {
                try await control.record(facts(forged), of: id, wantsProof: false)
                let machine = try await control.machine(named: id.rawValue).value
                #expect(machine.installed == nil && machine.generation == 1, "\(forged)")
            }
        }
    }

    @Test("a marker that counts for nothing is an event, once, which says whether it is one that Hostler made")
    func ignored() async throws {
        try await running(try await open(MemoryStore())) { control in
            let reply = try await boot(control)
            let forged = record(reply.machine, "op-g9ne0001", 7)
            for _ in 0..<2 { try await control.record(facts(forged), of: reply.machine, wantsProof: false) }
            try await control.record(facts(control.markers.sealed(forged)), of: reply.machine, wantsProof: false)
            let found = try await control.records.all(Event.self).map(\.value).filter { $0.kind == "machine.marker-ignored" }
            #expect(found.map { $0.evidence["sealed"] } == ["false", "true"])
            #expect(found.allSatisfy { $0.evidence["operation"] == "op-g9ne0001" && $0.evidence["sender"] != nil })
        }
    }

    @Test("a record that was never restored takes nothing from a disk, nor one whose machine was inspected since")
    func unrestored() async throws {
        try await running(try await open(MemoryStore())) { control in
            let reply = try await boot(control)
            try await control.record(facts(control.markers.sealed(record(reply.machine, "op-g9ne0001", 7))), of: reply.machine, wantsProof: false)
            #expect(try await installed(control, reply.machine) == nil)
        }
        let store = MemoryStore()
        let clock = Self.later
        try await running(try await open(store, clock: clock, epoch: 1)) { control in
            clock.advance(.seconds(1))
            let reply = try await boot(control)
            try await control.record(inventory(), of: reply.machine, wantsProof: false)
            try await control.record(facts(control.markers.sealed(record(reply.machine, "op-g9ne0001", 7))), of: reply.machine, wantsProof: false)
            #expect(try await installed(control, reply.machine) == nil)
        }
    }

    @Test("an installation that a later wipe superseded, or that was cancelled, stays gone", arguments: [true, false])
    func superseded(byWipe: Bool) async throws {
        let store = MemoryStore()
        var marker: InstallRecord?
        var id: MachineID?
        try await running(try await open(store)) { control in
            let reply = try await boot(control)
            id = reply.machine
            try await control.record(inventory(), of: reply.machine, wantsProof: false)
            func done(_ operation: Model.Operation, _ steps: [StepName]) async throws {
                for step in steps {
                    let report = StepReport(
                        operation: operation.id, generation: operation.generation, step: step, kind: .succeeded, evidence: ["serial": "D1"])
                    _ = try await control.report(report, of: reply.machine, wantsProof: false)
                }
            }
            func start(_ request: OperationRequest) async throws -> Model.Operation {
                let operation = try await control.order(request, on: reply.machine.rawValue, by: "test")
                _ = try await control.task(
                    for: reply.session, query: TaskQuery(operation: nil, generation: 0), base: testBase, wantsProof: false)
                return operation
            }
            let install = try await start(.install(InstallRequest(image: "debian-12")))
            marker = try control.markers.sealed(record(reply.machine, install.id.rawValue, install.generation))
            try await done(install, [.chooseDisk, .writeImage])
            _ = try await control.cancel(install.id, by: "test")
            guard byWipe else { return }
            // It had been cancelled by the record; even one that the record lost is older than the wipe.
            marker = try control.markers.sealed(record(reply.machine, "op-g9ne0001", install.generation))
            try await done(try await start(.wipe(WipeRequest())), [.wipeDisks, .verifyWipe])
        }
        try await running(try await open(store, clock: Self.later, epoch: 1)) { control in
            let id = try #require(id)
            _ = try await boot(control, key: String(repeating: "b", count: 64))
            try await control.record(facts(try #require(marker)), of: id, wantsProof: false)
            #expect(try await installed(control, id) == nil)
            if case .agent = control.boots(testMAC).verdict {} else { Issue.record("\(control.boots(testMAC))") }
        }
    }

    @Test("a marker of a machine that was wiped and deleted brings nothing back, under whichever id its host comes again")
    func deleted() async throws {
        let store = MemoryStore()
        var marker: InstallRecord?
        try await running(try await open(store, clock: Self.later, epoch: 1)) { control in
            let reply = try await boot(control)
            try await control.record(inventory(), of: reply.machine, wantsProof: false)
            let operation = try await control.order(.wipe(WipeRequest()), on: reply.machine.rawValue, by: "test")
            _ = try await control.task(for: reply.session, query: TaskQuery(operation: nil, generation: 0), base: testBase, wantsProof: false)
            for step in [StepName.wipeDisks, .verifyWipe] {
                let report = StepReport(operation: operation.id, generation: operation.generation, step: step, kind: .succeeded)
                _ = try await control.report(report, of: reply.machine, wantsProof: false)
            }
            marker = try control.markers.sealed(record(reply.machine, "op-g9ne0001", 1))
            try await control.delete(
                machine: reply.machine.rawValue, by: "ann", agreement: control.agreement(to: .delete, on: reply.machine.rawValue))
            let again = try await boot(control, key: String(repeating: "b", count: 64))
            #expect(again.machine != reply.machine)
            try await control.record(facts(try #require(marker)), of: again.machine, wantsProof: false)
            #expect(try await installed(control, again.machine) == nil)
        }
    }

    @Test("an image's files open for the machine that installs it, while it does")
    func capability() async throws {
        try await running(try await open(MemoryStore())) { control in
            let reply = try await boot(control)
            try await control.record(inventory(), of: reply.machine, wantsProof: false)
            let operation = try await control.order(.install(InstallRequest(image: "debian-12")), on: reply.machine.rawValue, by: "test")
            let task = try await control.task(for: reply.session, query: TaskQuery(operation: nil, generation: 0), base: testBase, wantsProof: false)
            guard case .install(let work) = task.work else {
                Issue.record("no work")
                return
            }
            let parts = work.blobPath.split(separator: "/").map(String.init)
            let digest = try #require(OneImage.blob)
            #expect(parts.count == 4 && parts[2] == digest.description)
            let capability = try #require(parts.last)
            #expect(control.opens(capability, digest))
            let other = try #require(OneImage.other)
            #expect(!control.opens(capability, other), "another image's file")
            #expect(!control.opens("", digest) && !control.opens(operation.id.rawValue, digest) && !control.opens(capability + "0", digest))
            _ = try await control.cancel(operation.id, by: "test")
            #expect(!control.opens(capability, digest), "the installation is over")
        }
    }

    @Test("a machine that boots for ever ends its operation: the seed is gone, and the events are the operation's")
    func bootLoop() async throws {
        let store = MemoryStore()
        try await running(try await open(store)) { control in
            let reply = try await boot(control)
            try await control.record(inventory(), of: reply.machine, wantsProof: false)
            let operation = try await control.order(.install(InstallRequest(image: "debian-12")), on: reply.machine.rawValue, by: "test")
            var boots = 0
            while try await control.operation(operation.id).value.isOpen, boots < 40 {
                boots += 1
                let key = String(repeating: "0", count: 62) + (boots < 10 ? "0\(boots)" : "\(boots)")
                _ = try await boot(control, key: key)
            }
            let ended = try await control.operation(operation.id).value
            #expect(ended.problem?.code == "boot-loop")
            #expect(try await store.get(SeedSecrets.key(operation.id)) == nil)
            let told = try await control.records.all(Event.self).map(\.value).filter { ["operation.failed", "machine.held"].contains($0.kind) }
            #expect(told.count == 2 && told.allSatisfy { $0.operation == operation.id })
        }
    }
}
