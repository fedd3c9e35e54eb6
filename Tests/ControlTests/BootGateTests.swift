import Control
import Model
import Testing

@Suite("The boot gate")
struct BootGateTests {
    enum Wanted { case agent, disk, leave, refuse }

    struct Case: CustomTestStringConvertible, Sendable {
        var what: String
        var state: MachineState?
        var kind: OperationKind?
        var operationState: OperationState = .running
        var restarted = false
        var olderGeneration = false
        var held = false
        var lostOperation = false
        var mayRun = false
        var policy = DiscoveryPolicy.discover
        var wanted: Wanted
        var testDescription: String { what }
    }

    static let cases: [Case] = [
        Case(what: "an unknown machine is taken in", wanted: .agent),
        Case(what: "an unknown machine is left to its firmware where the network boots only known ones", policy: .known, wanted: .leave),
        Case(what: "a new machine gets the agent", state: .new, wanted: .agent),
        Case(what: "a ready machine gets the agent", state: .ready, wanted: .agent),
        Case(what: "a machine in rescue without operation gets the agent", state: .rescue, wanted: .agent),
        Case(what: "a running machine gets its disk", state: .running, wanted: .disk),
        Case(what: "a running machine on hold gets its disk", state: .running, held: true, wanted: .disk),
        Case(what: "a ready machine on hold is refused", state: .ready, held: true, wanted: .refuse),
        Case(what: "an installing machine without operation is refused", state: .installing, wanted: .refuse),
        Case(what: "a machine on hold whose system may run gets its disk", state: .installing, held: true, mayRun: true, wanted: .disk),
        Case(what: "a machine whose system may run gets its disk, its hold released", state: .running, mayRun: true, wanted: .disk),
        Case(
            what: "a machine whose system may run gets the agent for a new installation", state: .installing, kind: .install, mayRun: true,
            wanted: .agent),
        Case(what: "a machine whose system may run gets the agent for a rescue", state: .rescue, kind: .rescue, mayRun: true, wanted: .agent),
        Case(what: "a wipe that is not proved is refused, whatever was on the disk", state: .wiping, held: true, mayRun: true, wanted: .refuse),
        Case(what: "a wiping machine without operation is refused", state: .wiping, wanted: .refuse),
        Case(what: "a running machine whose operation is lost gets its disk", state: .running, lostOperation: true, wanted: .disk),
        Case(what: "a ready machine whose operation is lost is refused", state: .ready, lostOperation: true, wanted: .refuse),
        Case(what: "an inspection gets the agent", state: .inspecting, kind: .inspect, wanted: .agent),
        Case(what: "an inspection of a running machine gets the agent", state: .running, kind: .inspect, wanted: .agent),
        Case(what: "an installation gets the agent before its restart", state: .installing, kind: .install, wanted: .agent),
        Case(what: "an installation gets the disk after its restart", state: .installing, kind: .install, restarted: true, wanted: .disk),
        Case(what: "an older operation never takes a running machine", state: .running, kind: .install, olderGeneration: true, wanted: .disk),
        Case(what: "an older operation is refused", state: .installing, kind: .install, olderGeneration: true, wanted: .refuse),
        Case(what: "a finished operation does not count", state: .running, kind: .install, operationState: .succeeded, wanted: .disk),
        Case(what: "a failed operation does not count", state: .installing, kind: .install, operationState: .failed, wanted: .refuse),
        Case(what: "an operation being undone is refused", state: .installing, kind: .install, operationState: .undoing, wanted: .refuse),
        Case(what: "a stuck operation is refused", state: .installing, kind: .install, operationState: .stuck, wanted: .refuse),
        Case(what: "a wipe gets the agent", state: .wiping, kind: .wipe, wanted: .agent),
        Case(what: "a rescue gets the agent", state: .rescue, kind: .rescue, wanted: .agent),
    ]

    @Test("decides", arguments: cases)
    func decides(_ row: Case) throws {
        var subject: Machine?
        var operation: Model.Operation?
        if let state = row.state {
            var machine = try machine(state)
            machine.generation = 3
            if row.held {
                machine.holds = [
                    Hold(id: HoldID(unchecked: "hold-1234"), problem: Problem("x", title: "x"), operation: nil, since: machine.createdAt)
                ]
            }
            if row.mayRun {
                machine.unproved = Installation(
                    operation: OperationID(unchecked: "op-0001"), generation: 2, image: "x", digest: "", hostname: "one", diskSerial: nil,
                    installedAt: machine.createdAt)
            }
            if row.lostOperation { machine.openOperation = OperationID(unchecked: "op-lost1") }
            if let kind = row.kind {
                let request: OperationRequest =
                    switch kind {
                    case .inspect: .inspect
                    case .install: .install(InstallRequest(image: "debian-12"))
                    case .wipe: .wipe(WipeRequest())
                    case .rescue: .rescue(RescueRequest(sshKeys: []))
                    }
                var made = Model.Operation(
                    id: OperationID(unchecked: "op-1234"), machine: machine.id, generation: row.olderGeneration ? 2 : 3,
                    request: request, steps: request.stepNames.map(Step.init), requestedBy: "test", createdAt: machine.createdAt)
                made.state = row.operationState
                if row.restarted {
                    for index in made.steps.indices where made.steps[index].name != .firstBoot { made.steps[index].state = .succeeded }
                }
                machine.openOperation = made.id
                operation = made
            }
            subject = machine
        }
        let verdict = BootGate.decide(
            machine: subject, operation: operation, policy: row.policy)
        switch (verdict, row.wanted) {
        case (.agent, .agent), (.localDisk, .disk), (.leave, .leave), (.refuse, .refuse): break
        default: Issue.record("\(row.what): got \(verdict)")
        }
    }

    @Test("a machine whose system runs is led from its disk only by an open operation of its newest generation")
    func neverReinstallsARunningMachine() throws {
        for generation in UInt64(0)...4 {
            for state in OperationState.allCases {
                var subject = try machine(.running)
                subject.generation = 3
                var operation = Model.Operation(
                    id: OperationID(unchecked: "op-1234"), machine: subject.id, generation: generation,
                    request: .install(InstallRequest(image: "x")), steps: [Step(.agent)], requestedBy: "t", createdAt: subject.createdAt)
                operation.state = state
                subject.openOperation = operation.id
                let verdict = BootGate.decide(machine: subject, operation: operation, policy: .discover)
                if case .agent = verdict { #expect(generation == 3 && state == .running) }
            }
        }
    }
}
