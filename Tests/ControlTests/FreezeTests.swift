import Foundation
import Hardware
import Logging
import Model
import Store
import Synchronization
import Testing
import Wire

@testable import Control

@Suite("A frozen rack", .timeLimit(.minutes(1))) struct FreezeTests {
    private let clock = ManualClock()

    private func discover(_ control: ControlPlane) async throws -> HelloReply {
        let reply = try await boot(control)
        try await control.record(inventory(), of: reply.machine, wantsProof: false)
        return reply
    }

    private func ask(_ control: ControlPlane, _ reply: HelloReply, having operation: Model.Operation? = nil) async throws -> AgentTask {
        try await control.task(
            for: reply.session, query: TaskQuery(operation: operation?.id, generation: operation?.generation ?? 0), base: testBase,
            wantsProof: false, patience: .milliseconds(50))
    }

    private func report(_ operation: Model.Operation, _ step: StepName, _ kind: StepReport.Kind = .succeeded) -> StepReport {
        StepReport(
            operation: operation.id, generation: operation.generation, step: step, kind: kind,
            evidence: step == .chooseDisk ? ["serial": "D1"] : [:])
    }

    private func isWait(_ task: AgentTask) -> Bool { if case .wait = task.work { true } else { false } }
    private func isInstall(_ task: AgentTask) -> Bool { if case .install = task.work { true } else { false } }

    @Test("begins nothing, says why and by whom, and survives a restart of the program") func begins() async throws {
        let store = MemoryStore()
        try await store.commit([try machineWithSystem().put(.absent)])
        try await running(try await open(store, clock: clock)) { control in
            let freeze = try await control.beginFreeze("row 2 has no cooling", by: "token:boss")
            #expect(control.freeze == freeze)
            #expect(await problemCode { _ = try await control.beginFreeze("again", by: "x") } == "frozen-already")
        }
        // Events are named by their time.
        clock.advance(.seconds(1))
        try await running(try await open(store, clock: clock)) { control in
            #expect(control.freeze?.reason == "row 2 has no cooling")
            for request in [orderToInstall(), .wipe(WipeRequest()), .inspect, .rescue(RescueRequest(sshKeys: []))] {
                do {
                    _ = try await control.start(request, on: "one", by: "t")
                    Issue.record("\(request.kind) began")
                } catch let problem as Problem {
                    #expect(problem.code == "frozen" && problem.status == 423)
                    #expect(problem.title.contains("row 2 has no cooling") && problem.detail?.contains("token:boss") == true)
                }
            }
            #expect(await problemCode { try await control.delete(machine: "one", by: "t") } == "frozen")
            #expect(control.boots(testMAC).verdict == .localDisk(why: "its system runs"))
            #expect(try await control.thaw(by: "token:boss"))
            #expect(try await !control.thaw(by: "token:boss"))
            #expect(try await control.records.all(Event.self).map(\.value.kind).filter { $0.hasPrefix("rack.") } == ["rack.frozen", "rack.thawed"])
            _ = try await control.order(orderToInstall(), on: "one", by: "t")
        }
    }

    @Test("takes a reason, on one line", arguments: ["", "  ", "a\nb", String(repeating: "x", count: 513)]) func reason(_ text: String) async throws {
        let control = try await open(MemoryStore(), clock: clock)
        #expect(await problemCode { _ = try await control.beginFreeze(text, by: "t") } == "freeze-reason")
    }

    @Test("lets the step end that is under way, begins no next one, and goes on there when it is over; time in it does not count")
    func betweenSteps() async throws {
        let store = MemoryStore()
        var reply: HelloReply?
        var begun: Model.Operation?
        try await running(try await open(store, clock: clock)) { control in
            let agent = try await discover(control)
            let operation = try await control.order(orderToInstall(["ssh-ed25519 AAAA"]), on: agent.machine.rawValue, by: "t")
            #expect(isInstall(try await ask(control, agent)))
            #expect(try await control.report(report(operation, .chooseDisk, .started), of: agent.machine, wantsProof: false))
            _ = try await control.beginFreeze("stop", by: "t")
            #expect(
                try await control.report(report(operation, .chooseDisk, .progress), of: agent.machine, wantsProof: false),
                "it goes on with what it does")
            #expect(try await control.report(report(operation, .chooseDisk), of: agent.machine, wantsProof: false))
            let held = try #require(try await control.operation(operation.id).value.currentStep)
            #expect(held.name == .writeImage && held.state == .pending && held.attempts == 0)
            #expect(try await !control.report(report(operation, .writeImage, .started), of: agent.machine, wantsProof: false), "the agent stops")
            #expect(try await !control.report(report(operation, .writeImage, .progress), of: agent.machine, wantsProof: false))
            #expect(isWait(try await ask(control, agent)))
            // Nothing is due in a freeze, however long it lasts.
            clock.advance(.seconds(86_400))
            (reply, begun) = (agent, operation)
        }
        let (agent, operation) = (try #require(reply), try #require(begun))
        try await running(try await open(store, clock: clock)) { control in
            #expect(isWait(try await ask(control, agent)), "after a restart of the program as well")
            #expect(try await control.operation(operation.id).value.currentStep?.state == .pending)
            _ = try await control.thaw(by: "t")
            // The next step begins by itself.
            let (changes, change) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
            let observer = control.snapshots.observe { _ in change.yield() }
            defer { control.snapshots.stop(observing: observer) }
            change.yield()
            for await _ in changes where control.snapshot.operations[operation.id]?.currentStep?.state == .running { break }
            let task = try await ask(control, agent)
            guard case .install(let work) = task.work else { Issue.record("no work: \(task)"); return }
            #expect(work.done == [.agent, .chooseDisk])
            #expect(try await control.report(report(operation, .writeImage, .started), of: agent.machine, wantsProof: false))
            #expect(try await control.operation(operation.id).value.currentStep?.attempts == 1)
        }
    }

    @Test("does not hand out again the work of a step that has begun, and does not start one over that a boot cut off")
    func reboot() async throws {
        try await running(try await open(MemoryStore(), clock: clock)) { control in
            let agent = try await discover(control)
            let operation = try await control.order(orderToInstall(["ssh-ed25519 AAAA"]), on: agent.machine.rawValue, by: "t")
            _ = try await ask(control, agent)
            _ = try await control.report(report(operation, .chooseDisk), of: agent.machine, wantsProof: false)
            _ = try await control.report(report(operation, .writeImage, .progress), of: agent.machine, wantsProof: false)
            _ = try await control.beginFreeze("stop", by: "t")
            #expect(isWait(try await ask(control, agent)))
            let second = try await boot(control, key: String(repeating: "b", count: 64))
            #expect(isWait(try await ask(control, second)))
            #expect(try await control.operation(operation.id).value.currentStep?.state == .pending)
            if case .agent = control.boots(testMAC).verdict {} else { Issue.record("its disk is half written") }
        }
    }

    @Test("fails no operation by time, and gives each its whole time again at the end") func deadlines() async throws {
        try await running(try await open(MemoryStore(), clock: clock)) { control in
            let agent = try await discover(control)
            let operation = try await control.order(orderToInstall(["ssh-ed25519 AAAA"]), on: agent.machine.rawValue, by: "t")
            _ = try await ask(control, agent)
            _ = try await control.report(report(operation, .chooseDisk, .started), of: agent.machine, wantsProof: false)
            _ = try await control.beginFreeze("stop", by: "t")
            clock.advance(.seconds(86_400))
            _ = try await control.thaw(by: "t")
            let step = try #require(try await control.operation(operation.id).value.currentStep)
            #expect(step.state == .running && step.attempts == 1 && step.problem == nil)
            #expect(step.deadline == control.now + StepPolicy.of(.chooseDisk).silence)
        }
    }

    @Test("a machine whose operation has not touched its system goes to its disk; one that is installed takes its first boot")
    func gate() throws {
        var one = try machineWithSystem()
        one.generation = 1
        let start = OperationTransition.begin(
            id: OperationID(unchecked: "op-0001"), request: orderToInstall(), machine: one, by: "t", now: clock.now)
        func verdict(_ transition: OperationTransition, _ isFrozen: Bool) -> BootVerdict {
            BootGate.decide(machine: transition.machine, operation: transition.operation, policy: .discover, isFrozen: isFrozen)
        }
        let unknown = BootGate.decide(machine: nil, operation: nil, policy: .discover, isFrozen: true)
        if case .leave = unknown {} else { Issue.record("an unknown machine is taken in") }
        if case .agent = verdict(start, false) {} else { Issue.record("not frozen") }
        if case .localDisk = verdict(start, true) {} else { Issue.record("its system is whole") }
        var waits = OperationTransition.begin(
            id: OperationID(unchecked: "op-0001"), request: orderToInstall(), machine: one, by: "t", now: clock.now,
            waits: Problem("brake", title: "x"))
        #expect(verdict(waits, false) == .localDisk(why: "its system runs"))
        waits.approve(by: "boss", clock.now)
        if case .agent = verdict(waits, false) {} else { Issue.record("approved") }
    }

    @Test("each step that changes a machine is held back at its beginning, and none that only looks", arguments: StepName.allCases)
    func steps(_ name: StepName) throws {
        for request in [OperationRequest.inspect, orderToInstall(), .wipe(WipeRequest()), .rescue(RescueRequest(sshKeys: []))] {
            let names = request.stepNames
            guard let index = names.firstIndex(of: name), index > 0 else { continue }
            var transition = OperationTransition.begin(
                id: OperationID(unchecked: "op-0001"), request: request, machine: try machine(), by: "t", now: clock.now)
            for done in 0..<(index - 1) {
                transition.operation.steps[done].state = .succeeded
                transition.operation.steps[done + 1].state = .running
            }
            transition.isFrozen = true
            if names[index - 1] == .agent {
                transition.agentArrived(AgentPresence(boot: "b", since: clock.now, version: "1"), clock.now)
            } else {
                let report = StepReport(
                    operation: transition.operation.id, generation: transition.operation.generation, step: names[index - 1], kind: .succeeded)
                let isAccepted = transition.report(report, clock.now)
                #expect(isAccepted)
            }
            #expect(transition.operation.currentStep?.name == name)
            #expect(transition.operation.currentStep?.state == (name.changesMachine ? .pending : .running), "\(request.kind) \(name)")
            let late = clock.now + .seconds(1_000_000)
            let hasPassed = transition.timePassed(late)
            #expect(!hasPassed, "time does not pass")
        }
    }

    // MARK: BMCs

    /// Counts what it is asked for that changes something.
    private final class CountingBMC: PowerSwitch {
        let asked = Mutex<[String]>([])
        let power = Mutex(PowerState.on)
        /// Called once a power request has been carried out.
        let onRequest = Mutex<(@Sendable () async -> Void)?>(nil)
        var address: String { "pretend" }
        func readPower() async throws -> PowerReading { PowerReading(state: power.withLock { $0 }) }
        func request(_ request: PowerRequest) async throws {
            asked.withLock { $0.append("power \(request.rawValue)") }
            power.withLock { $0 = request == .on || request == .restart ? .on : .off }
            await onRequest.withLock { $0 }?()
        }
        func networkBoot(uri: String?, uefi: Bool?) async throws -> BootOverride { BootOverride(target: .pxe) }
        func setBoot(_ wanted: BootOverride) async throws { asked.withLock { $0.append("boot \(wanted.target.rawValue)") } }
        func bootOverride() async throws -> BootOverride { BootOverride(target: .pxe) }
        func clearLog() async throws { asked.withLock { $0.append("clear") } }
        func facts() async throws -> BMCFacts {
            var facts = BMCFacts()
            facts.macs = [testMAC]
            return facts
        }
    }

    private func withBMC(_ body: @Sendable (ControlPlane, BMCDesk, CountingBMC) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let store = MemoryStore()
        try await store.commit([try machineWithSystem().put(.absent)])
        let control = try await open(store, clock: clock)
        let bmc = CountingBMC()
        var ways = BMCWays()
        ways.substitute = { _, _ in bmc }
        var settings = BMCDesk.Settings()
        settings.start.lookEvery = .milliseconds(5)
        settings.power.poll = .milliseconds(2)
        let desk = try await BMCDesk.open(control: control, vault: Vault(keyFile: folder + "/vault.key"), ways: ways, settings: settings)
        var request = BMCRequest(kind: .redfish, address: "10.0.0.4")
        request.userName = "root"
        request.password = "old-Secret1"
        _ = try await desk.add(request, by: "test")
        try await running(control) { try await body($0, desk, bmc) }
    }

    @Test("no order to a BMC that changes something gets through, and reading goes on") func orders() async throws {
        try await withBMC { control, desk, bmc in
            _ = try await control.beginFreeze("stop", by: "t")
            for action in PowerAction.allCases {
                #expect(await problemCode { _ = try await desk.power(action, machine: "one", by: "t") } == "frozen", "\(action)")
            }
            #expect(await problemCode { _ = try await desk.setBoot(BootOverride(target: .pxe), machine: "one", by: "t") } == "frozen")
            #expect(await problemCode { try await desk.clearHardwareLog(machine: "one", by: "t") } == "frozen")
            #expect(await problemCode { try await desk.setMedia(nil, machine: "one", by: "t") } == "frozen")
            #expect(await problemCode { _ = try await desk.stage(["a": .flag(true)], machine: "one", by: "t") } == "frozen")
            #expect(await problemCode { _ = try await desk.setSecureBoot(SecureBootSetting(enabled: true), machine: "one", by: "t") } == "frozen")
            #expect(await problemCode { _ = try await desk.updateFirmware(from: "http://x", targets: [], machine: "one", by: "t") } == "frozen")
            #expect(await problemCode { _ = try await desk.rotatePassword("one", by: "t") } == "frozen")
            #expect(bmc.asked.withLock { $0 }.isEmpty)
            #expect(try await desk.powerStatus(machine: "one").state == .on)
            #expect(try await desk.bmc(named: "one").value.observed.breaker == .closed, "a refusal of our own says nothing about the BMC")
        }
    }

    @Test("a pursuit that is under way asks nothing more: a cycle stays off") func pursuit() async throws {
        try await withBMC { control, desk, bmc in
            bmc.onRequest.withLock { $0 = { _ = try? await control.beginFreeze("stop", by: "t") } }
            #expect(await problemCode { _ = try await desk.power(.cycle, machine: "one", by: "t") } == "frozen")
            #expect(bmc.asked.withLock { $0 } == ["power off"])
            let told = try await control.records.all(Event.self).map(\.value).last { $0.kind == "power.not-proved" }
            #expect(told?.evidence["code"] == "frozen")
        }
    }

    @Test("no machine is started for an operation, and no override taken back, until it is over") func starts() async throws {
        try await withBMC { control, desk, bmc in
            let operation = try await control.order(orderToInstall(["ssh-ed25519 AAAA"]), on: "one", by: "t")
            _ = try await control.beginFreeze("stop", by: "t")
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await desk.startMachines() }
                defer { group.cancelAll() }
                // Its looks, five milliseconds apart, see the frozen rack.
                for _ in 0..<20 {
                    _ = try await desk.powerStatus(machine: "one")
                    #expect(bmc.asked.withLock { $0 }.isEmpty)
                }
                _ = try await control.thaw(by: "t")
                let (changes, change) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
                let observer = control.snapshots.observe { _ in change.yield() }
                defer { control.snapshots.stop(observing: observer) }
                change.yield()
                for await _ in changes {
                    if try await control.operation(operation.id).value.step(.agent)?.evidence["powerAttempt"] == "1" { break }
                }
                #expect(bmc.asked.withLock { $0 } == ["boot pxe", "power off", "power on"])
            }
        }
    }

    // MARK: Power and the brake

    @Test("power-offs beyond the limit need an admin's word, switching on does not, and the count is in the record") func powerBrake() async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let store = MemoryStore()
        try await store.commit([try machineWithSystem().put(.absent)])
        let clock = clock
        let uptime = ManualUptime()
        func control() async throws -> ControlPlane {
            var environment = ControlEnvironment(now: { clock.now }, logger: Logger(label: "test"))
            environment.brake = BrakeLimits()
            environment.brake?.powerOffsPerHour = 2
            environment.uptime = uptime.read
            return try await ControlPlane.open(store: store, images: OneImage(), environment: environment)
        }
        let bmc = CountingBMC()
        func desk(_ control: ControlPlane) async throws -> BMCDesk {
            var ways = BMCWays()
            ways.substitute = { _, _ in bmc }
            var settings = BMCDesk.Settings()
            settings.power.poll = .milliseconds(2)
            return try await BMCDesk.open(control: control, vault: Vault(keyFile: folder + "/vault.key"), ways: ways, settings: settings)
        }
        let first = try await control()
        let one = try await desk(first)
        var request = BMCRequest(kind: .redfish, address: "10.0.0.4")
        request.userName = "root"
        request.password = "old-Secret1"
        _ = try await one.add(request, by: "test")
        for action in [PowerAction.off, .on, .cycle] { _ = try await one.power(action, machine: "one", by: "t") }
        let second = try await desk(try await control())
        #expect(await problemCode { _ = try await second.power(.off, machine: "one", by: "t") } == "brake")
        #expect(bmc.asked.withLock { $0 }.count == 4)
        clock.advance(.seconds(86_400))
        #expect(
            await problemCode { _ = try await second.power(.off, machine: "one", by: "t") } == "brake", "a step of the clock does not empty the hour")
        _ = try await second.power(.on, machine: "one", by: "t")
        _ = try await second.power(.off, machine: "one", by: "boss", beyondLimits: true)
        uptime.advance(.seconds(3600))
        _ = try await second.power(.cycle, machine: "one", by: "t")
    }
}
