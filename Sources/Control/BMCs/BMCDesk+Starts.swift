internal import Hardware
internal import Logging
internal import Model
internal import Store
internal import Synchronization
internal import Wire

/// Starts the machines that operations wait for, and takes boot overrides back once they have served.
///
/// A reconciler: it is told nothing, looks at open operations and at what the BMCs have, and acts on the difference.
/// Whatever the BMC does or fails to do, the operation goes on once the machine's agent arrives: a person's finger on
/// the power button is as good.
extension BMCDesk {
    /// Runs until cancelled.
    func startMachines() async throws {
        let (looks, look) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let observer = control.snapshots.observe { _ in look.yield() }
        defer { control.snapshots.stop(observing: observer) }
        look.yield()
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask {
                while !Task.isCancelled {
                    try await Task.sleep(for: self.settings.start.lookEvery)
                    look.yield()
                }
            }
            for await _ in looks {
                for bmc in await bmcsToSee() where starts.withLock({ $0.claim(bmc.id, at: control.steady) }) {
                    group.addTask {
                        let isWell = await self.see(to: bmc)
                        self.starts.withLock { $0.giveBack(bmc.id, failed: !isWell, at: self.control.steady, self.settings.start) }
                    }
                }
            }
            group.cancelAll()
        }
    }

    /// Those whose machine is waited for, or that may still have an override of ours.
    private func bmcsToSee() async -> [BMC] {
        let snapshot = control.snapshot
        let waiting = Set(snapshot.machines.values.filter { isWaited(for: $0, in: snapshot) }.map(\.id))
        let held = starts.withLock { $0.held }
        guard !waiting.isEmpty || !held.isEmpty else { return [] }
        do {
            return try await records.all(BMC.self).map(\.value).filter { bmc in
                held.contains(bmc.id) || bmc.machine.map(waiting.contains) == true
            }
        } catch {
            control.environment.logger.error("the BMCs could not be read; tried again", metadata: ["error": "\(error)"])
            return []
        }
    }

    private func isWaited(for machine: Machine, in snapshot: RackSnapshot) -> Bool {
        guard snapshot.freeze == nil, let operation = snapshot.openOperation(of: machine), operation.state == .running else { return false }
        guard let step = operation.currentStep, step.name == .agent, step.state == .running else { return false }
        return step.evidence[Evidence.attempt] != "\(step.attempts)"
    }

    /// Whether it went well.
    private func see(to bmc: BMC) async -> Bool {
        do {
            if let machine = bmc.machine.flatMap({ control.snapshot.machines[$0] }), isWaited(for: machine, in: control.snapshot) {
                return try await start(machine, by: bmc)
            }
            if let held = bmc.heldOverride { return try await takeBack(held, from: bmc) }
            starts.withLock { _ = $0.held.remove(bmc.id) }
            return true
        } catch {
            guard !Task.isCancelled else { return true }
            control.environment.logger.error(
                "a machine's start could not be seen to; tried again", metadata: ["bmc": "\(bmc.id)", "error": "\(error)"])
            return false
        }
    }

    /// Names in the evidence of the step `boot-agent`.
    enum Evidence {
        static let bmc = "bmc"
        static let override = "bootOverride"
        static let overrideAfter = "bootOverrideAfter"
        static let before = "powerBefore"
        static let intent = "powerIntent"
        static let power = "power"
        static let seen = "powerSeen"
        /// The attempt of the step for which the BMC has done its part.
        static let attempt = "powerAttempt"
    }

    // MARK: Starting

    private func start(_ machine: Machine, by bmc: BMC) async throws -> Bool {
        guard let operation = control.snapshot.openOperation(of: machine), let step = operation.currentStep else { return true }
        let line: BMCLine
        do {
            line = try self.line(bmc.id)
            // An agent that waits on the machine says so within a second or two.
            let isBelievedOff = line.observed.power?.state == .off
            if machine.observed.agent != nil, !isBelievedOff, let since = control.began(step),
                control.steady - since < settings.start.agentGrace
            {
                return true
            }
            try await bring(machine, into: operation, step, bmc, line)
            return true
        } catch let problem as Problem {
            try await tell(operation, [Evidence.bmc: bmc.address], problem: Self.withWayOut(problem, instead: step.problem))
            return false
        }
    }

    private func bring(_ machine: Machine, into operation: Operation, _ step: Step, _ bmc: BMC, _ line: BMCLine) async throws {
        let before = try await line.readPower().0.state
        let attempt = "\(step.attempts)"
        let intent = step.evidence[Evidence.intent]?.split(separator: " ").map(String.init) ?? []
        let begun = intent.count == 2 && intent[0] == attempt ? MachineStart(rawValue: intent[1]) : nil
        let isOnItsWay = control.began(step).map { control.bootTraces.trace(of: machine)?.hasScript(since: $0) == true } ?? false
        let way = begun.map { $0.resumed(power: before) } ?? MachineStart.decide(operation, machine: machine, power: before, isOnItsWay: isOnItsWay)
        guard let way else {
            let why =
                begun != nil
                ? "on: it was off before it was asked for" : isOnItsWay ? "on: the machine is booting already" : "on: left alone, its system runs"
            try await tell(operation, [Evidence.bmc: bmc.address, Evidence.power: why, Evidence.attempt: attempt], started: begun != nil)
            return
        }
        try refuseWhileUpdating(bmc)
        try await proved(bmc, of: machine, by: line)
        let override = try await setOverride(machine, operation, bmc, line)
        let goesOn = try await tell(
            operation,
            [
                Evidence.bmc: bmc.address, Evidence.override: override, Evidence.before: before.rawValue,
                Evidence.intent: "\(attempt) \(way.rawValue)",
            ])
        // It was cancelled, or the agent came meanwhile: its power is not touched.
        guard goesOn else { return }
        try refuseWhileUpdating(bmc)
        let proof = try await perform(way, line)
        try await tell(
            operation,
            [
                Evidence.power: "\(way.rawValue): proved, it reads \(proof.state.rawValue)", Evidence.seen: proof.evidence.joined(separator: "; "),
                Evidence.attempt: attempt,
            ], started: true)
        try await control.recordEvent(
            kind: "power.\(way.rawValue)", machine: machine.id, operation: operation.id, actor: "control",
            message: "\(machine.name): \(way.rawValue) for \(operation.kind.rawValue), proved: it reads \(proof.state.rawValue)",
            evidence: ["requests": "\(proof.requests)", "seen": proof.evidence.joined(separator: "\n"), "override": override])
    }

    private func perform(_ way: MachineStart, _ line: BMCLine) async throws -> PowerProof {
        switch way {
        case .on: return try await line.perform(.on, policy: settings.power, mayAct: mayAct)
        case .cycle: return try await line.perform(.cycle, policy: settings.power, mayAct: mayAct)
        case .shutdown:
            var policy = settings.power
            policy.forceAfter = settings.start.shutdownGrace
            policy.deadline += settings.start.shutdownGrace
            let down = try await line.perform(.shutdown, policy: policy, mayAct: mayAct)
            var up = try await line.perform(.on, policy: settings.power, mayAct: mayAct)
            up.evidence = down.evidence + up.evidence
            up.requests += down.requests
            return up
        }
    }

    /// A BMC that works, and will not do this.
    private static let refusals: Set<String> = ["bmc-refused", "bmc-unsupported", "bmc-boot-not-proved", "bmc-reply-unknown"]

    /// Sets the boot override for the network, once, and reads it back; what became of it, in words.
    /// Throws where the BMC is out of reach; one that merely refuses leaves the firmware its own order.
    private func setOverride(_ machine: Machine, _ operation: Operation, _ bmc: BMC, _ line: BMCLine) async throws -> String {
        let isUEFI = machine.observed.inventory.map { $0.firmware.mode == .uefi }
        let uri = settings.bootURI(machine)
        var refusals: [String] = []
        do {
            let mayAct = mayAct
            let first = try await line.ask { try await $0.networkBoot(uri: uri, uefi: isUEFI) }
            var candidates = [first]
            if first.target == .http { candidates.append(BootOverride(target: .pxe, uefi: first.uefi)) }
            // What its firmware is was a guess.
            if isUEFI == nil, first.uefi == true { candidates.append(BootOverride(target: .pxe, uefi: false)) }
            for wanted in candidates {
                try await hold(wanted, for: operation.id, on: bmc.id)
                do {
                    let read = try await line.ask { way in
                        try mayAct()
                        try await way.setBoot(wanted)
                        return try await way.bootOverride()
                    }
                    return (refusals + ["\(wanted.words), read back: \(read.words)"]).joined(separator: "; ")
                } catch let problem as Problem where Self.refusals.contains(problem.code) {
                    refusals.append("\(wanted.words) refused: \(problem.title)")
                }
            }
        } catch let problem as Problem where problem.code == "bmc-unsupported" {
            refusals.append(problem.title)
        }
        return refusals.joined(separator: "; ") + "; the firmware's own order holds"
    }

    /// Written down before the BMC hears of it: a kill leaves no override that nobody takes back.
    private func hold(_ wanted: BootOverride, for operation: OperationID, on id: BMCID) async throws {
        starts.withLock { _ = $0.held.insert(id) }
        let held = HeldOverride(operation: operation, wanted: wanted, since: control.now)
        try await edit(id) { bmc in
            bmc.heldOverride = held
            return true
        }
    }

    // MARK: Taking back

    /// Reads whether the override is gone, takes it away where it is not, and forgets it once it is proved.
    private func takeBack(_ held: HeldOverride, from bmc: BMC) async throws -> Bool {
        let operation = try await records.get(Operation.self, id: held.operation.rawValue)?.value
        // It is still to serve, or nothing may be changed now.
        if control.snapshot.freeze != nil { return true }
        if let operation, operation.isOpen, !operation.isDone(.agent) { return true }
        do {
            let line = try line(bmc.id)
            let mayAct = mayAct
            let (found, left) = try await line.ask { way in
                let found = try await way.bootOverride()
                guard found.target != .none else { return (found, found) }
                try mayAct()
                try await way.setBoot(BootOverride(target: .none))
                return (found, try await way.bootOverride())
            }
            let words = found.target == .none ? "used up by the start, read back: \(left.words)" : "taken back, read back: \(left.words)"
            try await edit(bmc.id) { record in
                guard record.heldOverride == held else { return false }
                record.heldOverride = nil
                return true
            } events: { record in
                [
                    .init(
                        kind: "boot.override-gone", actor: "control", message: "The boot override at \(record.address) is gone: \(words)",
                        evidence: ["operation": held.operation.rawValue, "was": held.wanted.words])
                ]
            }
            starts.withLock { _ = $0.held.remove(bmc.id) }
            if let operation { try await tell(operation, [Evidence.overrideAfter: words]) }
            return true
        } catch let problem as Problem {
            if let operation { try await tell(operation, [Evidence.overrideAfter: "not proved gone: \(problem.title)"]) }
            return false
        }
    }

    /// False where the operation waits for its agent no more.
    @discardableResult
    private func tell(
        _ operation: Operation, _ evidence: [String: String], problem: Problem? = nil, started: Bool = false
    ) async throws -> Bool {
        var isWaiting = false
        try await control.change(operation.machine) { transition, now in
            isWaiting = false
            guard transition.operation.id == operation.id else { return }
            isWaiting = transition.bmcTold(evidence, problem: problem, started: started, now)
        }
        return isWaiting
    }

    /// What the BMC said, and that nobody has to wait for it.
    static func withWayOut(_ problem: Problem, instead: Problem?) -> Problem {
        // That it is being left alone says less than why.
        if ["bmc-breaker-open", "bmc-busy"].contains(problem.code), let instead { return instead }
        let way = "Or switch the machine on by hand, network boot first: the operation goes on when its agent arrives."
        return Problem(
            problem.code, status: problem.status, title: problem.title, detail: problem.detail,
            remedy: (problem.remedy.map { "\($0) " } ?? "") + way)
    }
}
