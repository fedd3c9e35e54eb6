import Foundation
import Hardware
import Logging
import Model
import Store
import Synchronization
import Testing
import Wire

@testable import Control

/// A BMC with a boot override, and a machine that obeys it.
private final class StartingBMC: PowerSwitch {
    struct State: Sendable {
        var power = PowerState.off
        var override = BootOverride(target: .none)
        /// What was asked, in order.
        var asked: [String] = []
        /// Whether a start uses a once-override up, as it should.
        var usesUp = true
        var isSilent = false
        var refusesHTTP = false
        /// It says OK to power and does nothing.
        var lies = false
    }
    let state = Mutex(State())
    var address: String { "pretend" }
    var asked: [String] { state.withLock { $0.asked } }

    private func change<T>(_ body: (inout State) throws -> T) throws -> T {
        try state.withLock { state in
            if state.isSilent { throw Problem("bmc-silent", status: 502, title: "The BMC is silent", remedy: "Restart it.") }
            return try body(&state)
        }
    }
    func readPower() async throws -> PowerReading { try change { PowerReading(state: $0.power) } }
    func request(_ request: PowerRequest) async throws {
        try change { state in
            state.asked.append("power \(request.rawValue)")
            guard !state.lies else { return }
            state.power = request == .on || request == .restart ? .on : .off
            if state.power == .on, !state.override.persistent, state.usesUp { state.override = BootOverride(target: .none) }
        }
    }
    func networkBoot(uri: String?, uefi: Bool?) async throws -> BootOverride {
        uri.map { BootOverride(target: .http, uri: $0, uefi: uefi) } ?? BootOverride(target: .pxe, uefi: uefi)
    }
    func setBoot(_ wanted: BootOverride) async throws {
        try change { state in
            if state.refusesHTTP, wanted.target == .http { throw Problem("bmc-refused", status: 422, title: "No such target") }
            state.asked.append("boot \(wanted.target.rawValue)")
            state.override = wanted
        }
    }
    func bootOverride() async throws -> BootOverride { try change { $0.override } }
    func facts() async throws -> BMCFacts {
        var facts = BMCFacts()
        facts.macs = [testMAC]
        return facts
    }
}

@Suite("A machine that its BMC starts for an operation", .timeLimit(.minutes(1))) struct MachineStartTests {
    private let clock = ManualClock()

    private struct Place {
        let control: ControlPlane
        let bmc: StartingBMC
        let store: MemoryStore
        let folder: String

        func desk() async throws -> BMCDesk {
            var ways = BMCWays()
            let bmc = bmc
            ways.substitute = { _, _ in bmc }
            var settings = BMCDesk.Settings()
            settings.bootURI = { _ in "http://10.77.0.1:8080/boot/ipxe.efi" }
            settings.start.lookEvery = .milliseconds(20)
            settings.power.poll = .milliseconds(5)
            settings.power.repeatAfter = .milliseconds(20)
            return try await BMCDesk.open(
                control: control, vault: Vault(keyFile: folder + "/vault.key"), ways: ways, settings: settings)
        }

        var operation: Model.Operation? {
            get async throws { try await control.records.all(Model.Operation.self).map(\.value).first { $0.kind != .inspect } }
        }

        /// Waits until the step `boot-agent` fits.
        func until(_ what: Comment, _ fits: (Step) -> Bool) async throws {
            let (changes, change) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
            let observer = control.snapshots.observe { _ in change.yield() }
            defer { control.snapshots.stop(observing: observer) }
            change.yield()
            let alarm = Task {
                try await Task.sleep(for: .seconds(20))
                change.finish()
            }
            defer { alarm.cancel() }
            for await _ in changes {
                if let step = try await operation?.step(.agent), fits(step) { return }
            }
            Issue.record("\(what): \(String(describing: try await operation?.step(.agent)))")
        }
    }

    /// A machine with a BMC, and everything that runs while `body` does.
    private func with(_ state: MachineState = .ready, _ body: @Sendable (Place, BMCDesk) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let store = MemoryStore()
        let one = try machine(state)
        try await store.commit([one.put(.absent)])
        let place = Place(control: try await open(store, clock: clock), bmc: StartingBMC(), store: store, folder: folder)
        let desk = try await place.desk()
        var request = BMCRequest(kind: .redfish, address: "10.0.0.4")
        request.userName = "root"
        request.password = "old-Secret1"
        _ = try await desk.add(request, by: "test")
        try await running(place.control) { _ in try await body(place, desk) }
    }

    private func starting<T: Sendable>(_ desk: BMCDesk, _ body: @Sendable () async throws -> T) async throws -> T {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await desk.startMachines() }
            defer { group.cancelAll() }
            return try await body()
        }
    }

    private func install(_ place: Place) async throws {
        _ = try await place.control.start(.install(InstallRequest(image: "debian-12")), on: "one", by: "test")
    }

    @Test("gets its override before its power, and both are evidence; afterwards the override is proved gone")
    func wholeWay() async throws {
        try await with { place, desk in
            try await starting(desk) {
                try await install(place)
                try await place.until("its power is proved") { $0.evidence["powerAttempt"] == "1" }
                #expect(place.bmc.asked == ["boot http", "power on"])
                let step = try #require(try await place.operation?.step(.agent))
                #expect(
                    step.evidence["bootOverride"]
                        == "http http://10.77.0.1:8080/boot/ipxe.efi once, read back: http http://10.77.0.1:8080/boot/ipxe.efi once")
                #expect(step.evidence["power"] == "on: proved, it reads on" && step.evidence["powerBefore"] == "off")
                #expect(step.evidence["powerSeen"]?.contains("asked: on") == true)
                #expect(step.state == .running && step.problem == nil)
                _ = try await boot(place.control)
                try await place.until("its override is gone") { $0.evidence["bootOverrideAfter"] != nil }
                let after = try #require(try await place.operation?.step(.agent))
                #expect(after.state == .succeeded && after.evidence["bootOverrideAfter"] == "used up by the start, read back: no override")
                #expect(place.bmc.asked == ["boot http", "power on"])
                #expect(try await desk.all().first?.heldOverride == nil)
            }
        }
    }

    @Test("whose BMC keeps an override that was for once has it taken away") func kept() async throws {
        try await with { place, desk in
            place.bmc.state.withLock { $0.usesUp = false }
            try await starting(desk) {
                try await install(place)
                try await place.until("its power is proved") { $0.evidence["powerAttempt"] == "1" }
                _ = try await boot(place.control)
                try await place.until("its override is gone") { $0.evidence["bootOverrideAfter"] != nil }
                #expect(place.bmc.asked == ["boot http", "power on", "boot none"])
                #expect(try await place.operation?.step(.agent)?.evidence["bootOverrideAfter"] == "taken back, read back: no override")
            }
        }
    }

    @Test("whose BMC refuses UEFI HTTP boots by PXE") func fallsBack() async throws {
        try await with { place, desk in
            place.bmc.state.withLock { $0.refusesHTTP = true }
            try await starting(desk) {
                try await install(place)
                try await place.until("its power is proved") { $0.evidence["powerAttempt"] == "1" }
                #expect(place.bmc.asked == ["boot pxe", "power on"])
                let words = try #require(try await place.operation?.step(.agent)?.evidence["bootOverride"])
                #expect(words.contains("refused: No such target") && words.hasSuffix("pxe once, read back: pxe once"))
            }
        }
    }

    @Test("that runs something else is switched off, seen off, and on") func cycled() async throws {
        try await with { place, desk in
            place.bmc.state.withLock { $0.power = .on }
            try await starting(desk) {
                try await install(place)
                try await place.until("its power is proved") { $0.evidence["powerAttempt"] == "1" }
                #expect(place.bmc.asked == ["boot http", "power off", "power on"])
            }
        }
    }

    @Test("whose agent waits already is not touched") func agentWaits() async throws {
        try await with(.new) { place, desk in
            place.bmc.state.withLock { $0.power = .on }
            let reply = try await boot(place.control)
            try await place.control.record(inventory(), of: reply.machine, wantsProof: false)
            _ = try await desk.powerStatus(machine: "one")
            try await starting(desk) {
                try await install(place)
                _ = try await place.control.task(
                    for: reply.session, query: TaskQuery(operation: nil, generation: 0), base: testBase, wantsProof: false)
                try await place.until("the agent has it") { $0.state == .succeeded }
                #expect(place.bmc.asked.isEmpty)
            }
        }
    }

    @Test("whose BMC is silent is told of in the operation, which goes on when the machine is switched on by hand")
    func byHand() async throws {
        try await with { place, desk in
            place.bmc.state.withLock { $0.isSilent = true }
            try await starting(desk) {
                try await install(place)
                try await place.until("the silence is told") { $0.problem != nil }
                let step = try #require(try await place.operation?.step(.agent))
                #expect(step.problem?.code == "bmc-silent" && step.state == .running)
                #expect(
                    step.problem?.remedy
                        == "Restart it. Or switch the machine on by hand, network boot first: the operation goes on when its agent arrives.")
                let event = try #require(try await place.control.records.all(Event.self).map(\.value).first { $0.kind == "operation.bmc-failed" })
                #expect(event.operation == (try await place.operation?.id))
                _ = try await boot(place.control)
                try await place.until("the agent has it") { $0.state == .succeeded && $0.problem == nil }
                #expect(place.bmc.asked.isEmpty)
            }
        }
    }

    @Test("whose BMC comes back is started then") func comesBack() async throws {
        try await with { place, desk in
            place.bmc.state.withLock { $0.isSilent = true }
            try await starting(desk) {
                try await install(place)
                try await place.until("the silence is told") { $0.problem != nil }
                place.bmc.state.withLock { $0.isSilent = false }
                let time = Task {
                    while !Task.isCancelled {
                        clock.advance(.seconds(1))
                        try await Task.sleep(for: .milliseconds(20))
                    }
                }
                defer { time.cancel() }
                try await place.until("its power is proved") { $0.evidence["powerAttempt"] == "1" && $0.problem == nil }
                #expect(place.bmc.asked == ["boot http", "power on"])
            }
        }
    }

    @Test("is not started twice where the program is killed between the power and its proof") func killed() async throws {
        try await with { place, desk in
            // What a program that was killed after the power-on leaves behind.
            try await install(place)
            let operation = try #require(try await place.operation)
            try await place.control.change(operation.machine) { transition, now in
                transition.bmcTold(["powerBefore": "off", "powerIntent": "1 on"], now)
            }
            place.bmc.state.withLock { $0.power = .on }
            let again = try await place.desk()
            try await starting(again) {
                try await place.until("its power is known") { $0.evidence["powerAttempt"] == "1" }
                #expect(place.bmc.asked.isEmpty)
                #expect(try await place.operation?.step(.agent)?.evidence["power"] == "on: it was off before it was asked for")
            }
        }
    }

    @Test("keeps no override of an operation that was cancelled, nor after a kill") func cancelled() async throws {
        try await with { place, desk in
            place.bmc.state.withLock { $0.lies = true }
            try await starting(desk) {
                try await install(place)
                try await place.until("its override is set") { $0.evidence["powerIntent"] != nil }
            }
            let operation = try #require(try await place.operation)
            _ = try await place.control.cancel(operation.id, by: "test")
            #expect(place.bmc.state.withLock { $0.override.target } == .http)
            let again = try await place.desk()
            let changes = try await place.store.watch(prefix: BMC.prefix, after: try await place.store.currentRevision())
            try await starting(again) {
                for try await _ in changes {
                    if try await again.all().first?.heldOverride == nil { break }
                }
                #expect(place.bmc.state.withLock { $0.override.target } == BootTarget.none)
            }
        }
    }

    @Test("comes into the record by its BMC, unseen, and only where no known one fits") func unseen() async throws {
        try await with { place, desk in
            var request = BMCRequest(kind: .ipmi, address: "10.0.0.5")
            request.makesMachine = true
            request.macs = [MACAddress(value: 0x5254_0077_0009)]
            // It tells the port of the machine that is known already: that machine has a BMC.
            let taken = request
            await #expect(throws: Problem.self) { _ = try await desk.add(taken, by: "test") }
            try await desk.remove("10.0.0.4", by: "test")
            try await place.control.delete(
                machine: "one", by: "test", agreement: place.control.agreement(to: .delete, on: "one"))
            let added = try await desk.add(taken, by: "test")
            let made = try #require(added.machine)
            #expect(made != MachineID(unchecked: "m-test01"))
            let machine = try await place.control.machine(named: made.rawValue).value
            #expect(machine.state == .new && machine.owns(testMAC) && machine.owns(MACAddress(value: 0x5254_0077_0009)))
        }
    }

    @Test("is decided on by what it runs and what for") func decisions() throws {
        var one = try machine()
        func way(_ request: OperationRequest, _ power: PowerState, onItsWay: Bool = false) -> MachineStart? {
            let operation = OperationTransition.begin(
                id: OperationID(unchecked: "op-1"), request: request, machine: one, by: "test", now: clock.now
            ).operation
            return MachineStart.decide(operation, machine: one, power: power, isOnItsWay: onItsWay)
        }
        let install = OperationRequest.install(InstallRequest(image: "debian-12"))
        let rescue = OperationRequest.rescue(RescueRequest(sshKeys: []))
        for request in [install, rescue, .inspect, .wipe(WipeRequest())] {
            #expect(way(request, .off) == .on && way(request, .on) == .cycle && way(request, .on, onItsWay: true) == nil)
        }
        one.observed.foreignDisks = ["D1"]
        #expect(way(.inspect, .on) == nil && way(rescue, .on) == .shutdown, "somebody's system is a system")
        one.observed.foreignDisks = nil
        one.installed = Installation(
            operation: OperationID(unchecked: "op-0"), generation: 1, image: "debian-12", digest: "", hostname: "one", diskSerial: nil,
            installedAt: clock.now)
        #expect(way(install, .on) == .cycle && way(.wipe(WipeRequest()), .on) == .cycle)
        #expect(way(rescue, .on) == .shutdown, "its system goes on afterwards")
        #expect(way(.inspect, .on) == nil, "what runs is not ended by a look at it")
        #expect(MachineStart.on.resumed(power: .on) == nil && MachineStart.cycle.resumed(power: .on) == .cycle)
    }
}
