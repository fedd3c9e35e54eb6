import Logging
import Model
import Store
import Testing
import Wire

@testable import Control

/// The wall clock is set at the worst moment, and the server is away: what is measured goes on as it was.
@Suite("The clocks", .timeLimit(.minutes(2))) struct ClockTests {
    private let clocks = TwoClocks()
    private static let day = Duration.seconds(86_400)

    private func open(_ store: any StateStore, epoch: Int = 0) async throws -> ControlPlane {
        try await ControlPlane.open(
            store: store, images: OneImage(),
            environment: ControlEnvironment(clock: clocks.host, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }),
            restoreEpoch: epoch)
    }

    /// The server, whose clock only the test looks at.
    private func serving(_ store: any StateStore, epoch: Int = 0, _ body: (ControlPlane) async throws -> Void) async throws {
        let control = try await open(store, epoch: epoch)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await control.followStore() }
            defer {
                group.cancelAll()
                control.snapshots.setFollowed(false)
            }
            try await body(control)
        }
    }

    /// Time passes while the server runs.
    private func pass(_ duration: Duration, _ control: ControlPlane) async throws {
        var left = duration
        while left > .zero {
            let step = min(left, .seconds(5))
            clocks.advance(step)
            left -= step
            try await control.timePassed()
        }
    }

    private func boot(_ control: ControlPlane, key: Character = "a") async throws -> HelloReply {
        let nonce = control.nonces.make(for: testMAC, now: control.steady)
        let reply = try await control.hello(hello(nonce: nonce, key: String(repeating: key, count: 64)), from: testSender, wantsProof: false)
        try await control.record(inventory(), of: reply.machine, wantsProof: false)
        return reply
    }

    /// An installation whose machine has been restarted into its new system, with what that proves itself with.
    private func installed(_ control: ControlPlane) async throws -> (operation: Model.Operation, proof: String) {
        let reply = try await boot(control)
        let started = try await control.start(.install(InstallRequest(image: "debian-12")), on: reply.machine.rawValue, by: "test")
        _ = try await control.task(
            for: reply.session, query: TaskQuery(operation: nil, generation: 0), base: testBase, wantsProof: false, patience: .zero)
        for step in InstallTests.order {
            let report = StepReport(
                operation: started.id, generation: started.generation, step: step, kind: .succeeded,
                evidence: step == .chooseDisk ? ["serial": "D1"] : [:])
            #expect(try await control.report(report, of: reply.machine, wantsProof: false))
        }
        let stored = try #require(try await control.records.store.get(SeedSecrets.key(started.id)))
        return (try await control.operation(started.id).value, try RecordCoding.decode(SeedSecrets.self, from: stored).proof)
    }

    // MARK: Deadlines

    @Test("a clock that is set a day ahead, or back, fails no operation, and the call home counts", arguments: [day, .zero - day, day * 400])
    func jumpInTheMiddle(_ distance: Duration) async throws {
        try await serving(MemoryStore()) { control in
            let (operation, proof) = try await installed(control)
            try await pass(.seconds(60), control)
            clocks.set(by: distance)
            try await pass(.seconds(60), control)
            let now = try await control.operation(operation.id).value
            #expect(now.state == .running && now.currentStep?.name == .firstBoot && now.currentStep?.attempts == 1)
            let left = try #require(now.currentStep?.deadline) - control.now
            #expect(left > .seconds(1600) && left < .seconds(1700), "people are told the deadline as the clock is now: \(left)")
            try await control.callHome(operation: operation.id, proof: proof, hostKeys: [], evidence: [:])
            #expect(try await control.operation(operation.id).value.state == .succeeded)
            #expect(try await control.machine(named: operation.machine.rawValue).value.holds.isEmpty)
        }
    }

    @Test("a clock that is set back keeps no operation open longer than its step may be silent")
    func setBack() async throws {
        try await serving(MemoryStore()) { control in
            let (operation, _) = try await installed(control)
            clocks.set(by: .zero - Self.day)
            try await pass(.seconds(1795), control)
            #expect(try await control.operation(operation.id).value.isOpen)
            try await pass(.seconds(10), control)
            #expect(try await control.operation(operation.id).value.problem?.code == "no-sign-of-life")
        }
    }

    @Test("the time that the server is away is nobody's silence: what a step had left it has afterwards", arguments: [false, true])
    func serverAway(hostReboots: Bool) async throws {
        let store = MemoryStore()
        var operation: Model.Operation?
        try await serving(store) { control in
            operation = try await installed(control).operation
            try await pass(.seconds(1000), control)
        }
        if hostReboots { clocks.reboot(off: Self.day) } else { clocks.advance(Self.day) }
        let id = try #require(operation?.id)
        try await serving(store) { control in
            // It had 800 s left; a system that calls home may pause for half an hour.
            try await pass(.seconds(1840), control)
            #expect(try await control.operation(id).value.isOpen)
            try await pass(.seconds(40), control)
            #expect(try await control.operation(id).value.problem?.code == "no-sign-of-life")
        }
    }

    @Test("a step whose time is nearly over when the server comes back can still be heard, and not for ever")
    func grace() async throws {
        let store = MemoryStore()
        var found: (operation: Model.Operation, proof: String)?
        try await serving(store) { control in
            found = try await installed(control)
            try await pass(.seconds(1795), control)
        }
        let (operation, proof) = try #require(found)
        // Its system asks every five minutes at most, after the server was away so long.
        clocks.advance(.seconds(300))
        try await serving(store) { control in
            try await pass(.seconds(299), control)
            try await control.callHome(operation: operation.id, proof: proof, hostKeys: [], evidence: [:])
            #expect(try await control.operation(operation.id).value.state == .succeeded)
        }
    }

    @Test("a server that is started anew again and again lets the time pass all the same", arguments: [5, 60])
    func restartsWithoutEnd(seconds: Int) async throws {
        let store = MemoryStore()
        var id: OperationID?
        try await serving(store) { control in id = try await installed(control).operation.id }
        let operation = try #require(id)
        var restarts = 0
        var isOpen = true
        while isOpen, restarts * seconds < 4000 {
            try await serving(store) { control in
                try await pass(.seconds(seconds), control)
                isOpen = try await control.operation(operation).value.isOpen
            }
            restarts += 1
        }
        #expect(!isOpen && restarts * seconds >= 1700 && restarts * seconds < 2200, "it ended after \(restarts * seconds) s")
    }

    @Test("a program that was stopped, or whose host slept, has heard nothing meanwhile")
    func suspended() async throws {
        try await serving(MemoryStore()) { control in
            let (operation, _) = try await installed(control)
            clocks.advance(.seconds(7200))
            try await control.timePassed()
            #expect(try await control.operation(operation.id).value.isOpen)
            try await pass(.seconds(1900), control)
            #expect(try await !control.operation(operation.id).value.isOpen)
        }
    }

    @Test("a record of before, with the wall clock's deadline alone, waits anew, once")
    func olderRecord() async throws {
        let store = MemoryStore()
        var id: OperationID?
        try await serving(store) { control in
            let operation = try await installed(control).operation
            id = operation.id
            try await control.change(operation.machine) { transition, _ in
                transition.update(.firstBoot) {
                    $0.due = nil
                    $0.begun = nil
                }
            }
        }
        clocks.advance(.seconds(7200))
        let operation = try #require(id)
        try await serving(store) { control in
            try await pass(.seconds(1700), control)
            #expect(try await control.operation(operation).value.isOpen)
            try await pass(.seconds(200), control)
            #expect(try await !control.operation(operation).value.isOpen)
        }
    }

    // MARK: Lives

    @Test("a nonce is good for its minutes whatever the clock says", arguments: [day, .zero - day])
    func nonces(_ distance: Duration) async throws {
        try await serving(MemoryStore()) { control in
            func isGood(_ nonce: String) -> Bool { (try? control.nonces.check(nonce, mac: testMAC, now: control.steady)) != nil }
            let nonce = control.nonces.make(for: testMAC, now: control.steady)
            clocks.set(by: distance)
            try await control.timePassed()
            #expect(isGood(nonce))
            try await pass(.seconds(899), control)
            #expect(isGood(nonce))
            try await pass(.seconds(2), control)
            #expect(!isGood(nonce))
        }
    }

    @Test("one that would live longer than any is of another clock, and is refused")
    func nonceOfTomorrow() async throws {
        try await serving(MemoryStore()) { control in
            let nonce = control.nonces.make(for: testMAC, now: control.steady + Self.day)
            #expect(throws: Problem.self) { try control.nonces.check(nonce, mac: testMAC, now: control.steady) }
        }
    }

    @Test("a hello that was long on its way does not end the boot that has followed; one repeated after a lost reply is answered")
    func lateHello() async throws {
        try await serving(MemoryStore()) { control in
            let nonces = (0..<2).map { _ in control.nonces.make(for: testMAC, now: control.steady) }
            func say(_ number: Int) async throws -> HelloReply {
                let key = String(repeating: number == 0 ? "a" : "b", count: 64)
                return try await control.hello(hello(nonce: nonces[number], key: key), from: testSender, wantsProof: false)
            }
            let first = try await say(0)
            #expect(try await say(0).session == first.session)
            let second = try await say(1)
            await #expect(throws: Problem.self) { try await say(0) }
            #expect(try control.machine(session: second.session).id == first.machine)
            #expect(try await say(1).session == second.session)
        }
    }

    @Test("machines that were discovered are not forgotten because the clock is a year ahead")
    func discovered() async throws {
        try await serving(MemoryStore()) { control in
            let reply = try await boot(control)
            clocks.set(by: Self.day * 365)
            try await control.timePassed()
            try await control.expireDiscovered()
            #expect(control.snapshot.machines[reply.machine] != nil)
            clocks.advance(Self.day * 8)
            try await control.expireDiscovered()
            #expect(control.snapshot.machines[reply.machine] == nil)
        }
    }

    @Test("time goes on over starts of the server and of its host, and never back", arguments: [Duration.seconds(30), .zero - day * 3000])
    func steady(_ error: Duration) async throws {
        let store = MemoryStore()
        let first = try await open(store)
        let begin = first.steady
        clocks.advance(.seconds(100))
        try await first.timePassed()
        let second = try await open(store)
        #expect(second.steady == begin + .seconds(100))
        clocks.reboot(off: .seconds(50))
        clocks.set(by: error)
        let third = try await open(store)
        let away = third.steady - second.steady
        #expect(away >= .zero && away <= .seconds(180) && third.uptime >= second.uptime)
    }

    // MARK: Order

    @Test("events and operations are in the order in which they came, also after a start with the clock set back")
    func order() async throws {
        let store = MemoryStore()
        var operations: [OperationID] = []
        for part in 0..<3 {
            try await serving(store) { control in
                let reply = try await boot(control, key: ["a", "b", "c"][part])
                for number in 0..<3 { try await control.recordEvent(kind: "test.\(part)\(number)", actor: "test", message: "") }
                let operation = try await control.order(.wipe(WipeRequest()), on: reply.machine.rawValue, by: "test")
                operations.append(operation.id)
                _ = try await control.cancel(operation.id, by: "test")
            }
            clocks.set(by: .zero - Self.day)
        }
        try await serving(store) { control in
            let events = try await control.records.all(Event.self)
            #expect(events.map(\.revision) == events.map(\.revision).sorted())
            #expect(events.map(\.value.kind).filter { $0.hasPrefix("test.") }.suffix(3) == ["test.20", "test.21", "test.22"])
            let all = try await control.records.all(Model.Operation.self).map(\.value)
            let listed = all.sorted { ($0.madeAfter ?? 0) < ($1.madeAfter ?? 0) }.map(\.id).filter(operations.contains)
            #expect(listed == operations)
        }
    }

    @Test("more events than a counter holds in one millisecond stay in order")
    func manyEvents() throws {
        let ids = EventIDs(after: "0000000000ff-fffd")
        let made = (0..<4).map { _ in ids.next(Timestamp(milliseconds: 5)) }
        #expect(made == ["0000000000ff-fffe", "0000000000ff-ffff", "000000000100-0000", "000000000100-0001"])
        for broken in ["", "x", "-", "zz-zz", "1-2-3"] { #expect(EventIDs(after: broken).next(Timestamp(milliseconds: 1)) == "000000000001-0000") }
    }

    @Test("the newest event is found among many, and none among none")
    func newest() async throws {
        let store = MemoryStore()
        let records = Records(store: store)
        #expect(try await records.newestEventID() == nil)
        var random = Seeded(11)
        var newest = ""
        for _ in 0..<200 {
            let id =
                Event.idPrefix(milliseconds: Int64.random(in: 0...253_402_300_799_999, using: &random)) + "-"
                + Event.hex(Int64.random(in: 0...0xffff, using: &random), digits: 4)
            try await store.commit([try Event(id: id, at: .first, kind: "a", actor: "b", message: "c").put(.none)])
            newest = max(newest, id)
            #expect(try await records.newestEventID() == newest)
        }
    }

    // MARK: What is told

    @Test("a jump is an event and a warning for a day; a leap second is neither")
    func told() async throws {
        let store = MemoryStore()
        func jumps(_ control: ControlPlane) async throws -> [Event] {
            try await control.records.all(Event.self).map(\.value).filter { $0.kind == "clock.jumped" }
        }
        try await serving(store) { control in
            try await pass(.seconds(20), control)
            clocks.set(by: .seconds(1))
            try await pass(.seconds(20), control)
            #expect(try await jumps(control).isEmpty && control.clockWarnings.isEmpty)
            clocks.set(by: Self.day + .seconds(7200))
            try await pass(.seconds(20), control)
            #expect(try await jumps(control).map(\.message) == ["The host's clock was set forward by 1 d 2 h"])
            #expect(control.clockWarnings.map(\.code) == ["clock-jumped"])
        }
        // Also one that came while the server was away; and the warning outlives a start.
        clocks.advance(.seconds(100))
        try await serving(store) { control in
            let count = try await jumps(control).count
            #expect(control.clockWarnings.count == 1 && count == 1)
        }
        clocks.set(by: .zero - Self.day)
        try await serving(store) { control in
            let last = try await jumps(control).last?.message
            #expect(last == "The host's clock was set back by 1 d 0 h")
            #expect(control.clockWarnings.first?.title.contains("back by 1 d") == true)
            clocks.advance(Self.day + .seconds(1))
            #expect(control.clockWarnings.isEmpty)
        }
    }

    @Test("a clock that two programs fight over fills no log")
    func fight() async throws {
        try await serving(MemoryStore()) { control in
            for number in 0..<200 {
                clocks.set(by: .seconds(number % 2 == 0 ? 60 : -60))
                try await pass(.seconds(1), control)
            }
            let events = try await control.records.all(Event.self).map(\.value).filter { $0.kind == "clock.jumped" }
            #expect(events.count == 5)
        }
    }

    // MARK: What the wall clock does decide

    @Test("a lease ends by the wall clock, and goes on where its end was noted by a clock that was ahead")
    func lease() async throws {
        let store = MemoryStore()
        try await store.commit([try machine(.running).put(.absent)])
        try await serving(store) { control in
            let end = control.now + .seconds(3600)
            _ = try await control.update(machine: "one", with: MachinePatch(lease: LeasePatch(endsAt: end)), expecting: nil, by: "test")
            clocks.set(by: Self.day)
            try await control.timePassed()
            let ended = try #require(try await control.machine(named: "one").value.desired.lease)
            #expect(ended.endedAt != nil)
            clocks.set(by: .zero - Self.day)
            try await control.timePassed()
            let lease = try #require(try await control.machine(named: "one").value.desired.lease)
            #expect(lease == LeaseTerm(id: ended.id, endsAt: end))
            let kinds = try await control.records.all(Event.self).map(\.value.kind).filter { $0.hasPrefix("lease.") }
            #expect(kinds == ["lease.ended", "lease.resumed"])
        }
    }
}
