import Logging
import Model
import Store
import Wire

@testable import Control

/// A rack with its server, in one thread of made-up time: everything that happens follows from the schedule's seed.
///
/// The control plane and its store are the real ones; machines, their disks, the wire and the clocks are simulated.
final class ChaosWorld {
    enum Refusal: Error {
        /// No answer came in time.
        case silence
        case problem(Problem)
    }

    let schedule: ChaosSchedule
    let clocks = TwoClocks()
    var random: Seeded
    private let openDisk: () throws -> any StateStore
    private var disk: any StateStore
    private var store: CrashingStore
    private(set) var control: ControlPlane?
    private var following: Task<Void, any Error>?
    private(set) var machines: [SimulatedMachine] = []
    let judge: ChaosJudge

    /// Since the beginning, in milliseconds of true time.
    private(set) var now: Int64 = 0
    /// How long the server was there, in milliseconds.
    private(set) var served: Int64 = 0
    /// How often it was started.
    private(set) var starts = 0
    private var queue: [(at: Int64, number: Int, action: () async throws -> Void)] = []
    private var number = 0
    private var allCutUntil: Int64 = 0
    private var cutUntil: [Int: Int64] = [:]
    private var stormUntil: Int64 = 0
    /// From when on the rack is left alone.
    private var calmSince: Int64?

    /// - Parameter openDisk: what of the store outlives a kill, opened anew at each start.
    init(_ schedule: ChaosSchedule, openDisk: @escaping () throws -> any StateStore) throws {
        self.schedule = schedule
        self.openDisk = openDisk
        disk = try openDisk()
        random = Seeded(schedule.seed &* 31 &+ 7)
        store = CrashingStore(disk)
        judge = ChaosJudge()
    }

    // MARK: Time

    func after(_ milliseconds: Int64, _ action: @escaping () async throws -> Void) {
        number += 1
        let at = now + max(0, milliseconds)
        var index = queue.count
        while index > 0, queue[index - 1].at > at { index -= 1 }
        queue.insert((at, number, action), at: index)
    }

    /// Runs until nothing is open any more after the schedule's end.
    func run() async throws {
        for number in 0..<schedule.machines { machines.append(SimulatedMachine(number, in: self)) }
        try await startServer()
        for machine in machines { machine.powerOn(in: random.seconds(0...20)) }
        for fault in schedule.faults { after(Int64(fault.atSeconds * 1000)) { try await self.strike(fault) } }
        after(Int64(schedule.lengthSeconds * 1000)) { self.calm() }
        tickLater()
        // The longest that an operation may take with nothing but silence on all its attempts, twice.
        let end = Int64(schedule.lengthSeconds * 1000) + 6 * 3_600_000
        while !queue.isEmpty {
            let next = queue.removeFirst()
            advance(to: next.at)
            try await next.action()
            try await buryServer()
            if let control { try judge.look(control, served: served, starts: starts) }
            // Two minutes more, for what is still on its way, and until each system that runs has its answer.
            if let control, calmSince.map({ now > $0 + 120_000 }) ?? false, control.snapshot.operations.isEmpty,
                machines.allSatisfy({ $0.isSettled })
            {
                break
            }
            if now > end { break }
        }
        try await judge.close(self)
        await stopServer()
        queue = []
    }

    private func advance(to moment: Int64) {
        guard moment > now else { return }
        clocks.advance(.milliseconds(moment - now))
        if control != nil { served += moment - now }
        now = moment
    }

    private func tickLater() {
        after(5000) {
            self.tickLater()
            guard let control = self.control else { return }
            self.judge.beforeTick(control)
            do { try await control.timePassed() } catch StoreError.closed { return }
            if self.store.isDead { return }
            try await self.judge.afterTick(control, served: self.served, starts: self.starts)
        }
    }

    // MARK: The server

    private func startServer() async throws {
        if starts > 0 { disk = try openDisk() }
        store = CrashingStore(disk)
        let logger = Logger(label: "chaos") { _ in SwiftLogNoOpLogHandler() }
        starts += 1
        let control = try await ControlPlane.open(
            store: store, images: OneImage(), environment: ControlEnvironment(clock: clocks.host, logger: logger))
        self.control = control
        following = Task { try await control.followStore() }
    }

    private func stopServer() async {
        store.kill()
        following?.cancel()
        _ = await following?.result
        following = nil
        control?.snapshots.setFollowed(false)
        control = nil
        // What is in memory stays open; what is on a disk is opened again from there.
        if !(disk is MemoryStore) { try? await disk.close() }
    }

    private var awaySeconds: Double = 0

    /// A write was the server's last.
    private func buryServer() async throws {
        guard control != nil, store.isDead else { return }
        await stopServer()
        after(Int64(awaySeconds * 1000)) { try await self.startServer() }
    }

    // MARK: What is done to the rack

    private func strike(_ fault: ChaosSchedule.Fault) async throws {
        let machine = machines[fault.machine ?? 0]
        switch fault.kind {
        case .kill:
            guard control != nil else { return }
            awaySeconds = fault.seconds
            if let writes = fault.writes { store.kill(afterWrites: writes, isWritten: fault.isWritten) } else { store.kill() }
        case .hostPower:
            guard control != nil else { return }
            await stopServer()
            after(Int64(fault.seconds * 1000)) {
                self.clocks.reboot(off: .zero)
                self.clocks.set(by: .milliseconds(Int64(fault.clockSeconds * 1000)))
                try await self.startServer()
            }
        case .cut:
            let end = now + Int64(fault.seconds * 1000)
            if let number = fault.machine { cutUntil[number] = end } else { allCutUntil = end }
        case .power:
            machine.powerOff()
            machine.powerOn(in: Int64(fault.seconds * 1000))
        case .clock: clocks.set(by: .milliseconds(Int64(fault.clockSeconds * 1000)))
        case .storm: stormUntil = now + Int64(fault.seconds * 1000)
        case .install, .wipe: await order(fault.kind, machine)
        case .cancel: await cancel(machine)
        case .release: await release(machine)
        }
    }

    private func calm() {
        calmSince = now
        (allCutUntil, stormUntil) = (0, 0)
        cutUntil = [:]
        for machine in machines where !machine.isOn { machine.powerOn(in: 1000) }
    }

    private func order(_ kind: ChaosSchedule.Fault.Kind, _ machine: SimulatedMachine) async {
        guard let control, let id = control.snapshot.machine(with: machine.mac)?.id else { return }
        let disk = machine.disks[Int.random(in: 0..<machine.disks.count, using: &random)].serial
        let request: OperationRequest =
            kind == .wipe
            ? .wipe(WipeRequest()) : .install(InstallRequest(image: "debian-12", disk: random.chance(0.5) ? disk : nil))
        let order = judge.asked(request.kind, machine.number)
        do {
            let operation = try await control.order(request, on: id.rawValue, by: "chaos")
            judge.accepted(order, operation.id)
            // Nothing else brings a machine that runs its system into the agent: somebody presses its button.
            if !machine.isInAgent {
                machine.powerOff()
                machine.powerOn(in: random.seconds(2...60))
            }
        } catch is Problem {
            judge.refused(order)
        } catch {
            // Killed meanwhile: whether it was accepted the record will tell.
        }
    }

    private func cancel(_ machine: SimulatedMachine) async {
        guard let control, let open = control.snapshot.machine(with: machine.mac)?.openOperation else { return }
        judge.askedToCancel(open)
        _ = try? await control.cancel(open, by: "chaos")
    }

    private func release(_ machine: SimulatedMachine) async {
        guard let control, let known = control.snapshot.machine(with: machine.mac), let hold = known.holds.first else { return }
        _ = try? await control.agreedRelease(hold.id, on: known.id.rawValue, by: "chaos")
    }

    // MARK: The wire

    private func isReachable(_ machine: Int) -> Bool { now >= allCutUntil && now >= cutUntil[machine] ?? 0 }
    private func isLost() -> Bool { random.chance(now < stormUntil ? 0.33 : 0.01) }

    /// A machine asks the server something. The question or its answer may be lost, come late, or come twice.
    func ask<Answer>(
        _ machine: SimulatedMachine, _ body: @escaping (ControlPlane) async throws -> Answer,
        then answer: @escaping (Result<Answer, Refusal>) async throws -> Void
    ) {
        let life = machine.life
        var isOver = false
        func end(_ result: Result<Answer, Refusal>) async throws {
            guard !isOver, machine.life == life else { return }
            isOver = true
            try await answer(result)
        }
        after(6000) { try await end(.failure(.silence)) }
        if random.chance(now < stormUntil ? 0.2 : 0.01) {
            after(random.seconds(1...120)) { _ = await self.serve(machine, body) }
        }
        guard !isLost() else { return }
        after(random.seconds(0.001...0.1)) {
            guard let result = await self.serve(machine, body), !self.isLost() else { return }
            self.after(self.random.seconds(0.001...0.1)) {
                if self.isReachable(machine.number) { try await end(result) }
            }
        }
    }

    private func serve<Answer>(
        _ machine: SimulatedMachine, _ body: (ControlPlane) async throws -> Answer
    ) async -> Result<Answer, Refusal>? {
        guard let control, !store.isDead, isReachable(machine.number) else { return nil }
        do {
            let answer = try await body(control)
            return store.isDead ? nil : .success(answer)
        } catch let problem as Problem {
            return .failure(.problem(problem))
        } catch {
            if !store.isDead { judge.complain("the server failed by itself: \(error)") }
            return nil
        }
    }
}
