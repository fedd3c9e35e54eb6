import Model
import Wire

@testable import Control

/// A disk as a machine in the simulated rack has it.
final class SimulatedDisk {
    enum Content: Equatable {
        case empty
        /// Begun and not ended: nothing that starts.
        case torn(OperationID)
        case system(OperationID)
    }

    let serial: String
    var content = Content.empty
    /// What its system proves itself with; nil: it has no seed.
    var proof: String?
    /// The generation that its marker names.
    var generation: UInt64 = 0
    /// What its system says home with.
    var key: CallHomeKey?
    /// The server's last word to the system that calls home.
    var answer: CallHomeAnswer?

    init(_ serial: String) { self.serial = serial }

    var bootable: OperationID? {
        if case .system(let operation) = content, proof != nil { return operation }
        return nil
    }
}

/// A machine that boots from the network first, with an agent that does as `hostler-init` does.
final class SimulatedMachine {
    private enum Phase: Equatable { case off, firmware, agent, system(OperationID) }

    let number: Int
    let mac: MACAddress
    let disks: [SimulatedDisk]
    private unowned let world: ChaosWorld
    /// Counts its boots: what an earlier one waited for comes to nobody.
    private(set) var life = 0
    private var phase = Phase.off
    /// By serial, the first to be started.
    private var bootDisk: String?

    // Of the agent that runs.
    private var hello: HelloRequest?
    private var session = ""
    private var generation: UInt64 = 0

    init(_ number: Int, in world: ChaosWorld) {
        self.number = number
        self.world = world
        mac = MACAddress(value: 0x5254_0077_0100 + UInt64(number))
        disks = [SimulatedDisk("D\(number)A"), SimulatedDisk("D\(number)B")]
    }

    var isOn: Bool { phase != .off }
    var isInAgent: Bool { phase == .agent }
    /// No system of its waits for an answer to its call home.
    var isSettled: Bool { running.map { $0.disk.answer != nil } ?? true }
    /// In this life only.
    private func later(_ milliseconds: Int64, _ action: @escaping () async throws -> Void) {
        let life = life
        world.after(milliseconds) { if self.life == life { try await action() } }
    }

    // MARK: Power and firmware

    func powerOff() {
        life += 1
        phase = .off
    }

    func powerOn(in milliseconds: Int64) {
        later(milliseconds) { if self.phase == .off { self.boot() } }
    }

    private func boot() {
        life += 1
        phase = .firmware
        later(world.random.seconds(15...60)) { self.askForScript(tries: 1) }
    }

    private enum Script { case agent(nonce: String), disk, refused }

    private func askForScript(tries: Int) {
        let mac = mac
        world.ask(self) { control -> Script in
            control.bootTraces.note(.script, of: mac, at: control.steady)
            switch control.boots(mac).verdict {
            case .agent: return .agent(nonce: control.nonces.make(for: mac, now: control.steady))
            case .localDisk, .leave: return .disk
            case .refuse: return .refused
            }
        } then: { answer in
            switch answer {
            case .success(.agent(let nonce)): self.later(self.world.random.seconds(8...20)) { self.startAgent(nonce) }
            case .success(.disk): self.startFromDisk()
            case .success(.refused): self.later(30_000) { self.askForScript(tries: 1) }
            // Firmware that gets no answer goes on to the next entry of its boot order.
            case .failure where tries >= 3: self.startFromDisk()
            case .failure: self.later(5000) { self.askForScript(tries: tries + 1) }
            }
        }
    }

    private func startFromDisk() {
        let ordered = disks.sorted { first, _ in first.serial == bootDisk }
        guard let disk = ordered.first(where: { $0.bootable != nil }), let operation = disk.bootable else {
            // Nothing starts: the firmware begins anew.
            return later(30_000) { self.boot() }
        }
        later(world.random.seconds(15...30)) {
            self.phase = .system(operation)
            self.world.judge.started(operation, on: self)
            self.callHome(disk, operation, tries: 1)
        }
    }

    /// The installed system's call home, which goes on until it is acknowledged; the first ones are the image's `phone_home`.
    private func callHome(_ disk: SimulatedDisk, _ operation: OperationID, tries: Int) {
        guard disk.answer == nil, let proof = disk.proof, let key = disk.key else { return }
        later(tries == 1 ? world.random.seconds(10...60) : min(60_000, 5000 << Int64(min(tries, 4)))) {
            self.world.ask(self) { control -> CallHomeAnswer? in
                if tries < 3 {
                    try await control.callHome(operation: operation, proof: proof, hostKeys: ["ssh-ed25519 AAAA"], evidence: [:])
                    return nil
                }
                let message = try Self.message(operation, key, nonce: String(repeating: "0a", count: 32))
                let line = try await control.callHome(message, from: nil, evidence: [:])
                return line.split(separator: " ").first.flatMap { CallHomeAnswer(rawValue: String($0)) }
            } then: { answer in
                if case .success(let word?) = answer { disk.answer = word }
                self.callHome(disk, operation, tries: tries + 1)
            }
        }
    }

    private static func message(_ operation: OperationID, _ key: CallHomeKey, nonce: String) throws -> CallHomeMessage {
        let text = """
            hostler-call-home 1
            operation \(operation)
            nonce \(nonce)
            instance \(operation)
            hostname one
            cloud-init finished
            key ssh-ed25519 AAAA
            """
        return try CallHomeMessage(parsing: Array("\(text)\ncode \(key.code(text))\n".utf8))
    }

    /// The disk of the system that runs.
    var running: (operation: OperationID, disk: SimulatedDisk)? {
        guard case .system(let operation) = phase, let disk = disks.first(where: { $0.content == .system(operation) }) else { return nil }
        return (operation, disk)
    }

    // MARK: The agent

    private func startAgent(_ nonce: String) {
        phase = .agent
        generation = 0
        var key = ""
        for _ in 0..<4 { key += String(String(world.random.next() | 1 << 63, radix: 16).prefix(16)) }
        hello = HelloRequest(nonce: nonce, sessionKey: key, mac: mac, macs: [mac], uuid: nil, serial: nil, firmware: .bios, version: "chaos")
        sayHello(tries: 1) { self.tellInventory { self.askForWork() } }
    }

    private func sayHello(tries: Int, then next: @escaping () -> Void) {
        guard let hello else { return }
        let sender = Sender(mac: mac, address: nil)
        world.ask(self) {
            try await $0.hello(hello, from: sender, wantsProof: false)
        } then: { answer in
            switch answer {
            case .success(let reply):
                self.session = reply.session
                next()
            case .failure(.problem(let problem)) where [401, 403, 409].contains(problem.status):
                // As the agent does: for a new nonce.
                self.later(10_000) { self.boot() }
            case .failure: self.later(Int64(min(5, tries)) * 1000) { self.sayHello(tries: tries + 1, then: next) }
            }
        }
    }

    /// Asks until there is an answer; a session that is over is taken up again.
    private func insist<Answer>(
        _ body: @escaping (ControlPlane, _ session: String) async throws -> Answer, then answer: @escaping (Answer) async throws -> Void
    ) {
        let session = session
        world.ask(self) {
            try await body($0, session)
        } then: { result in
            switch result {
            case .success(let value): try await answer(value)
            case .failure(.problem(let problem)) where problem.status == 401: self.sayHello(tries: 1) { self.insist(body, then: answer) }
            case .failure: self.later(4000) { self.insist(body, then: answer) }
            }
        }
    }

    private func tellInventory(then next: @escaping () -> Void) {
        var inventory = Inventory()
        inventory.disks = disks.enumerated().map { index, disk in
            var facts = Inventory.DiskFacts(name: "vd\(index)", bytes: 8_000_000_000 << Int64(index), kind: .virtual)
            facts.serial = disk.serial
            return facts
        }
        inventory.nics = [Inventory.NICFacts(name: "eth0", mac: mac, link: true)]
        let told = inventory
        insist { control, session in
            try await control.record(told, of: try control.machine(session: session).id, wantsProof: false)
        } then: { _ in
            next()
        }
    }

    private func askForWork() {
        let generation = generation
        insist { control, session in
            try await control.task(
                for: session, query: TaskQuery(operation: nil, generation: generation), base: testBase, wantsProof: false,
                patience: .zero)
        } then: { task in
            // What is older than what it has seen is not for it.
            guard task.generation >= self.generation else { return self.later(5000) { self.askForWork() } }
            self.generation = task.generation
            switch task.work {
            case .wait: self.later(5000) { self.askForWork() }
            case .reboot: self.boot()
            case .inspect: self.tellInventory { self.later(1000) { self.askForWork() } }
            case .install(let work):
                self.world.judge.begins(task.operation, .install, on: self)
                self.install(work, self.remaining([.chooseDisk, .writeImage, .writeSeed, .bootOrder, .restart], work.done))
            case .wipe(let work):
                self.world.judge.begins(task.operation, .wipe, on: self)
                guard let operation = task.operation else { return }
                self.wipe(work, operation, task.generation, self.remaining([.wipeDisks, .verifyWipe], work.done))
            case .rescue: self.world.judge.complain("nobody asked for a rescue")
            }
        }
    }

    private func remaining(_ all: [StepName], _ done: [StepName]) -> [StepName] { all.filter { !done.contains($0) } }

    /// Reports until it is acknowledged; goes on only where the work is still its own.
    private func report(
        _ operation: OperationID, _ generation: UInt64, _ step: StepName, _ kind: StepReport.Kind, progress: Progress? = nil,
        evidence: [String: String] = [:], problem: Problem? = nil, then next: @escaping () -> Void
    ) {
        let report = StepReport(
            operation: operation, generation: generation, step: step, kind: kind, progress: progress, evidence: evidence, problem: problem)
        insist { control, session -> Bool in
            let machine = try control.machine(session: session).id
            let goesOn = try await control.report(report, of: machine, wantsProof: false)
            if goesOn { self.world.judge.heard(operation) }
            return goesOn
        } then: { goesOn in
            if goesOn { next() } else { self.later(1000) { self.askForWork() } }
        }
    }

    private func fails(_ operation: OperationID, _ generation: UInt64, _ step: StepName, _ code: String) {
        world.judge.reported(operation, code)
        report(operation, generation, step, .failed, problem: Problem(code, title: "It failed: \(code)")) {
            self.later(2000) { self.askForWork() }
        }
    }

    private func install(_ work: InstallWork, _ steps: [StepName]) {
        guard let step = steps.first else { return askForWork() }
        let (id, generation) = (work.record.operation, work.record.generation)
        guard let disk = disks.first(where: { $0.serial == work.disk }) else { return fails(id, generation, step, "disk-not-found") }
        func succeed(evidence: [String: String] = [:]) {
            report(id, generation, step, .succeeded, evidence: evidence) {
                if step == .restart { self.later(1000) { self.boot() } } else { self.install(work, Array(steps.dropFirst())) }
            }
        }
        report(id, generation, step, .started) {
            switch step {
            case .chooseDisk:
                guard disk.generation <= generation else { return self.fails(id, generation, step, "stale-generation") }
                self.later(1000) { succeed(evidence: ["serial": disk.serial]) }
            case .writeImage:
                self.world.judge.writes(id, to: disk, of: self)
                disk.content = .torn(id)
                disk.proof = nil
                disk.generation = generation
                self.write(disk, id, generation, 0) { succeed() }
            case .writeSeed:
                self.insist { control, _ -> (proof: String, key: CallHomeKey)? in
                    guard let stored = try await control.records.store.get(SeedSecrets.key(id)) else { return nil }
                    let proof = try RecordCoding.decode(SeedSecrets.self, from: stored).proof
                    return (proof, control.markers.callHomeKey(of: try await control.operation(id).value))
                } then: { seed in
                    guard let seed else { return self.fails(id, generation, step, "seed-missing") }
                    self.world.judge.writes(id, to: disk, of: self)
                    (disk.proof, disk.key, disk.answer) = (seed.proof, seed.key, nil)
                    self.later(2000) { succeed() }
                }
            case .bootOrder:
                self.bootDisk = disk.serial
                self.later(500) { succeed() }
            default: self.later(500) { succeed() }
            }
        }
    }

    private func write(_ disk: SimulatedDisk, _ id: OperationID, _ generation: UInt64, _ done: Int, then next: @escaping () -> Void) {
        later(world.random.seconds(3...15)) {
            if self.world.random.chance(0.01) { return self.fails(id, generation, .writeImage, "disk-write-failed") }
            guard done < 4 else {
                disk.content = .system(id)
                return next()
            }
            let progress = Progress(done: Int64(done + 1) * 100, total: 500)
            self.report(id, generation, .writeImage, .progress, progress: progress) { self.write(disk, id, generation, done + 1, then: next) }
        }
    }

    private func wipe(_ work: WipeWork, _ id: OperationID, _ generation: UInt64, _ steps: [StepName]) {
        guard let step = steps.first else { return askForWork() }
        report(id, generation, step, .started) {
            self.later(self.world.random.seconds(5...30)) {
                if step == .wipeDisks {
                    for disk in self.disks where work.disks.isEmpty || work.disks.contains(disk.serial) {
                        self.world.judge.writes(id, to: disk, of: self)
                        disk.content = .empty
                        disk.proof = nil
                        disk.generation = 0
                    }
                    self.world.judge.wiped(id, on: self)
                }
                self.report(id, generation, step, .succeeded) { self.wipe(work, id, generation, Array(steps.dropFirst())) }
            }
        }
    }
}
