import Model
import Testing

@testable import Control

/// Every boot that there is: what a machine's record says, what work it has, what its disks hold, and the network's policy.
@Suite("The boot gate's table")
struct BootGateTableTests {
    /// A line: the record's state, `+hold` where it has a hold, and its operation; then one word for each ``Disk`` in their
    /// order, of one letter for each policy in their order: A the agent, D the local disk, L left to its firmware, R refused.
    static let table = """
        new              none       LAAA LAAA LAAA LAAA LLLL
        new              lost       LLLR LRRR LRRR LRRR LLLL
        new              inspect    LAAA LAAA LAAA LAAA LAAA
        new              install    LAAA LAAA LAAA LAAA LAAA
        new              restarted  LDDD LDDD LDDD LDDD LDDD
        new              wipe       LAAA LAAA LAAA LAAA LAAA
        new              rescue     LAAA LAAA LAAA LAAA LAAA
        new              older      LLLR LRRR LRRR LRRR LLLL
        new              undoing    LRRR LRRR LRRR LRRR LLLL
        new+hold         none       LLLR LRRR LRRR LRRR LLLL
        new+hold         lost       LLLR LRRR LRRR LRRR LLLL
        new+hold         inspect    LAAA LAAA LAAA LAAA LAAA
        new+hold         install    LAAA LAAA LAAA LAAA LAAA
        new+hold         restarted  LDDD LDDD LDDD LDDD LDDD
        new+hold         wipe       LAAA LAAA LAAA LAAA LAAA
        new+hold         rescue     LAAA LAAA LAAA LAAA LAAA
        new+hold         older      LLLR LRRR LRRR LRRR LLLL
        new+hold         undoing    LRRR LRRR LRRR LRRR LLLL
        inspecting       none       LAAA LAAA LAAA LAAA LLLL
        inspecting       lost       LLLR LRRR LRRR LRRR LLLL
        inspecting       inspect    LAAA LAAA LAAA LAAA LAAA
        inspecting       install    LAAA LAAA LAAA LAAA LAAA
        inspecting       restarted  LDDD LDDD LDDD LDDD LDDD
        inspecting       wipe       LAAA LAAA LAAA LAAA LAAA
        inspecting       rescue     LAAA LAAA LAAA LAAA LAAA
        inspecting       older      LLLR LRRR LRRR LRRR LLLL
        inspecting       undoing    LRRR LRRR LRRR LRRR LLLL
        inspecting+hold  none       LLLR LRRR LRRR LRRR LLLL
        inspecting+hold  lost       LLLR LRRR LRRR LRRR LLLL
        inspecting+hold  inspect    LAAA LAAA LAAA LAAA LAAA
        inspecting+hold  install    LAAA LAAA LAAA LAAA LAAA
        inspecting+hold  restarted  LDDD LDDD LDDD LDDD LDDD
        inspecting+hold  wipe       LAAA LAAA LAAA LAAA LAAA
        inspecting+hold  rescue     LAAA LAAA LAAA LAAA LAAA
        inspecting+hold  older      LLLR LRRR LRRR LRRR LLLL
        inspecting+hold  undoing    LRRR LRRR LRRR LRRR LLLL
        ready            none       LAAA LAAA LAAA LAAA LLLL
        ready            lost       LRRR LRRR LRRR LRRR LLLL
        ready            inspect    LAAA LAAA LAAA LAAA LAAA
        ready            install    LAAA LAAA LAAA LAAA LAAA
        ready            restarted  LDDD LDDD LDDD LDDD LDDD
        ready            wipe       LAAA LAAA LAAA LAAA LAAA
        ready            rescue     LAAA LAAA LAAA LAAA LAAA
        ready            older      LRRR LRRR LRRR LRRR LLLL
        ready            undoing    LRRR LRRR LRRR LRRR LLLL
        ready+hold       none       LRRR LRRR LRRR LRRR LLLL
        ready+hold       lost       LRRR LRRR LRRR LRRR LLLL
        ready+hold       inspect    LAAA LAAA LAAA LAAA LAAA
        ready+hold       install    LAAA LAAA LAAA LAAA LAAA
        ready+hold       restarted  LDDD LDDD LDDD LDDD LDDD
        ready+hold       wipe       LAAA LAAA LAAA LAAA LAAA
        ready+hold       rescue     LAAA LAAA LAAA LAAA LAAA
        ready+hold       older      LRRR LRRR LRRR LRRR LLLL
        ready+hold       undoing    LRRR LRRR LRRR LRRR LLLL
        rescue           none       LAAA LAAA LAAA LAAA LLLL
        rescue           lost       LRRR LRRR LRRR LRRR LLLL
        rescue           inspect    LAAA LAAA LAAA LAAA LAAA
        rescue           install    LAAA LAAA LAAA LAAA LAAA
        rescue           restarted  LDDD LDDD LDDD LDDD LDDD
        rescue           wipe       LAAA LAAA LAAA LAAA LAAA
        rescue           rescue     LAAA LAAA LAAA LAAA LAAA
        rescue           older      LRRR LRRR LRRR LRRR LLLL
        rescue           undoing    LRRR LRRR LRRR LRRR LLLL
        rescue+hold      none       LRRR LRRR LRRR LRRR LLLL
        rescue+hold      lost       LRRR LRRR LRRR LRRR LLLL
        rescue+hold      inspect    LAAA LAAA LAAA LAAA LAAA
        rescue+hold      install    LAAA LAAA LAAA LAAA LAAA
        rescue+hold      restarted  LDDD LDDD LDDD LDDD LDDD
        rescue+hold      wipe       LAAA LAAA LAAA LAAA LAAA
        rescue+hold      rescue     LAAA LAAA LAAA LAAA LAAA
        rescue+hold      older      LRRR LRRR LRRR LRRR LLLL
        rescue+hold      undoing    LRRR LRRR LRRR LRRR LLLL
        installing       none       LRRR LRRR LRRR LRRR LLLL
        installing       lost       LDDD LDDD LDDD LDDD LLLL
        installing       inspect    LAAA LAAA LAAA LAAA LAAA
        installing       install    LAAA LAAA LAAA LAAA LAAA
        installing       restarted  LDDD LDDD LDDD LDDD LDDD
        installing       wipe       LAAA LAAA LAAA LAAA LAAA
        installing       rescue     LAAA LAAA LAAA LAAA LAAA
        installing       older      LRRR LRRR LRRR LRRR LLLL
        installing       undoing    LRRR LRRR LRRR LRRR LLLL
        installing+hold  none       LRRR LRRR LRRR LRRR LLLL
        installing+hold  lost       LDDD LDDD LDDD LDDD LLLL
        installing+hold  inspect    LAAA LAAA LAAA LAAA LAAA
        installing+hold  install    LAAA LAAA LAAA LAAA LAAA
        installing+hold  restarted  LDDD LDDD LDDD LDDD LDDD
        installing+hold  wipe       LAAA LAAA LAAA LAAA LAAA
        installing+hold  rescue     LAAA LAAA LAAA LAAA LAAA
        installing+hold  older      LRRR LRRR LRRR LRRR LLLL
        installing+hold  undoing    LRRR LRRR LRRR LRRR LLLL
        wiping           none       LRRR LRRR LRRR LRRR LLLL
        wiping           lost       LRRR LRRR LRRR LRRR LLLL
        wiping           inspect    LAAA LAAA LAAA LAAA LAAA
        wiping           install    LAAA LAAA LAAA LAAA LAAA
        wiping           restarted  LDDD LDDD LDDD LDDD LDDD
        wiping           wipe       LAAA LAAA LAAA LAAA LAAA
        wiping           rescue     LAAA LAAA LAAA LAAA LAAA
        wiping           older      LRRR LRRR LRRR LRRR LLLL
        wiping           undoing    LRRR LRRR LRRR LRRR LLLL
        wiping+hold      none       LRRR LRRR LRRR LRRR LLLL
        wiping+hold      lost       LRRR LRRR LRRR LRRR LLLL
        wiping+hold      inspect    LAAA LAAA LAAA LAAA LAAA
        wiping+hold      install    LAAA LAAA LAAA LAAA LAAA
        wiping+hold      restarted  LDDD LDDD LDDD LDDD LDDD
        wiping+hold      wipe       LAAA LAAA LAAA LAAA LAAA
        wiping+hold      rescue     LAAA LAAA LAAA LAAA LAAA
        wiping+hold      older      LRRR LRRR LRRR LRRR LLLL
        wiping+hold      undoing    LRRR LRRR LRRR LRRR LLLL
        running          none       LDDD LDDD LDDD LDDD LDDD
        running          lost       LDDD LDDD LDDD LDDD LDDD
        running          inspect    LAAA LAAA LAAA LAAA LAAA
        running          install    LAAA LAAA LAAA LAAA LAAA
        running          restarted  LDDD LDDD LDDD LDDD LDDD
        running          wipe       LAAA LAAA LAAA LAAA LAAA
        running          rescue     LAAA LAAA LAAA LAAA LAAA
        running          older      LDDD LDDD LDDD LDDD LDDD
        running          undoing    LRRR LRRR LRRR LRRR LRRR
        running+hold     none       LDDD LDDD LDDD LDDD LDDD
        running+hold     lost       LDDD LDDD LDDD LDDD LDDD
        running+hold     inspect    LAAA LAAA LAAA LAAA LAAA
        running+hold     install    LAAA LAAA LAAA LAAA LAAA
        running+hold     restarted  LDDD LDDD LDDD LDDD LDDD
        running+hold     wipe       LAAA LAAA LAAA LAAA LAAA
        running+hold     rescue     LAAA LAAA LAAA LAAA LAAA
        running+hold     older      LDDD LDDD LDDD LDDD LDDD
        running+hold     undoing    LRRR LRRR LRRR LRRR LRRR
        """

    /// What is known of its disks: no inventory at all, one of an agent that did not look, or what they hold.
    enum Disk: CaseIterable { case unseen, unread, empty, ours, foreign }

    enum Work: String, CaseIterable { case none, lost, inspect, install, restarted, wipe, rescue, older, undoing }

    private static let rows: [(record: String, work: Work, verdicts: [String])] = table.split(separator: "\n").compactMap { line in
        let words = line.split(separator: " ").map(String.init)
        return Work(rawValue: words[1]).map { (words[0], $0, Array(words.dropFirst(2))) }
    }

    private static func letter(_ verdict: BootVerdict) -> Character {
        switch verdict {
        case .agent: "A"
        case .localDisk: "D"
        case .leave: "L"
        case .refuse: "R"
        }
    }

    private static func operation(_ work: Work, of machine: Machine) -> Model.Operation? {
        let request: OperationRequest
        switch work {
        case .none, .lost: return nil
        case .inspect: request = .inspect
        case .install, .restarted, .older, .undoing: request = .install(InstallRequest(image: "debian-12"))
        case .wipe: request = .wipe(WipeRequest())
        case .rescue: request = .rescue(RescueRequest(sshKeys: []))
        }
        var operation = Model.Operation(
            id: OperationID(unchecked: "op-1234"), machine: machine.id, generation: work == .older ? 2 : 3, request: request,
            steps: request.stepNames.map(Step.init), requestedBy: "test", createdAt: machine.createdAt)
        if work == .undoing { operation.state = .undoing }
        if work == .restarted {
            for index in operation.steps.indices where operation.steps[index].name != .firstBoot { operation.steps[index].state = .succeeded }
        }
        return operation
    }

    private static func subject(_ state: MachineState, held: Bool, _ work: Work, _ disk: Disk) throws -> (Machine, Model.Operation?) {
        var subject = try machine(state)
        subject.generation = 3
        if held {
            subject.holds = [Hold(id: HoldID(unchecked: "hold-1234"), problem: Problem("x", title: "x"), operation: nil, since: subject.createdAt)]
        }
        if disk != .unseen {
            var facts = inventory()
            switch disk {
            case .unseen: break
            case .unread: facts.disks[0].contents = nil
            case .empty: facts.disks[0].contents = DiskContents()
            case .ours, .foreign: facts.disks[0].contents = DiskContents(items: [.init(kind: "GPT")], partitions: 3)
            }
            subject.observed.inventory = facts
            subject.judgeDisks(marked: disk == .ours ? ["D1"] : [])
        }
        let operation = operation(work, of: subject)
        subject.openOperation = work == .lost ? OperationID(unchecked: "op-lost1") : operation?.id
        return (subject, operation)
    }

    @Test("has a row for each record and each work, with a verdict for each disk and each policy")
    func isWhole() {
        let records = MachineState.allCases.flatMap { [$0.rawValue, $0.rawValue + "+hold"] }
        let wanted = Set(records.flatMap { record in Work.allCases.map { "\(record) \($0)" } })
        #expect(Set(Self.rows.map { "\($0.record) \($0.work)" }) == wanted && Self.rows.count == wanted.count)
        for row in Self.rows {
            #expect(row.verdicts.count == Disk.allCases.count && row.verdicts.allSatisfy { $0.count == DiscoveryPolicy.allCases.count })
        }
    }

    @Test("is what the gate decides", arguments: rows.indices)
    func decides(index: Int) throws {
        let row = Self.rows[index]
        let parts = row.record.split(separator: "+")
        let state = try #require(MachineState(rawValue: String(parts[0])))
        for (disk, verdicts) in zip(Disk.allCases, row.verdicts) {
            let (subject, operation) = try Self.subject(state, held: parts.count > 1, row.work, disk)
            for (policy, wanted) in zip(DiscoveryPolicy.allCases, verdicts) {
                let verdict = BootGate.decide(machine: subject, operation: operation, policy: policy)
                #expect(Self.letter(verdict) == wanted, "\(row.record) \(row.work), disk \(disk), \(policy.rawValue): \(verdict)")
            }
        }
    }

    @Test(
        "an unknown machine is in no record: the policy alone decides, and how often it was sent into the agent in vain",
        arguments: [
            (DiscoveryPolicy.watch, "LLL"), (.known, "LLL"), (.inspectEmpty, "AAL"), (.discover, "AAA"),
        ])
    func unknown(policy: DiscoveryPolicy, wanted: String) {
        let verdicts = (0...2).map { Self.letter(BootGate.decide(machine: nil, operation: nil, policy: policy, tries: $0)) }
        #expect(String(verdicts) == wanted)
    }

    @Test("an inspection that came by itself, and that the machine begins again and again, leaves it to its own disk")
    func fruitless() throws {
        var (subject, operation) = try Self.subject(.inspecting, held: false, .inspect, .unseen)
        let index = try #require(operation?.steps.firstIndex { $0.name == .inventory })
        operation?.steps[index].attempts = 3
        for policy in [DiscoveryPolicy.known, .inspectEmpty] {
            if case .agent = BootGate.decide(machine: subject, operation: operation, policy: policy) {} else { Issue.record("a person asked for it") }
        }
        operation?.requestedBy = Model.Operation.discoverer
        subject.openOperation = operation?.id
        for (policy, wanted) in zip(DiscoveryPolicy.allCases, "LLLA") {
            #expect(Self.letter(BootGate.decide(machine: subject, operation: operation, policy: policy)) == wanted)
        }
    }
}
