import Model
import Store
import Testing
import Wire

@testable import Control

@Suite("A call home that is repeated until it is acknowledged")
struct LateProofTests {
    private static let nonce = String(repeating: "0a", count: 32)
    private static let address = IPv4Address("10.77.0.61")

    private func report(
        _ operation: Model.Operation, _ step: StepName, _ kind: StepReport.Kind = .succeeded
    ) -> StepReport {
        StepReport(
            operation: operation.id, generation: operation.generation, step: step, kind: kind,
            evidence: step == .chooseDisk ? ["serial": "D1"] : [:], problem: nil)
    }

    /// An installation on a machine that its agent has brought up to and with `last`.
    private func install(_ control: ControlPlane, upTo last: StepName = .restart) async throws -> Model.Operation {
        let reply = try await boot(control)
        // The smaller one is chosen.
        try await control.record(
            inventory(disks: [("D1", 8_000_000_000), ("D2", 9_000_000_000)]), of: reply.machine, wantsProof: false)
        let operation = try await control.order(.install(InstallRequest(image: "debian-12")), on: reply.machine.rawValue, by: "test")
        _ = try await control.task(for: reply.session, query: TaskQuery(operation: nil, generation: 0), base: testBase, wantsProof: false)
        for step in InstallTests.order {
            _ = try await control.report(report(operation, step), of: reply.machine, wantsProof: false)
            if step == last { break }
        }
        return try await control.operation(operation.id).value
    }

    /// The same, and no proof came in time.
    private func failed(_ control: ControlPlane, _ clock: ManualClock) async throws -> Model.Operation {
        let operation = try await install(control)
        clock.advance(.seconds(1801))
        try await control.change(operation.machine) { transition, now in _ = transition.timePassed(now) }
        let ended = try await control.operation(operation.id).value
        #expect(ended.state == .failed && ended.problem?.code == "no-sign-of-life")
        return ended
    }

    private func message(
        _ control: ControlPlane, _ operation: Model.Operation, key other: CallHomeKey? = nil, instance: String? = nil
    ) throws -> CallHomeMessage {
        let text = """
            hostler-call-home 1
            operation \(operation.id)
            nonce \(Self.nonce)
            instance \(instance ?? operation.id.rawValue)
            hostname one
            cloud-init finished
            key ssh-ed25519 AAAA
            """
        let key = other ?? control.markers.callHomeKey(of: operation)
        return try CallHomeMessage(parsing: Array("\(text)\ncode \(key.code(text))\n".utf8))
    }

    /// The answer's word, whose code is checked as the system checks it.
    private func callHome(_ control: ControlPlane, _ operation: Model.Operation, instance: String? = nil) async throws -> String {
        let line = try await control.callHome(try message(control, operation, instance: instance), from: Self.address, evidence: ["call-home": "x"])
        let word = String(try #require(line.split(separator: " ").first))
        #expect(line == "\(word) \(control.markers.callHomeKey(of: operation).code("\(word) \(Self.nonce)"))\n")
        return word
    }

    private func machine(_ control: ControlPlane, _ operation: Model.Operation) async throws -> Machine {
        try await control.machine(named: operation.machine.rawValue).value
    }

    private func events(_ control: ControlPlane) async throws -> [Event] { try await control.records.all(Event.self).map(\.value) }

    private func goesToDisk(_ control: ControlPlane) -> Bool {
        if case .localDisk = control.boots(testMAC).verdict { true } else { false }
    }

    private func code(_ body: () async throws -> Void) async -> String? {
        do {
            try await body()
            return nil
        } catch { return (error as? Problem)?.code ?? "\(error)" }
    }

    @Test("in time it is the proof, and after a lost reply it is acknowledged again, however often")
    func inTime() async throws {
        let control = try await open(MemoryStore())
        try await running(control) { control in
            let operation = try await install(control)
            for _ in 0..<3 { #expect(try await callHome(control, operation) == "acknowledged") }
            let machine = try await machine(control, operation)
            #expect(machine.state == .running && machine.installed?.hostKeys == ["ssh-ed25519 AAAA"] && machine.unproved == nil)
            #expect(try await control.operation(operation.id).value.state == .succeeded)
            #expect(try await control.operation(operation.id).value.step(.firstBoot)?.evidence["cloud-init"] == "finished")
            #expect(try await events(control).filter { $0.kind == "operation.succeeded" && $0.operation == operation.id }.count == 1)
        }
    }

    @Test("late it counts: the proof is recorded, the machine runs, and its hold is released by that")
    func late() async throws {
        let clock = ManualClock()
        let control = try await open(MemoryStore(), clock: clock)
        try await running(control) { control in
            let operation = try await failed(control, clock)
            var machine = try await machine(control, operation)
            // On hold, and yet its system may run: the gate leaves it its disk, and the hold says what to do.
            #expect(machine.unproved?.operation == operation.id && machine.unproved?.diskSerial == "D1" && machine.installed == nil)
            #expect(goesToDisk(control))
            let remedy = try #require(machine.holds.first?.problem.remedy)
            for word in ["machine console", "machine ssh", "hostler-call-home", "machine install", "machine wipe"] { #expect(remedy.contains(word)) }
            clock.advance(.seconds(3 * 86_400))
            #expect(try await callHome(control, operation) == "acknowledged")
            machine = try await self.machine(control, operation)
            #expect(machine.state == .running && machine.holds.isEmpty && machine.unproved == nil)
            #expect(machine.installed?.operation == operation.id && machine.installed?.hostKeys == ["ssh-ed25519 AAAA"])
            #expect(machine.installed?.keyVerifiers == operation.keyVerifiers && machine.observed.address == Self.address)
            // What was is not written anew: the operation failed, and its proof came late.
            let ended = try await control.operation(operation.id).value
            #expect(ended.state == .failed && ended.step(.firstBoot)?.evidence["proved-late"] == "\(clock.now)")
            let kinds = try await events(control).map(\.kind)
            #expect(kinds.contains("operation.proved-late") && kinds.contains("machine.released"))
            // Said again after a lost reply, it changes nothing.
            let count = kinds.count
            #expect(try await callHome(control, operation) == "acknowledged")
            #expect(try await events(control).count == count)
            #expect(goesToDisk(control))
        }
    }

    @Test("a hold that is released forgets no system: the machine boots its disk, has no identity, and proves itself when it can")
    func released() async throws {
        let clock = ManualClock()
        let control = try await open(MemoryStore(), clock: clock)
        try await running(control) { control in
            let operation = try await failed(control, clock)
            let hold = try #require(try await machine(control, operation).holds.first)
            let released = try await control.agreedRelease(hold.id, on: operation.machine.rawValue, by: "test")
            #expect(released.state == .running && released.holds.isEmpty && released.unproved?.operation == operation.id)
            #expect(released.installed == nil, "it has not proved itself")
            #expect(goesToDisk(control))
            #expect(try await events(control).contains { $0.kind == "machine.released" && $0.message.contains("boots its disk") })
            #expect(try await callHome(control, operation) == "acknowledged")
            #expect(try await machine(control, operation).installed?.operation == operation.id)
        }
    }

    @Test("where a new installation waits for its agent, the proof is recorded and the new one goes on; cancelled, the old system stays")
    func beforeReinstall() async throws {
        let clock = ManualClock()
        let control = try await open(MemoryStore(), clock: clock)
        try await running(control) { control in
            let operation = try await failed(control, clock)
            let hold = try #require(try await machine(control, operation).holds.first)
            _ = try await control.agreedRelease(hold.id, on: operation.machine.rawValue, by: "test")
            let next = try await control.order(.install(InstallRequest(image: "debian-12")), on: operation.machine.rawValue, by: "test")
            #expect(try await callHome(control, operation) == "acknowledged")
            let during = try await machine(control, operation)
            #expect(during.installed?.operation == operation.id && during.state == .installing && during.openOperation == next.id)
            #expect(!goesToDisk(control), "a person wants the new one")
            _ = try await control.cancel(next.id, by: "test")
            #expect(try await machine(control, operation).state == .running && goesToDisk(control))
        }
    }

    enum Later: CaseIterable, Sendable { case wipe, wipeThisDisk, wipeOtherDisk, install, deleted }

    @Test("after work that has begun on its disk, it is told so, and the record stays as it is", arguments: Later.allCases)
    func superseded(_ later: Later) async throws {
        let clock = ManualClock()
        let control = try await open(MemoryStore(), clock: clock)
        try await running(control) { control in
            let operation = try await failed(control, clock)
            let id = operation.machine
            let hold = try #require(try await machine(control, operation).holds.first)
            _ = try await control.agreedRelease(hold.id, on: id.rawValue, by: "test")
            if later == .deleted {
                try await control.delete(
                    machine: id.rawValue, by: "test", agreement: control.agreement(to: .delete, on: id.rawValue))
                #expect(try await callHome(control, operation) == "superseded")
                return
            }
            let request: OperationRequest =
                switch later {
                case .wipe: .wipe(WipeRequest())
                case .wipeThisDisk: .wipe(WipeRequest(disks: ["D1"]))
                case .wipeOtherDisk: .wipe(WipeRequest(disks: ["D2"]))
                case .install, .deleted: .install(InstallRequest(image: "debian-12"))
                }
            let next = try await control.order(request, on: id.rawValue, by: "test")
            let reply = try await boot(control, key: String(repeating: "b", count: 64))
            _ = try await control.task(for: reply.session, query: TaskQuery(operation: nil, generation: 0), base: testBase, wantsProof: false)
            if later == .install { _ = try await control.report(report(next, .chooseDisk), of: id, wantsProof: false) }
            let begins = later == .install ? StepName.writeImage : .wipeDisks
            _ = try await control.report(report(next, begins, .started), of: id, wantsProof: false)
            let before = try await machine(control, operation)
            #expect((before.unproved == nil) == (later != .wipeOtherDisk))
            let answer = try await callHome(control, operation)
            #expect(answer == (later == .wipeOtherDisk ? "acknowledged" : "superseded"))
            let after = try await machine(control, operation)
            if later == .wipeOtherDisk {
                #expect(after.installed?.operation == operation.id && after.state == .wiping && after.openOperation == next.id)
            } else {
                #expect(after == before)
            }
        }
    }

    @Test("while a new installation writes another disk it counts; once that one's seed is written, the system is out of force")
    func otherDiskIsWritten() async throws {
        for writesSeed in [false, true] {
            let clock = ManualClock()
            let control = try await open(MemoryStore(), clock: clock)
            try await running(control) { control in
                let operation = try await failed(control, clock)
                let id = operation.machine
                let hold = try #require(try await machine(control, operation).holds.first)
                _ = try await control.agreedRelease(hold.id, on: id.rawValue, by: "test")
                let next = try await control.order(.install(InstallRequest(image: "debian-12", disk: "D2")), on: id.rawValue, by: "test")
                let reply = try await boot(control, key: String(repeating: "b", count: 64))
                _ = try await control.task(
                    for: reply.session, query: TaskQuery(operation: nil, generation: 0), base: testBase, wantsProof: false)
                let choice = StepReport(
                    operation: next.id, generation: next.generation, step: .chooseDisk, kind: .succeeded, evidence: ["serial": "D2"])
                _ = try await control.report(choice, of: id, wantsProof: false)
                _ = try await control.report(report(next, .writeImage, writesSeed ? .succeeded : .started), of: id, wantsProof: false)
                #expect((try await machine(control, operation).unproved == nil) == writesSeed)
                #expect(try await callHome(control, operation) == (writesSeed ? "superseded" : "acknowledged"))
            }
        }
    }

    @Test("a forged one is refused and changes nothing, whatever it is forged with")
    func forged() async throws {
        let clock = ManualClock()
        let control = try await open(MemoryStore(), clock: clock)
        try await running(control) { control in
            let operation = try await failed(control, clock)
            var older = operation
            older.generation -= 1
            var other = operation
            other.id = OperationID(unchecked: "op-7f3k2q9a")
            var elsewhere = operation
            elsewhere.machine = MachineID(unchecked: "m-test99")
            let keys = [older, other, elsewhere].map { control.markers.callHomeKey(of: $0) } + [CallHomeHarness.key, CallHomeKey(hex: "")]
            let before = try await machine(control, operation)
            for key in keys {
                let message = try message(control, operation, key: key)
                #expect(await code { _ = try await control.callHome(message, from: nil, evidence: [:]) } == "proof-invalid")
            }
            // Of an operation that nobody knows, and of one that installs nothing.
            let unknown = try message(control, other)
            #expect(await code { _ = try await control.callHome(unknown, from: nil, evidence: [:]) } == "proof-invalid")
            let inspection = try #require(try await control.records.all(Model.Operation.self).map(\.value).first { $0.kind == .inspect })
            let odd = try message(control, inspection)
            #expect(await code { _ = try await control.callHome(odd, from: nil, evidence: [:]) } == "proof-invalid")
            #expect(try await machine(control, operation) == before)
        }
    }

    @Test("before its disk is written it is asked to say so again, and so is phone_home")
    func early() async throws {
        let control = try await open(MemoryStore())
        try await running(control) { control in
            let operation = try await install(control, upTo: .chooseDisk)
            let early = try message(control, operation)
            #expect(await code { _ = try await control.callHome(early, from: nil, evidence: [:]) } == "call-home-early")
            let stored = try #require(try await control.records.store.get(SeedSecrets.key(operation.id)))
            let proof = try RecordCoding.decode(SeedSecrets.self, from: stored).proof
            #expect(
                await code { try await control.callHome(operation: operation.id, proof: proof, hostKeys: [], evidence: [:]) } == "call-home-early")
            #expect(try await control.operation(operation.id).value.isOpen)
        }
    }

    @Test("it proves the way there too: what the agent could not report before its restart", arguments: [StepName.writeSeed, .bootOrder])
    func unreported(_ last: StepName) async throws {
        let control = try await open(MemoryStore())
        try await running(control) { control in
            let operation = try await install(control, upTo: last)
            #expect(try await callHome(control, operation) == "acknowledged")
            let ended = try await control.operation(operation.id).value
            #expect(ended.state == .succeeded && ended.step(.restart)?.evidence["proved-by"] == "call-home")
        }
    }

    @Test("an agent that was silent after the seed was written may have restarted its machine; one that reports a failure has not")
    func silentAgent() async throws {
        for isSilent in [true, false] {
            let clock = ManualClock()
            let control = try await open(MemoryStore(), clock: clock)
            try await running(control) { control in
                let operation = try await install(control, upTo: .writeSeed)
                for _ in 0..<40 where try await control.operation(operation.id).value.isOpen {
                    if isSilent {
                        clock.advance(.seconds(400))
                        try await control.change(operation.machine) { transition, now in _ = transition.timePassed(now) }
                    } else {
                        clock.advance(.seconds(90))
                        try await control.change(operation.machine) { transition, now in
                            _ = transition.timePassed(now)
                            var failure = report(operation, .bootOrder, .failed)
                            failure.problem = Problem("boot-order", title: "the firmware takes no entry")
                            transition.report(failure, now)
                        }
                    }
                }
                let machine = try await machine(control, operation)
                #expect(!machine.holds.isEmpty && (machine.unproved != nil) == isSilent && goesToDisk(control) == isSilent)
            }
        }
    }

    @Test("a system whose installation was cancelled is not forgotten when it runs all the same")
    func cancelled() async throws {
        let control = try await open(MemoryStore())
        try await running(control) { control in
            let operation = try await install(control, upTo: .bootOrder)
            _ = try await control.cancel(operation.id, by: "test")
            #expect(try await machine(control, operation).state == .ready)
            #expect(try await callHome(control, operation) == "acknowledged")
            let machine = try await machine(control, operation)
            #expect(machine.state == .running && machine.installed?.operation == operation.id && machine.observed.agent == nil)
            #expect(try await control.operation(operation.id).value.state == .cancelled)
        }
    }

    @Test("after a restore from a backup of before its proof, the system brings itself back into the record")
    func restored() async throws {
        let store = MemoryStore()
        var operation: Model.Operation?
        try await running(try await open(store)) { operation = try await install($0) }
        try await running(try await open(store, epoch: 1)) { control in
            let operation = try #require(operation)
            #expect(try await control.operation(operation.id).value.problem?.code == OperationTransition.restoredCode)
            #expect(try await callHome(control, operation) == "acknowledged")
            #expect(try await machine(control, operation).installed?.operation == operation.id && goesToDisk(control))
        }
    }

    @Test("a machine that an earlier version held without writing down its system has it again at the next start, and when its hold is released")
    func olderStore() async throws {
        for restarts in [true, false] {
            let clock = ManualClock()
            let store = MemoryStore()
            var operation: Model.Operation?
            try await running(try await open(store, clock: clock)) { control in
                let ended = try await failed(control, clock)
                _ = try await control.edit(machine: ended.machine.rawValue, expecting: nil, kind: "test", by: "test") { machine, _ in
                    machine.unproved = nil
                    return "as an earlier version left it"
                }
                operation = ended
                guard !restarts else { return }
                #expect(!goesToDisk(control))
                let hold = try #require(try await machine(control, ended).holds.first)
                let released = try await control.agreedRelease(hold.id, on: ended.machine.rawValue, by: "test")
                #expect(released.unproved?.operation == ended.id && released.state == .running && goesToDisk(control))
            }
            guard restarts else { continue }
            try await running(try await open(store, clock: clock)) { control in
                let operation = try #require(operation)
                #expect(try await machine(control, operation).unproved?.operation == operation.id)
                #expect(goesToDisk(control))
            }
        }
    }

    @Test(
        "an agent that looks at the disk keeps the system whose marker is there, and says where it is not any more",
        arguments: ["sealed", "an earlier version's", "none"])
    func marker(_ kind: String) async throws {
        let isThere = kind != "none"
        let clock = ManualClock()
        let control = try await open(MemoryStore(), clock: clock)
        try await running(control) { control in
            let operation = try await failed(control, clock)
            let id = operation.machine
            let hold = try #require(try await machine(control, operation).holds.first)
            _ = try await control.agreedRelease(hold.id, on: id.rawValue, by: "test")
            _ = try await control.order(.inspect, on: id.rawValue, by: "test")
            let reply = try await boot(control, key: String(repeating: "b", count: 64))
            _ = try await control.task(for: reply.session, query: TaskQuery(operation: nil, generation: 0), base: testBase, wantsProof: false)
            // A controller that shows its disks late says nothing of them.
            try await control.record(inventory(disks: [("D9", 8_000_000_000)]), of: id, wantsProof: false)
            #expect(try await machine(control, operation).unproved != nil)
            var facts = inventory()
            let record = InstallRecord(
                machine: id, operation: operation.id, generation: operation.generation, image: "debian-12", digest: OneImage.digest, hostname: "one")
            if isThere { facts.installations = [.init(disk: "vd0", record: kind == "sealed" ? try control.markers.sealed(record) : record)] }
            try await control.record(facts, of: id, wantsProof: false)
            let machine = try await machine(control, operation)
            #expect((machine.unproved != nil) == isThere && machine.state == (isThere ? .running : .ready))
            #expect(goesToDisk(control) == isThere)
            #expect(try await events(control).contains { $0.kind == "machine.system-gone" } == !isThere)
        }
    }

    @Test("a system that did not find its first-boot data proves nothing, late or not")
    func foreignInstance() async throws {
        let control = try await open(MemoryStore())
        try await running(control) { control in
            let reply = try await boot(control)
            try await control.record(inventory(), of: reply.machine, wantsProof: false)
            let operation = try await control.order(
                .install(InstallRequest(image: "debian-12", dataSource: .ec2)), on: reply.machine.rawValue, by: "test")
            let foreign = try message(control, operation, instance: "\(operation.id)-seed")
            #expect(await code { _ = try await control.callHome(foreign, from: nil, evidence: [:]) } == "instance-foreign")
        }
    }
}
