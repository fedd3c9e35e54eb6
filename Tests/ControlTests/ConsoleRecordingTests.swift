import Consoles
import Foundation
import Hardware
import Logging
import Model
import Store
import Synchronization
import Testing

@testable import Control

/// A BMC with a console that does as it is told.
private final class TalkingBMC: PowerSwitch, ConsoleOffering {
    struct State {
        var refusals: [Problem] = []
        var freed = 0
        var asked = 0
        var end: ConsoleEnd?
        var typed: [UInt8] = []
        var hangUp: AsyncStream<Void>.Continuation?
    }
    let state = Mutex(State())
    let address = "pretend"

    func readPower() async throws -> PowerReading { PowerReading(state: .on) }
    func request(_ request: PowerRequest) async throws {}
    func facts() async throws -> BMCFacts {
        var facts = BMCFacts()
        facts.macs = [testMAC]
        return facts
    }
    func freeConsole() async throws {
        state.withLock {
            $0.freed += 1
            $0.refusals = []
        }
    }

    func holdConsole(_ end: ConsoleEnd) async throws {
        let (ended, hangUp) = AsyncStream.makeStream(of: Void.self)
        try state.withLock { state in
            state.asked += 1
            if !state.refusals.isEmpty { throw state.refusals.removeFirst() }
            state.end = end
            state.hangUp = hangUp
        }
        end.began()
        await withTaskGroup(of: Void.self) { group in
            group.addTask { for await bytes in end.typed { self.state.withLock { $0.typed += bytes } } }
            group.addTask { for await _ in ended { return } }
            await group.next()
            group.cancelAll()
        }
        try Task.checkCancellation()
    }

    func say(_ text: String) { state.withLock { $0.end }?.received(Array(text.utf8)) }
    func hangUp() { state.withLock { $0.hangUp }?.yield() }
}

@Suite("Serial consoles on record", .timeLimit(.minutes(1))) struct ConsoleRecordingTests {
    private struct Place: Sendable {
        var desk: BMCDesk
        var control: ControlPlane
        var bmc: TalkingBMC
        var folder: String

        var text: String { get async throws { String(decoding: try await desk.console(machine: "one").contents, as: UTF8.self) } }

        func until(_ what: Comment, _ fits: @Sendable () async throws -> Bool) async throws {
            for _ in 0..<1000 {
                if try await fits() { return }
                try await Task.sleep(for: .milliseconds(10))
            }
            Issue.record(what)
        }
        func connected() async throws { try await until("it is connected") { try await desk.consoleState(machine: "one").connected } }
    }

    private func with(
        _ record: ConsolePolicy.Recording = .always, refusals: [Problem] = [], folder: String? = nil,
        _ body: @escaping @Sendable (Place) async throws -> Void
    ) async throws {
        let own = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
        defer { try? FileManager.default.removeItem(atPath: own) }
        let folder = folder ?? own
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let store = MemoryStore()
        let one = try machine(now: BMCEventTests.clock())
        try await store.commit([one.put(.absent)])
        let control = try await ControlPlane.open(
            store: store, images: OneImage(),
            environment: ControlEnvironment(
                now: { BMCEventTests.clock() }, logger: Logger(label: "test"), consoleDirectory: folder + "/consoles"))
        let bmc = TalkingBMC()
        bmc.state.withLock { $0.refusals = refusals }
        var ways = BMCWays()
        ways.substitute = { _, _ in bmc }
        var settings = BMCDesk.Settings()
        settings.health = HealthPolicy(everySeconds: 0)
        settings.spread = .zero
        settings.consoles = ConsolePolicy(record: record)
        settings.consoleBackoff = Backoff(first: .milliseconds(5), longest: .milliseconds(20))
        settings.consolePatience = .milliseconds(100)
        let desk = try await BMCDesk.open(control: control, vault: Vault(keyFile: folder + "/vault.key"), ways: ways, settings: settings)
        var request = BMCRequest(kind: .ipmi, address: "10.0.0.4")
        request.userName = "root"
        request.password = "old-Secret1"
        let added = try await desk.add(request, by: "test")
        #expect(added.machine == one.id)
        let place = Place(desk: desk, control: control, bmc: bmc, folder: folder)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await control.run() }
            group.addTask { try await desk.run() }
            try await body(place)
            group.cancelAll()
        }
    }

    @Test("what a machine says is kept, what is typed reaches it, and a lost console is found again with a mark between")
    func bothWays() async throws {
        try await with { place in
            try await place.connected()
            place.bmc.say("Debian GNU/Linux 12\r\nlogin: ")
            #expect(try await place.desk.console(machine: "one").type(Array("root\r".utf8)))
            try await place.until("it was typed") { place.bmc.state.withLock { $0.typed } == Array("root\r".utf8) }
            place.bmc.hangUp()
            try await place.until("it is held anew") { place.bmc.state.withLock { $0.asked } == 2 }
            try await place.connected()
            place.bmc.say("again")
            let text = try await place.text
            #expect(text.contains("console connected, by pretend") && text.contains("login: ") && text.contains("--- hostler: console lost"))
            #expect(text.hasSuffix("again"))
        }
    }

    @Test("a console that somebody else holds is left to them at first, then taken over, and that is an event")
    func taken() async throws {
        let taken = Problem("bmc-console-taken", status: 409, title: "Somebody else holds it")
        // It stays with them until it is freed.
        try await with(refusals: Array(repeating: taken, count: 1000)) { place in
            try await place.connected()
            #expect(place.bmc.state.withLock { $0.freed } == 1 && place.bmc.state.withLock { $0.asked } > 3)
            let events = try await place.control.records.all(Event.self).map(\.value.kind)
            #expect(events.contains("console.taken-over"))
        }
    }

    @Test("after a change of the password the next session is the console's, and the one before it does not take it along")
    func newLine() async throws {
        try await with { place in
            try await place.connected()
            let before = place.bmc.state.withLock { $0.end }
            _ = try await place.desk.trust("10.0.0.4", fingerprint: nil, by: "test")
            try await place.until("it is held anew") { place.bmc.state.withLock { $0.asked } == 2 }
            try await place.connected()
            // The old one has ended by now, or ends later: either way typing reaches the new one.
            before?.received(Array("late".utf8))
            try await Task.sleep(for: .milliseconds(1500))
            #expect(try await place.desk.consoleState(machine: "one").connected)
            #expect(try await place.desk.console(machine: "one").type(Array("x".utf8)))
            try await place.until("it was typed") { place.bmc.state.withLock { $0.typed } == Array("x".utf8) }
            #expect(try await !place.control.records.all(Event.self).map(\.value.kind).contains("console.taken-over"))
        }
    }

    @Test("a BMC without a console says so, and is not asked again and again")
    func unsupported() async throws {
        try await with(refusals: [Problem("bmc-unsupported", status: 422, title: "This BMC cannot the serial console")]) { place in
            try await place.until("it is known why") { try await place.desk.consoleState(machine: "one").problem?.code == "bmc-unsupported" }
            try await Task.sleep(for: .milliseconds(200))
            #expect(place.bmc.state.withLock { $0.asked } == 1)
            #expect(try await place.desk.console(machine: "one").type([1]) == false)
        }
    }

    @Test("by the policy for operations, it is held while somebody looks, and given back after")
    func operationsOnly() async throws {
        try await with(.operations) { place in
            try await Task.sleep(for: .milliseconds(200))
            #expect(place.bmc.state.withLock { $0.asked } == 0)
            let console = try await place.desk.console(machine: "one")
            let (id, _) = console.attach()
            try await place.connected()
            console.detach(id)
            try await place.until("it is given back") { try await !place.desk.consoleState(machine: "one").connected }
        }
    }

    @Test("by the policy never, nothing is held, and the state says what to change")
    func never() async throws {
        try await with(.never) { place in
            let state = try await place.desk.consoleState(machine: "one")
            #expect(state.problem?.code == "consoles-off" && !state.connected)
            #expect(place.bmc.state.withLock { $0.asked } == 0)
        }
    }

    @Test("a failure takes along what the console said last: in its event and in the hold")
    func evidence() async throws {
        try await with { place in
            try await place.connected()
            place.bmc.say("\u{1b}[31mKernel panic\u{1b}[0m - not syncing: VFS\r\n")
            _ = try await place.control.start(.install(InstallRequest(image: "debian-12")), on: "one", by: "test")
            // A day passes between one look and the next, so that every try is used up.
            for day in 1...20 {
                let then = BMCEventTests.clock() + .seconds(day * 86_400)
                try await place.control.change(MachineID(unchecked: "m-test01")) { transition, _ in
                    transition = OperationTransition(machine: transition.machine, operation: transition.operation)
                    _ = transition.timePassed(then)
                }
            }
            let held = try await place.control.machine(named: "one").value
            #expect(held.holds.first?.evidence.suffix(1) == ["Kernel panic - not syncing: VFS"])
            let failure = try await place.control.records.all(Event.self).map(\.value).first { $0.kind == "operation.failed" }
            #expect(failure?.evidence["console"]?.hasSuffix("Kernel panic - not syncing: VFS") == true)
        }
    }

    @Test("after a restart of the server the record goes on from the file")
    func restart() async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        for said in ["first", "second"] {
            try await with(folder: folder) { place in
                try await place.connected()
                place.bmc.say(said)
                let text = try await place.text
                #expect(text.contains("first") && text.hasSuffix(said))
            }
        }
    }
}
