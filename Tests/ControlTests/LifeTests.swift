import Control
import Model
import Store
import Testing

/// What becomes of a machine whose work ends otherwise than well.
@Suite("A machine's system")
struct LifeTests {
    private let now = Timestamp(milliseconds: 1000)
    private let agent = AgentPresence(boot: "b", since: Timestamp(milliseconds: 0), version: "t")

    private func installed(serial: String? = "D1") throws -> Machine {
        var machine = try machine(.running)
        machine.observed.inventory = inventory(disks: [("D1", 8_000_000_000), ("D2", 8_000_000_000)])
        machine.installed = Installation(
            operation: OperationID(unchecked: "op-first001"), generation: 1, image: "debian-12", digest: OneImage.digest,
            hostname: "one", diskSerial: serial, installedAt: now)
        return machine
    }

    private func begin(_ request: OperationRequest, on machine: Machine, booted: Bool) -> OperationTransition {
        var transition = OperationTransition.begin(
            id: OperationID(unchecked: "op-second02"), request: request, machine: machine, by: "test", now: now)
        if booted { transition.agentArrived(agent, now) }
        return transition
    }

    private func verdict(_ transition: OperationTransition) -> BootVerdict {
        BootGate.decide(machine: transition.machine, operation: transition.operation, policy: .discover)
    }

    private func leadsToDisk(_ transition: OperationTransition) -> Bool {
        if case .localDisk = verdict(transition) { true } else { false }
    }

    @Test(
        "goes on running when work that did not touch its disk is cancelled",
        arguments: [
            OperationRequest.inspect, .rescue(RescueRequest(sshKeys: [])), .install(InstallRequest(image: "debian-12")), .wipe(WipeRequest()),
        ])
    func cancelledBefore(_ request: OperationRequest) throws {
        var transition = begin(request, on: try installed(), booted: false)
        try transition.cancel(by: "test", now)
        #expect(transition.machine.state == .running)
        #expect(leadsToDisk(transition))
    }

    @Test("goes on running when the agent never came, and the hold says why")
    func neverBooted() throws {
        var transition = begin(.install(InstallRequest(image: "debian-12")), on: try installed(), booted: false)
        var later = now
        while transition.operation.isOpen {
            later = later + .seconds(2000)
            _ = transition.timePassed(later)
        }
        #expect(transition.operation.problem?.code == "no-sign-of-life")
        #expect(transition.machine.holds.count == 1)
        #expect(leadsToDisk(transition))
    }

    @Test("is out of the record from the first byte that is written over it")
    func overwritten() throws {
        var transition = begin(.install(InstallRequest(image: "debian-12")), on: try installed(), booted: true)
        #expect(transition.machine.installed != nil, "choosing a disk touches nothing")
        let operation = transition.operation
        transition.report(
            StepReport(operation: operation.id, generation: operation.generation, step: .chooseDisk, kind: .succeeded, evidence: ["serial": "D1"]),
            now)
        #expect(transition.machine.installed == nil)
        try transition.cancel(by: "test", now)
        #expect(transition.machine.state == .ready)
        if case .agent = verdict(transition) {} else { Issue.record("\(verdict(transition))") }
    }

    @Test("stays when another disk is wiped, and goes with its own", arguments: [(["D2"], true), (["D1"], false), ([], false), (nil, false)])
    func wipes(_ disks: [String]?, _ stays: Bool) throws {
        var transition = begin(.wipe(WipeRequest(disks: disks)), on: try installed(), booted: true)
        let operation = transition.operation
        for step in [StepName.wipeDisks, .verifyWipe] {
            transition.report(
                StepReport(operation: operation.id, generation: operation.generation, step: step, kind: .succeeded), now)
        }
        #expect(transition.operation.state == .succeeded)
        #expect(transition.machine.state == (stays ? .running : .ready))
        #expect((transition.machine.installed != nil) == stays)
    }

    @Test("a wipe that was cut short keeps its machine out of the pool until it is wiped")
    func unprovedWipe() throws {
        var transition = begin(.wipe(WipeRequest()), on: try installed(), booted: true)
        try transition.cancel(by: "test", now)
        #expect(transition.machine.state == .wiping)
        #expect(transition.machine.holds.first?.problem.code == "wipe-cancelled")
        if case .refuse = verdict(transition) {} else { Issue.record("\(verdict(transition))") }
    }

    @Test("a step that only repeats its progress is not alive")
    func hungDisk() throws {
        var transition = begin(.install(InstallRequest(image: "debian-12")), on: try installed(), booted: true)
        let operation = transition.operation
        func report(_ step: StepName, _ kind: StepReport.Kind, _ progress: Progress? = nil) -> StepReport {
            StepReport(
                operation: operation.id, generation: operation.generation, step: step, kind: kind, progress: progress,
                evidence: ["serial": "D1"])
        }
        transition.report(report(.chooseDisk, .succeeded), now)
        let half = Progress(done: 50, total: 100)
        transition.report(report(.writeImage, .progress, half), now)
        for minute in 1...16 { transition.report(report(.writeImage, .progress, half), now + .seconds(60 * minute)) }
        let changed = transition.timePassed(now + .seconds(60 * 16))
        #expect(changed)
        #expect(transition.operation.step(.writeImage)?.problem?.code == "no-sign-of-life")
    }
}
