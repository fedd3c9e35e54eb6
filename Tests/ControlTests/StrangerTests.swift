import Logging
import Model
import Store
import Testing
import Wire

@testable import Control

/// Machines whose disks hold what nobody here put there.
@Suite("A machine with somebody's system")
struct StrangerTests {
    private let foreign = DiskContents(
        items: [.init(kind: "GPT"), .init(kind: "ext4", label: "root", partition: 2)], partitions: 2)

    private func inventory(_ contents: DiskContents?, disks: [(String, Int64)] = [("D1", 8_000_000_000)]) -> Inventory {
        var facts = ControlTests.inventory(disks: disks)
        for index in facts.disks.indices { facts.disks[index].contents = contents }
        return facts
    }

    private func letter(_ control: ControlPlane, _ policy: DiscoveryPolicy) -> String {
        switch control.boots(testMAC, policy: policy).verdict {
        case .agent: "agent"
        case .localDisk: "disk"
        case .leave: "leave"
        case .refuse: "refuse"
        }
    }

    private func work(_ control: ControlPlane, _ session: String, _ policy: DiscoveryPolicy) async throws -> AgentWork {
        try await control.task(
            for: session, query: TaskQuery(operation: nil, generation: 0), base: testBase, wantsProof: false, policy: policy,
            patience: .milliseconds(50)
        ).work
    }

    private func isReboot(_ work: AgentWork) -> String? {
        if case .reboot(let reason) = work { reason } else { nil }
    }

    private func events(_ control: ControlPlane, _ kind: String) async throws -> [Event] {
        try await control.records.all(Event.self).map(\.value).filter { $0.kind == kind }
    }

    @Test("is inspected, told why, sent to its own disk, and left alone from then on", arguments: [DiscoveryPolicy.inspectEmpty, .known])
    func isLeft(policy: DiscoveryPolicy) async throws {
        try await running(try await open(MemoryStore())) { control in
            #expect(letter(control, policy) == (policy == .known ? "leave" : "agent"))
            let agent = try await boot(control)
            try await control.record(inventory(foreign), of: agent.machine, wantsProof: false)
            let machine = try #require(control.snapshot.machines[agent.machine])
            #expect(machine.state == .ready && machine.observed.foreignDisks == ["D1"])
            let reason = try #require(isReboot(try await work(control, agent.session, policy)))
            #expect(reason.contains("vd0 (GPT, 2 partitions; 2: ext4 “root”)"))
            for policy in DiscoveryPolicy.allCases { #expect(letter(control, policy) == "leave", "\(policy.rawValue)") }
            let found = try await events(control, "machine.foreign-contents")
            #expect(found.count == 1 && found[0].message.contains("machine take \(machine.id)"))
            #expect(found[0].evidence["disk D1"] == foreign.summary)
            // The same again is no news.
            try await control.record(inventory(foreign), of: agent.machine, wantsProof: false)
            #expect(try await events(control, "machine.foreign-contents").count == 1)
        }
    }

    @Test("waits in the agent where a network takes in whatever comes, until it is started again")
    func discovered() async throws {
        try await running(try await open(MemoryStore())) { control in
            let agent = try await boot(control)
            try await control.record(inventory(foreign), of: agent.machine, wantsProof: false)
            #expect(isReboot(try await work(control, agent.session, .discover)) == nil)
            #expect(letter(control, .discover) == "leave")
        }
    }

    @Test("one whose disks are empty waits for work")
    func empty() async throws {
        try await running(try await open(MemoryStore())) { control in
            let agent = try await boot(control)
            try await control.record(inventory(DiskContents()), of: agent.machine, wantsProof: false)
            #expect(isReboot(try await work(control, agent.session, .inspectEmpty)) == nil)
            #expect(letter(control, .inspectEmpty) == "agent")
            #expect(try await events(control, "machine.foreign-contents").isEmpty)
        }
    }

    @Test("a person's operation takes it, and before the first byte is written nothing is given away")
    func operation() async throws {
        try await running(try await open(MemoryStore())) { control in
            let agent = try await boot(control)
            try await control.record(inventory(foreign), of: agent.machine, wantsProof: false)
            let operation = try await control.order(.wipe(WipeRequest(disks: ["D1"])), on: agent.machine.rawValue, by: "test")
            #expect(letter(control, .inspectEmpty) == "agent")
            _ = try await control.cancel(operation.id, by: "test")
            #expect(control.snapshot.machines[agent.machine]?.takenDisks == nil)
            #expect(letter(control, .inspectEmpty) == "leave")
        }
    }

    @Test("after its wipe it waits for work, whatever was told of its disks before; what is put there later is somebody's again")
    func wiped() throws {
        let now = Timestamp(milliseconds: 1)
        var subject = try machine(.ready)
        subject.observed.inventory = inventory(foreign, disks: [("D1", 8 << 30), ("D2", 8 << 30)])
        subject.judgeDisks(marked: [])
        #expect(subject.observed.foreignDisks == ["D1", "D2"])
        var transition = OperationTransition.begin(
            id: OperationID(unchecked: "op-wipe0001"), request: .wipe(WipeRequest(disks: ["D1"])), machine: subject, by: "test", now: now)
        transition.agentArrived(AgentPresence(boot: "b", since: now, version: "1"), now)
        func succeed(_ step: StepName) {
            transition.report(
                StepReport(operation: transition.operation.id, generation: transition.operation.generation, step: step, kind: .succeeded), now)
        }
        for step in transition.operation.steps.map(\.name) where step.isAgentWork && step != .agent { succeed(step) }
        #expect(transition.operation.state == .succeeded)
        subject = transition.machine
        #expect(subject.observed.foreignDisks == [])
        #expect(subject.takenDisks == [TakenDisk(name: "D2"), TakenDisk(name: "D1", isWiped: true)])
        #expect(subject.observed.inventory?.disks[0].contents == DiskContents())
        #expect(
            BootGate.decide(machine: subject, operation: nil, policy: .inspectEmpty) == .agent(why: "it has no system of ours; it waits for work"))
        // A disk that erased itself by its key may read as noise.
        subject.observed.inventory?.disks[0].contents = DiskContents(items: [.init(kind: DiskContents.unknownData)])
        subject.judgeDisks(marked: [])
        #expect(subject.foreignContents == nil)
        subject.observed.inventory?.disks[0].contents = foreign
        subject.judgeDisks(marked: [])
        #expect(subject.observed.foreignDisks == ["D1"], "somebody installed it by hand")
    }

    @Test("an installation that broke off leaves a machine that can be installed again")
    func brokenOff() throws {
        let now = Timestamp(milliseconds: 1)
        var subject = try machine(.ready)
        subject.observed.inventory = inventory(foreign)
        subject.judgeDisks(marked: [])
        var transition = OperationTransition.begin(
            id: OperationID(unchecked: "op-inst0001"), request: .install(InstallRequest(image: "i", disk: "D1")), machine: subject, by: "test",
            now: now)
        transition.agentArrived(AgentPresence(boot: "b", since: now, version: "1"), now)
        #expect(transition.machine.foreignContents != nil)
        transition.report(
            StepReport(
                operation: transition.operation.id, generation: transition.operation.generation, step: .chooseDisk, kind: .succeeded,
                evidence: ["serial": "D1"]), now)
        subject = transition.machine
        #expect(transition.operation.currentStep?.name == .writeImage && subject.foreignContents == nil)
        (subject.openOperation, subject.state) = (nil, .ready)
        subject.observed.inventory?.disks[0].contents = DiskContents(items: [.init(kind: "GPT (its second copy only)")])
        subject.judgeDisks(marked: [])
        #expect(subject.foreignContents == nil)
    }

    @Test("a person takes it without writing anything; a disk that is put in later is not taken")
    func taken() async throws {
        try await running(try await open(MemoryStore())) { control in
            let agent = try await boot(control)
            try await control.record(inventory(foreign), of: agent.machine, wantsProof: false)
            let taken = try await control.agreedTaking(of: agent.machine.rawValue, by: "eve")
            #expect(taken.takenDisks == [TakenDisk(name: "D1")] && taken.foreignContents == nil)
            #expect(try await events(control, "machine.taken").first?.actor == "eve")
            #expect(letter(control, .inspectEmpty) == "agent")
            try await control.record(inventory(foreign), of: agent.machine, wantsProof: false)
            #expect(letter(control, .inspectEmpty) == "agent")
            try await control.record(inventory(foreign, disks: [("D1", 8_000_000_000), ("D9", 8_000_000_000)]), of: agent.machine, wantsProof: false)
            #expect(control.snapshot.machines[agent.machine]?.observed.foreignDisks == ["D9"])
            #expect(letter(control, .inspectEmpty) == "leave")
        }
        try await running(try await open(MemoryStore())) { control in
            let agent = try await boot(control)
            await #expect(throws: Problem.self) { _ = try await control.takeDisks(of: agent.machine.rawValue, by: "eve") }
        }
    }

    @Test("a marker counts where this control plane made it, and a forged one does not")
    func markers() async throws {
        try await running(try await open(MemoryStore())) { control in
            let agent = try await boot(control)
            var facts = inventory(foreign)
            var record = InstallRecord(
                machine: agent.machine, operation: OperationID(unchecked: "op-gone0001"), generation: 1, image: "i", digest: OneImage.digest,
                hostname: "h")
            facts.installations = [.init(disk: "D1", record: record)]
            for tag in [nil, String(repeating: "a", count: 64)] {
                record.tag = tag
                facts.installations[0].record = record
                try await control.record(facts, of: agent.machine, wantsProof: false)
                #expect(letter(control, .inspectEmpty) == "leave")
            }
            facts.installations[0].record = try control.markers.sealed(record)
            try await control.record(facts, of: agent.machine, wantsProof: false)
            #expect(letter(control, .inspectEmpty) == "agent")
        }
    }

    @Test("a disk that cannot be read, and a controller without a driver, may hold anything")
    func unseen() async throws {
        try await running(try await open(MemoryStore())) { control in
            let agent = try await boot(control)
            try await control.record(inventory(DiskContents(items: [.init(kind: DiskContents.unreadable)])), of: agent.machine, wantsProof: false)
            #expect(letter(control, .inspectEmpty) == "leave")
            var facts = inventory(DiskContents(), disks: [])
            facts.storageWithoutDriver = ["storage controller 0000:03:00.0 (1000:005d)"]
            try await control.record(facts, of: agent.machine, wantsProof: false)
            #expect(letter(control, .inspectEmpty) == "leave")
            #expect(control.boots(testMAC, policy: .known).machine?.foreignContents?.contains("0000:03:00.0") == true)
            _ = try await control.agreedTaking(of: agent.machine.rawValue, by: "eve")
            #expect(letter(control, .inspectEmpty) == "agent")
        }
    }

    @Test("an agent that tells its inventory again does not say what its disks hold: what was known of them stays")
    func toldAgain() async throws {
        try await running(try await open(MemoryStore())) { control in
            let agent = try await boot(control)
            try await control.record(inventory(foreign), of: agent.machine, wantsProof: false)
            try await control.record(inventory(nil), of: agent.machine, wantsProof: false)
            #expect(control.snapshot.machines[agent.machine]?.observed.inventory?.disks[0].contents == foreign)
            #expect(letter(control, .inspectEmpty) == "leave")
        }
    }

    @Test("a record and an agent of before know nothing of contents: the machine waits for work as ever")
    func former() async throws {
        try await running(try await open(MemoryStore())) { control in
            let agent = try await boot(control)
            try await control.record(inventory(nil), of: agent.machine, wantsProof: false)
            #expect(control.snapshot.machines[agent.machine]?.observed.foreignDisks == nil)
            #expect(letter(control, .inspectEmpty) == "agent")
            #expect(isReboot(try await work(control, agent.session, .inspectEmpty)) == nil)
        }
    }

    @Test("one that never says a word from the agent boots its own disk after two tries, for an hour")
    func silent() async throws {
        let clock = ManualClock()
        try await running(try await open(MemoryStore(), clock: clock)) { control in
            for _ in 0..<2 {
                #expect(letter(control, .inspectEmpty) == "agent")
                control.noteInspection(of: testMAC)
            }
            #expect(letter(control, .inspectEmpty) == "leave" && letter(control, .discover) == "agent")
            clock.advance(.seconds(3601))
            #expect(letter(control, .inspectEmpty) == "agent")
        }
        // A clock that is set back does not keep a machine away.
        let tries = InspectionTries()
        let now = Timestamp(milliseconds: 1_000_000_000)
        for _ in 0..<2 { tries.note(testMAC, at: now) }
        #expect(tries.count(of: testMAC, at: now) == 2 && tries.count(of: testMAC, at: now + .seconds(-7200)) == 0)
        // Whoever makes up ports by the thousand gets none of them captured, nor fills the memory.
        for number in 0..<10_000 { tries.note(MACAddress(value: UInt64(number)), at: now) }
        #expect(tries.count(of: MACAddress(value: 99_999), at: now) == InspectionTries.limit)
        #expect(tries.count(of: MACAddress(value: 99_999), at: now + .seconds(3601)) == 0)
    }

    @Test("a machine is put into the record by its port, once, and is not forgotten like one that came by itself")
    func added() async throws {
        let clock = ManualClock()
        try await running(try await open(MemoryStore(), clock: clock)) { control in
            #expect(letter(control, .known) == "leave")
            let machine = try await control.add(machine: testMAC, name: nil, by: "eve")
            #expect(machine.state == .new && letter(control, .known) == "agent")
            #expect(control.snapshot.isKnown(testMAC))
            for (mac, name) in [(testMAC, nil), (MACAddress(value: 0), nil), (MACAddress(value: 7), machine.name.text)] as [(MACAddress, String?)] {
                await #expect(throws: Problem.self) { _ = try await control.add(machine: mac, name: name, by: "eve") }
            }
            clock.advance(.seconds(30 * 86_400))
            try await control.expireDiscovered()
            #expect(control.snapshot.machines[machine.id] != nil)
            #expect(try await boot(control).machine == machine.id)
        }
    }
}
