import Model
import Store
import Testing
import Wire

@testable import Control

/// Records of versions that did not write down which disks were given to Hostler.
@Suite("Disks that earlier versions wiped or wrote")
struct FormerTakingsTests {
    private let noise = DiskContents(items: [.init(kind: DiskContents.unknownData)])
    private let system = DiskContents(items: [.init(kind: "GPT"), .init(kind: "ext4", partition: 1)], partitions: 1)

    private func operation(
        _ request: OperationRequest, _ number: Int, done: [StepName: [String: String]], begun: [StepName] = []
    ) throws -> Model.Operation {
        var operation = OperationTransition.begin(
            id: OperationID(unchecked: "op-frmr000\(number)"), request: request, machine: try machine(), by: "test",
            now: Timestamp(milliseconds: Int64(number))
        ).operation
        operation.state = .succeeded
        for index in operation.steps.indices {
            let name = operation.steps[index].name
            if let evidence = done[name] { (operation.steps[index].state, operation.steps[index].evidence) = (.succeeded, evidence) }
            if begun.contains(name) { operation.steps[index].attempts = 1 }
        }
        return operation
    }

    /// The gate's word for the machine after its next boot into the agent, which finds `contents` on its disks.
    private func verdict(
        _ operations: [Model.Operation], disks: [(String, Int64)] = [("D1", 8_000_000_000)], finding contents: [DiskContents],
        starts: Int = 1
    ) async throws -> (machine: Machine, verdict: BootVerdict) {
        let store = MemoryStore()
        var former = try machine(.ready)
        former.generation = UInt64(operations.count + 1)
        (former.observed.inventory, former.observed.foreignDisks) = (inventory(disks: disks), nil)
        #expect(former.takenDisks == nil)
        _ = try await store.commit([try former.put(.absent)] + operations.map { try $0.put(.absent) })
        for _ in 1..<starts { _ = try await open(store) }
        var found: (machine: Machine, verdict: BootVerdict)?
        try await running(try await open(store)) { control in
            let reply = try await boot(control)
            var facts = inventory(disks: disks)
            for (index, held) in contents.enumerated() { facts.disks[index].contents = held }
            try await control.record(facts, of: reply.machine, wantsProof: false)
            found = (try #require(control.snapshot.machines[reply.machine]), control.boots(testMAC, policy: .inspectEmpty).verdict)
        }
        return try #require(found)
    }

    private func isLeft(_ verdict: BootVerdict) -> Bool { if case .leave = verdict { true } else { false } }
    private func waits(_ verdict: BootVerdict) -> Bool { if case .agent = verdict { true } else { false } }

    @Test("a pool machine that was wiped waits for work though its disk reads as noise; what has a form since is somebody's")
    func wiped() async throws {
        let all = try operation(
            .wipe(WipeRequest(disks: [])), 1,
            done: [
                .verifyWipe: ["disks": "1", "vd0": "serial D1: 64 samples of 4096 bytes and 1048576 bytes at either end are zero", "vd0.seed": "7"]
            ])
        let named = try operation(.wipe(WipeRequest(disks: ["D1"])), 1, done: [.verifyWipe: ["disks": "1"]])
        for wipe in [all, named] {
            let erased = try await verdict([wipe], finding: [noise], starts: 2)
            #expect(waits(erased.verdict) && erased.machine.takenDisks == [TakenDisk(name: "D1", isWiped: true)])
            #expect(isLeft(try await verdict([wipe], finding: [system]).verdict))
        }
    }

    @Test("a wipe that was not proved, and a disk that was not wiped, give nothing away")
    func unproved() async throws {
        let broken = try operation(.wipe(WipeRequest(disks: ["D1"])), 1, done: [.wipeDisks: [:]])
        #expect(isLeft(try await verdict([broken], finding: [noise]).verdict))
        let other = try operation(.wipe(WipeRequest(disks: ["D1"])), 1, done: [.verifyWipe: [:]])
        let both = try await verdict([other], disks: [("D1", 8 << 30), ("D2", 8 << 30)], finding: [noise, noise])
        #expect(isLeft(both.verdict) && both.machine.observed.foreignDisks == ["D2"])
        #expect(isLeft(try await verdict([], finding: [noise]).verdict))
        // The kernel's name is another disk's at another start, unless the disk has no other name.
        let nameless = try operation(
            .wipe(WipeRequest(disks: [])), 1, done: [.verifyWipe: ["vd0": "no serial: 64 samples of 4096 bytes are zero"]])
        #expect(isLeft(try await verdict([nameless], finding: [noise]).verdict))
        #expect(waits(try await verdict([nameless], disks: [("", 8 << 30)], finding: [noise]).verdict))
    }

    @Test("a disk that an installation began to write is Hostler's, whatever it holds; one that it did not begin to write is not")
    func written() async throws {
        let request = OperationRequest.install(InstallRequest(image: "debian-12"))
        let begun = try operation(request, 1, done: [.chooseDisk: ["serial": "D1"]], begun: [.writeImage])
        let found = try await verdict([begun], finding: [system])
        #expect(waits(found.verdict) && found.machine.takenDisks == [TakenDisk(name: "D1")])
        #expect(isLeft(try await verdict([try operation(request, 1, done: [.chooseDisk: ["serial": "D1"]])], finding: [system]).verdict))
        // The newest work counts: a form on a disk that was wiped since is somebody's.
        let wipe = try operation(.wipe(WipeRequest(disks: ["D1"])), 2, done: [.verifyWipe: [:]])
        #expect(isLeft(try await verdict([begun, wipe], finding: [system]).verdict))
    }
}
