import Model
import Testing

@testable import Identity

@Suite("The identity gate") struct IdentityGateTests {
    struct Case: CustomTestStringConvertible, Sendable {
        var what: String
        var state = MachineState.running
        var open: OperationKind?
        var lost = false
        var waits = false
        var held = false
        var installed = true
        var lease: Int64?
        var attestation = AttestationStanding.none
        var needed = false
        /// Nil: it gets one.
        var refused: String?
        var testDescription: String { what }
    }

    static let cases: [Case] =
        [
            Case(what: "a running machine gets one"),
            Case(what: "a machine that is being wiped gets none", open: .wipe, refused: "machine-busy"),
            Case(what: "a machine that is being reinstalled gets none", open: .install, refused: "machine-busy"),
            Case(what: "a machine that is being inspected gets none", open: .inspect, refused: "machine-busy"),
            Case(what: "a machine in rescue gets none", state: .rescue, open: .rescue, refused: "machine-busy"),
            Case(what: "a machine whose open operation is lost gets none", lost: true, refused: "machine-busy"),
            Case(what: "a machine whose wipe waits for a second word gets one: nothing of it has begun", open: .wipe, waits: true),
            Case(what: "a machine on hold gets none though its wipe waits", open: .wipe, waits: true, held: true, refused: "machine-held"),
            Case(what: "a machine on hold gets none", held: true, refused: "machine-held"),
            Case(what: "a machine that runs nothing of ours gets none", installed: false, refused: "machine-not-running"),
            Case(what: "a machine within its lease gets one", lease: 1),
            Case(what: "a machine whose lease ends this very millisecond gets none", lease: 0, refused: "lease-over"),
            Case(what: "a machine whose lease is over gets none", lease: -1, refused: "lease-over"),
            Case(
                what: "a machine that booted something else gets none where attestation is asked for", attestation: .failed, needed: true,
                refused: "attestation-failed"),
            Case(what: "a machine that booted something else gets one that says so elsewhere", attestation: .failed),
            Case(what: "a machine without quote gets none where one is asked for", needed: true, refused: "attestation-missing"),
            Case(what: "an attested machine gets one where attestation is asked for", attestation: .attested, needed: true),
        ]
        + MachineState.allCases.filter { $0 != .running }.map {
            Case(what: "a machine that is \($0.rawValue) gets none", state: $0, refused: "machine-not-running")
        }

    @Test("decides", arguments: cases) func decides(_ row: Case) throws {
        let now = Timestamp(milliseconds: 1_800_000_000_000)
        var machine = try Rig.running()
        machine.state = row.state
        if !row.installed { machine.installed = nil }
        if row.held {
            machine.holds = [Hold(id: HoldID(unchecked: "hold-1234"), problem: Problem("x", title: "x"), operation: nil, since: now)]
        }
        if row.lost { machine.openOperation = OperationID(unchecked: "op-lost1") }
        var operation: Model.Operation?
        if let kind = row.open {
            let request: OperationRequest =
                switch kind {
                case .inspect: .inspect
                case .install: .install(InstallRequest(image: "debian-12"))
                case .wipe: .wipe(WipeRequest())
                case .rescue: .rescue(RescueRequest(sshKeys: []))
                }
            operation = Model.Operation(
                id: OperationID(unchecked: "op-1234"), machine: machine.id, generation: 2, request: request, steps: [],
                requestedBy: "test", createdAt: now)
            if row.waits { operation?.state = .waiting }
            machine.openOperation = operation?.id
        }
        let lease = row.lease.map { LeaseTerm(id: "l-1", endsAt: now + .milliseconds($0)) }
        let verdict = IdentityGate.decide(
            IdentityQuestion(
                machine: machine, operation: operation, lease: lease, attestation: row.attestation, needsAttestation: row.needed),
            now: now)
        switch (verdict, row.refused) {
        case (.grant(let until), nil): #expect(until == lease?.endsAt)
        case (.refuse(let code, _), let wanted?): #expect(code == wanted)
        default: Issue.record("\(row.what): got \(verdict)")
        }
    }

    @Test("a machine that nobody knows gets none") func unknown() {
        let verdict = IdentityGate.decide(IdentityQuestion(machine: nil), now: Timestamp(milliseconds: 0))
        guard case .refuse("machine-unknown", _) = verdict else {
            Issue.record("got \(verdict)")
            return
        }
    }
}
