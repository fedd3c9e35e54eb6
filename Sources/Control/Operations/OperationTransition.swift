public import Model

/// What one event does to an operation and its machine: a value, computed
/// without I/O, that ``ControlPlane`` commits as one transaction.
///
/// Every change of an operation goes through here, so a kill of the program
/// can only fall between two transitions, never inside one.
public struct OperationTransition: Sendable, Equatable {
    public var machine: Machine
    public var operation: Operation
    public var events: [Happening] = []
    /// The server's uptime now. Nil: deadlines are reckoned by the times that the events carry, as in a transcript.
    public let uptime: Uptime?
    /// The operation is over: its secrets are to be deleted in the same transaction.
    public var dropsSecrets = false
    /// The rack is frozen: no step begins that changes the machine.
    public var isFrozen = false

    /// An event without its id.
    public struct Happening: Sendable, Equatable {
        public var kind: String
        public var actor: String
        public var message: String
        public var evidence: [String: String] = [:]
    }

    public init(machine: Machine, operation: Operation, uptime: Uptime? = nil) {
        self.machine = machine
        self.operation = operation
        self.uptime = uptime
    }

    // MARK: Events, each with what it does

    /// A new operation on `machine`, which must have none open.
    ///
    /// - Parameter waits: why it begins only once an admin approves it; until then the machine stays as it is.
    public static func begin(
        id: OperationID, request: OperationRequest, machine: Machine, by actor: String, now: Timestamp, uptime: Uptime? = nil,
        waits: Problem? = nil
    ) -> OperationTransition {
        var machine = machine
        machine.generation = machine.nextGeneration
        machine.openOperation = id
        if waits == nil { machine.state = request.machineState }
        let operation = Operation(
            id: id, machine: machine.id, generation: machine.generation, request: request,
            steps: request.stepNames.map(Step.init), requestedBy: actor, createdAt: now)
        var next = OperationTransition(machine: machine, operation: operation, uptime: uptime)
        if let waits {
            next.operation.state = .waiting
            next.operation.problem = waits
            next.note("operation.waits", by: actor, "\(request.kind.rawValue) of \(machine.name) waits for a second word: \(waits.title)")
            return next
        }
        next.note("operation.started", by: actor, "\(request.kind.rawValue) of \(machine.name) started", request.diskFacts)
        next.startNextStep(now)
        return next
    }

    /// The machine has booted into an agent.
    ///
    /// Work that an earlier boot had begun is begun anew: what that boot did is not known to the last byte.
    public mutating func agentArrived(_ agent: AgentPresence, _ now: Timestamp, evidence: [String: String] = [:]) {
        machine.observed.agent = agent
        guard operation.state == .running, let current = operation.currentStep else { return }
        if current.name == .agent {
            succeed(
                .agent, evidence: ["agent": agent.version, "boot": agent.boot].merging(agent.origin) { $1 }.merging(evidence) { $1 }, now)
        } else if current.name.isAgentWork, current.state == .running {
            note(
                "operation.agent-returned", by: "agent",
                "\(machine.name) booted again in the middle of \(current.name.rawValue); the step starts over", agent.origin)
            retry(current.name, because: nil, now)
        }
    }

    /// What the agent says of a step. False: it is not (or no longer) this agent's work.
    @discardableResult
    public mutating func report(_ report: StepReport, _ now: Timestamp) -> Bool {
        guard operation.state == .running, report.operation == operation.id, report.generation == operation.generation,
            let current = operation.currentStep
        else { return false }
        if operation.isDone(report.step), report.kind == .succeeded { return true }  // said again after a lost reply
        guard current.name == report.step, report.step.isAgentWork else { return false }
        // A freeze, or one that has just ended, came before this step: it begins by its own transition.
        if current.state == .pending, isFrozen || current.retryAt == nil { return false }
        let uptime = uptime
        switch report.kind {
        case .started, .progress:
            update(report.step) {
                if $0.state != .running {
                    $0.state = .running
                    $0.startedAt = now
                    $0.begun = uptime
                }
                // A disk that hangs brings nothing new, however often the agent says so. An erasure
                // that a disk does by itself has nothing to tell but that it goes on.
                let isNews = report.kind == .started || report.step != .writeImage || report.progress != $0.progress
                $0.progress = report.progress ?? $0.progress
                $0.evidence = EvidenceFacts.merged($0.evidence, report.evidence)
                if isNews { $0.waits(StepPolicy.of(report.step).silence, now, uptime) }
            }
        case .succeeded:
            if let progress = report.progress { update(report.step) { $0.progress = progress } }
            succeed(report.step, evidence: report.evidence, now)
        case .failed:
            let problem = report.problem ?? Problem("step-failed", title: "\(report.step.rawValue) failed")
            update(report.step) { $0.evidence = EvidenceFacts.merged($0.evidence, report.evidence) }
            failed(report.step, problem, now)
        }
        return true
    }

    /// The installed system said that it is up, with what proves it.
    ///
    /// - Returns: false where the record does not have the disk as written yet: it is to say so again.
    @discardableResult
    public mutating func systemIsUp(hostKeys: [String], evidence: [String: String], _ now: Timestamp) -> Bool {
        guard operation.state == .running, operation.isDone(.writeSeed) else { return false }
        // Only a disk with its seed on it calls home: what the agent had still to say of the way there is proved by that.
        for step in [StepName.bootOrder, .restart] where operation.currentStep?.name == step {
            succeed(step, evidence: ["proved-by": "call-home"], now)
        }
        guard operation.currentStep?.name == .firstBoot else { return false }
        if let system = operation.installation(hostKeys: hostKeys, provedAt: now) {
            machine.installed = system
            machine.unproved = nil
        }
        succeed(.firstBoot, evidence: evidence, now)
        return true
    }

    /// The firmware shows no disk with the system that was installed.
    public mutating func systemIsMissing(_ problem: Problem, _ now: Timestamp) {
        guard operation.state == .running, operation.currentStep?.name == .firstBoot else { return }
        failed(.firstBoot, problem, now)
    }

    /// Time has passed: a step that was silent for too long is tried again or fails.
    /// True if that changed anything.
    public mutating func timePassed(_ now: Timestamp) -> Bool {
        guard operation.state == .running, !isFrozen, let current = operation.currentStep else { return false }
        // A freeze kept one without a time from beginning.
        if current.state == .pending, current.retryAt == nil {
            start(current.name, now)
            return true
        }
        switch isDue(current, now) {
        case .no: return false
        case .fromNowOn: return true
        case .yes: break
        }
        if current.state == .pending {
            start(current.name, now)
            return true
        }
        let silence = StepPolicy.of(current.name).silence
        failed(
            current.name,
            Problem(
                "no-sign-of-life", title: "\(current.name.rawValue): no sign of life from \(machine.name) for \(silence)",
                detail: "Last heard: \(machine.observed.lastSeen.map { "\($0)" } ?? "never").\(current.wordsOfBMC)",
                remedy: mayHaveStarted(current.name)
                    ? machine.adviceOnUnproved : "Look at its console and its power. hostler machine show \(machine.id) tells what is known."),
            now)
        return true
    }

    /// A person wants it to end.
    public mutating func cancel(by actor: String, _ now: Timestamp) throws(Problem) {
        guard operation.isOpen else {
            throw Problem(
                "operation-over", status: 409, title: "Operation \(operation.id) is over: \(operation.state.rawValue)")
        }
        if operation.kind == .install, operation.isDone(.restart) {
            throw Problem(
                "operation-past-return", status: 409, title: "The machine has already been restarted into its new system",
                remedy: "Wait for its proof or its deadline; then wipe it if it is not wanted.")
        }
        operation.cancelRequested = true
        note("operation.cancelled", by: actor, "\(operation.kind.rawValue) of \(machine.name) cancelled")
        if let current = operation.currentStep {
            update(current.name) {
                $0.state = .undone
                $0.finishedAt = now
            }
        }
        let wipeHasBegun = hasBegunWiping
        let hasBegun = operation.state != .waiting
        end(.cancelled, now)
        // A wipe that was cut short has proved nothing. A disk that an installation has begun to write
        // is not bootable, and its system went out of the record when the writing began.
        if hasBegun { machine.state = wipeHasBegun ? .wiping : machine.restingState }
        if wipeHasBegun {
            hold(
                Problem(
                    "wipe-cancelled", title: "The wipe was cancelled: its disks are not proved clean",
                    remedy: "Release the hold, then start the wipe again."), now)
        }
    }

    /// How an operation ends that a backup shows as open: what became of it is not known.
    static let restoredCode = "restored-from-backup"

    /// The store came from a backup: what was under way then says nothing about now.
    public mutating func storeWasRestored(_ now: Timestamp) {
        let problem = Problem(
            Self.restoredCode, title: "The store was restored from a backup while this operation was open in it",
            detail: "The machine may have gone on since. Its next boot into the agent tells what is on its disks.",
            remedy: "Check the machine, then ask for the work again.")
        operation.problem = problem
        let wipeHasBegun = hasBegunWiping
        let hasBegun = operation.state != .waiting
        end(.failed, now)
        if hasBegun { machine.state = wipeHasBegun ? .wiping : machine.restingState }
        if wipeHasBegun { hold(problem, now) }
        note("operation.failed", by: "control", "\(operation.kind.rawValue) of \(machine.name): \(problem.title)")
    }

    // MARK: Parts

    private var hasBegunWiping: Bool { (operation.step(.wipeDisks)?.attempts ?? 0) > 0 }

    private mutating func succeed(_ name: StepName, evidence: [String: String], _ now: Timestamp) {
        update(name) {
            $0.startedAt = $0.startedAt ?? now
            $0.state = .succeeded
            $0.finishedAt = now
            $0.waitsNoMore()
            $0.problem = nil
            $0.evidence = EvidenceFacts.merged($0.evidence, evidence)
        }
        note("step.succeeded", by: name.isAgentWork ? "agent" : "control", "\(name.rawValue) of \(machine.name) done", evidence)
        if name == .verifyWipe, case .wipe(let request) = operation.request { machine.noteWiped(request.disks ?? []) }
        // Until its restart is over the agent still has its log to send.
        if name == .firstBoot { machine.observed.agent = nil }
        if operation.currentStep == nil { complete(now) } else { startNextStep(now) }
    }

    private mutating func startNextStep(_ now: Timestamp) {
        guard let next = operation.currentStep, !(isFrozen && next.name.changesMachine) else { return }
        start(next.name, now)
    }

    mutating func start(_ name: StepName, _ now: Timestamp) {
        // From here on the disk does not hold what the record says: no boot may be sent to it.
        let taken = [machine.installed, machine.unproved].compactMap(\.self).filter { takes($0, name) }
        if taken.contains(where: { $0 == machine.installed }) { machine.installed = nil }
        if taken.contains(where: { $0 == machine.unproved }) { machine.unproved = nil }
        // Nobody knows which disk a lost one is on.
        if name == .writeImage || !taken.isEmpty { machine.lostOperation = nil }
        // Whoever asked for that has given the machine's disks away.
        if name == .writeImage || name == .wipeDisks { machine.takeDisks() }
        let uptime = uptime
        update(name) {
            $0.state = .running
            $0.attempts += 1
            $0.startedAt = now
            $0.begun = uptime
            $0.retryAt = nil
            $0.waits(StepPolicy.of(name).silence, now, uptime)
        }
    }

    /// Whether a recorded system does not start any more once this step begins: its disk is written over or wiped. A system on
    /// another disk than the installation's stays whole until the seed is written, and is put out of force then.
    private func takes(_ system: Installation, _ name: StepName) -> Bool {
        switch (name, operation.request) {
        case (.writeImage, .install(var install)):
            install.target = operation.installTarget
            return machine.systemIsOn(install, system: system)
        case (.writeSeed, .install): return true
        case (.wipeDisks, .wipe(let wipe)): return wipe.wipes(system, disks: machine.observed.inventory?.disks ?? [])
        default: return false
        }
    }

    private mutating func failed(_ name: StepName, _ problem: Problem, _ now: Timestamp) {
        let attempts = operation.step(name)?.attempts ?? 0
        guard StepPolicy.finalCodes.contains(problem.code) || attempts >= StepPolicy.of(name).attempts else {
            note("step.retried", by: "control", "\(name.rawValue) of \(machine.name) is tried again: \(problem.title)")
            retry(name, because: problem, now)
            return
        }
        update(name) {
            $0.state = .failed
            $0.finishedAt = now
            $0.waitsNoMore()
            $0.problem = problem
        }
        operation.problem = problem
        note("operation.failed", by: "control", "\(operation.kind.rawValue) of \(machine.name) failed: \(problem.title)")
        end(.failed, now)
        if mayHaveStarted(name) { machine.unproved = operation.installation(hostKeys: [], provedAt: now) }
        // A system that was not touched goes on running: its machine's next boot is to its disk.
        if machine.installed != nil { machine.state = .running }
        hold(problem, now)
    }

    private mutating func retry(_ name: StepName, because problem: Problem?, _ now: Timestamp) {
        let attempts = operation.step(name)?.attempts ?? 0
        update(name) {
            $0.problem = problem ?? $0.problem
            $0.progress = nil
            $0.waitsNoMore()
        }
        if problem == nil {
            // A boot is not a failure of the step, but a machine that boots for ever is one of the machine.
            guard attempts < 20 else {
                failed(
                    name,
                    Problem(
                        "boot-loop", title: "\(machine.name) has booted \(attempts) times during \(name.rawValue)",
                        remedy: "Look at its console: something resets it."), now)
                return
            }
            guard !(isFrozen && name.changesMachine) else {
                update(name) {
                    $0.state = .pending
                    $0.retryAt = nil
                }
                return
            }
            start(name, now)
        } else {
            let uptime = uptime
            update(name) {
                $0.state = .pending
                $0.pauses(StepPolicy.backoff(beforeAttempt: attempts + 1), now, uptime)
            }
        }
    }

    private mutating func complete(_ now: Timestamp) {
        end(.succeeded, now)
        machine.state = machine.restingState
        note("operation.succeeded", by: "control", "\(operation.kind.rawValue) of \(machine.name) succeeded")
    }

    private mutating func end(_ state: OperationState, _ now: Timestamp) {
        operation.state = state
        operation.finishedAt = now
        machine.openOperation = nil
        dropsSecrets = true
    }

    private mutating func hold(_ problem: Problem, _ now: Timestamp) {
        // The operation's id makes the hold's: the same failure holds once.
        let id = HoldID(unchecked: "hold-" + operation.id.rawValue.dropFirst(3))
        guard !machine.holds.contains(where: { $0.id == id }) else { return }
        machine.holds.append(Hold(id: id, problem: problem, operation: operation.id, since: now))
        note("machine.held", by: "control", "\(machine.name) is on hold: \(problem.title)")
    }

    mutating func update(_ name: StepName, _ change: (inout Step) -> Void) {
        guard let index = operation.steps.firstIndex(where: { $0.name == name }) else { return }
        change(&operation.steps[index])
    }

    mutating func note(_ kind: String, by actor: String, _ message: String, _ evidence: [String: String] = [:]) {
        events.append(Happening(kind: kind, actor: actor, message: message, evidence: evidence))
    }
}
