internal import FoundationEssentials
public import Model
public import Store

extension ControlPlane {
    /// Starts work on a machine, or says why it cannot be.
    ///
    /// - Parameter agreement: the confirmation of what it destroys (``Consequence``), where it destroys something.
    public func start(
        _ request: OperationRequest, on name: String, by actor: String, agreement: String? = nil
    ) async throws -> Model.Operation {
        try await start(request, on: name, by: actor, agreeing: .to(agreement)).operation
    }

    /// What became of a request to start: what was started, or would have been.
    struct Start {
        var operation: Model.Operation
        var consequence: Consequence
    }

    enum Agreement {
        case to(String?)
        /// Nothing is written: only the consequence is wanted.
        case dryRun
    }

    func start(_ request: OperationRequest, on name: String, by actor: String, agreeing agreement: Agreement) async throws -> Start {
        let images = ImageLocks.Start(imageLocks)
        defer { images.end() }
        for _ in 0..<Self.conflictLimit {
            let found = try await machine(named: name)
            let machine = found.value
            try refuseWhileFrozen()
            try refuseIfBusy(machine, request)
            var mutations: [Mutation] = []
            var request = request
            var verifiers: KeyVerifiers?
            var hasUserData = false
            var former = FormerSystems()
            var id = OperationID.random(length: 8)
            while try await records.get(Model.Operation.self, id: id.rawValue) != nil { id = .random(length: 8) }
            if case .wipe(let wanted) = request { request = .wipe(try DiskAdmission.pinned(wanted, machine: machine)) }
            if case .rescue(let wanted) = request { try InstallAdmission.check(keys: wanted.sshKeys) }
            if case .install(let wanted) = request {
                let image = try await self.images.image(named: wanted.image)
                if let image { try images.use(image.digest) }
                var pinned = try InstallAdmission.check(wanted, image: image, machine: machine)
                // One image, one name in the record: not `debian-12:latest` beside `debian-12`.
                pinned.image = image?.name ?? pinned.image
                if pinned.userData == nil, let data = try await storedUserData(of: machine.id) {
                    // It may have been set by an earlier version, which did not look.
                    try UserDataAdmission.check(data)
                    pinned.userData = Base64Bytes(base64: Data(data).base64EncodedString())
                }
                hasUserData = pinned.userData.map { !$0.text.isEmpty } ?? false
                former = formerSystems(of: machine, besides: pinned, as: id)
                pinned.retires = former.retired
                if let image { try FitAdmission.check(pinned, image: image, machine: machine) }
                let access = image?.properties.userDataAccess.flatMap(UserDataAccess.init(rawValue:))
                let secrets = SeedSecrets(for: pinned, of: machine.id, access: access)
                verifiers = secrets.keys?.verifiers
                mutations.append(try secrets.put(for: id))
                // Only the seed needs them; they may hold secrets, and an operation is shown to viewers.
                pinned.userData = nil
                pinned.networkConfig = nil
                request = .install(pinned)
            }
            let brake = try await brake(request, on: machine, as: id)
            var consequence = Consequence.of(request, on: machine, hasUserData: hasUserData, at: now, waits: brake.objection)
            consequence.warnings += former.warnings
            var transition = OperationTransition.begin(
                id: id, request: request, machine: machine, by: actor, now: now, uptime: uptime, waits: brake.objection)
            transition.operation.madeAfter = try await records.store.currentRevision().rawValue
            transition.operation.keyVerifiers = verifiers
            if request.kind == .install { transition.operation.seedNamesOperation = true }
            transition.operation.warnings = consequence.warnings.isEmpty ? nil : consequence.warnings
            let started = Start(operation: transition.operation, consequence: consequence)
            guard case .to(let confirmation) = agreement else { return started }
            try consequence.check(confirmation)
            mutations += [brake.mutation, .check(key: Freeze.key, .absent)].compactMap(\.self)
            if try await commit(transition, machineRevision: found.revision, operation: .absent, also: mutations) { return started }
            if let freeze = try await storedFreeze() { throw freeze.refusal }
        }
        throw Self.tooManyConflicts
    }

    public func operation(_ id: OperationID) async throws -> Versioned<Model.Operation> {
        guard let found = try await records.get(Model.Operation.self, id: id.rawValue) else {
            throw Problem.notFound("operation", id.rawValue)
        }
        return found
    }

    public func cancel(_ id: OperationID, by actor: String) async throws -> Model.Operation {
        let operation = try await operation(id).value
        guard operation.isOpen else {
            throw Problem("operation-over", status: 409, title: "Operation \(id) is over: \(operation.state.rawValue)")
        }
        let changed = try await change(operation.machine) { transition, now in
            guard transition.operation.id == id else {
                throw Problem("operation-over", status: 409, title: "Operation \(id) is over")
            }
            try transition.cancel(by: actor, now)
        }
        guard let changed else { throw Problem("operation-over", status: 409, title: "Operation \(id) is over") }
        return changed.operation
    }

    static let conflictLimit = 50
    static let tooManyConflicts = Problem(
        "too-busy", status: 503, title: "The record changed again and again meanwhile", remedy: "Try again.")

    static func held(_ machine: Machine, _ hold: Hold) -> Problem {
        Problem(
            "machine-held", status: 409, title: "\(machine.name) is on hold: \(hold.problem.title)",
            detail: hold.problem.detail, remedy: "Once it is put right: hostler machine release \(machine.id) \(hold.id)")
    }

    private func refuseIfBusy(_ machine: Machine, _ request: OperationRequest) throws(Problem) {
        if let open = machine.openOperation {
            throw Problem(
                "machine-busy", status: 409, title: "\(machine.name) has an open operation: \(open)",
                remedy: "Wait for it, or: hostler operation cancel \(open)")
        }
        if let hold = machine.holds.first { throw Self.held(machine, hold) }
        if machine.state == .wiping, request.kind != .wipe {
            throw Problem(
                "machine-not-clean", status: 409, title: "\(machine.name) has disks that were not proved to be wiped",
                remedy: "Wipe it: hostler machine wipe \(machine.id)")
        }
    }

    /// Computes a transition of a machine's open operation and commits it, again
    /// if somebody else was quicker. Nil if no operation is open.
    @discardableResult
    func change(
        _ id: MachineID, _ body: (inout OperationTransition, Timestamp) throws -> Void
    ) async throws -> OperationTransition? {
        var isFrozen = snapshot.freeze != nil
        for _ in 0..<Self.conflictLimit {
            guard let machine = try await records.get(Machine.self, id: id.rawValue), let open = machine.value.openOperation,
                let operation = try await records.get(Model.Operation.self, id: open.rawValue)
            else { return nil }
            var before = OperationTransition(machine: machine.value, operation: operation.value, uptime: uptime)
            before.isFrozen = isFrozen
            var transition = before
            try body(&transition, now)
            guard transition != before else { return transition }
            attachEvidence(&transition)
            let done = try await commit(
                transition, machineRevision: machine.revision, operation: .revision(operation.revision),
                machineChanged: transition.machine != before.machine,
                also: isFrozen ? [] : [.check(key: Freeze.key, .absent)])
            if done { return transition }
            isFrozen = try await storedFreeze() != nil
        }
        throw Self.tooManyConflicts
    }

    private static let failures: Set<String> = ["operation.failed", "step.retried"]

    /// A new hold, and the event of a failure, carry what the machine last said: its agent, and its serial console.
    func attachEvidence(_ transition: inout OperationTransition) {
        let console = consoles.tail(of: transition.machine.id)
        let tail = logs.tail(of: transition.machine.id) + (console.isEmpty ? [] : ["--- its serial console ---"] + console)
        for index in transition.machine.holds.indices where transition.machine.holds[index].evidence.isEmpty {
            transition.machine.holds[index].evidence = tail
        }
        guard !console.isEmpty else { return }
        for index in transition.events.indices where Self.failures.contains(transition.events[index].kind) {
            transition.events[index].evidence["console"] = console.joined(separator: "\n")
        }
    }

    /// False where somebody else changed the record meanwhile.
    func commit(
        _ transition: OperationTransition, machineRevision: Revision, operation precondition: Precondition,
        machineChanged: Bool = true, also mutations: [Mutation] = []
    ) async throws -> Bool {
        var all = mutations
        var machine = transition.machine
        if machineChanged {
            machine.updatedAt = now
            all.append(try machine.put(.revision(machineRevision)))
        } else {
            all.append(.check(key: machine.key, .revision(machineRevision)))
        }
        all.append(try transition.operation.put(precondition))
        // Its deadline is reckoned from now on: no start of the server may go back behind that.
        if precondition == .absent { all.append(try clockMark()) }
        for happening in transition.events {
            all.append(try event(happening, machine: machine.id, operation: transition.operation.id).put(.absent))
        }
        if transition.dropsSecrets { all.append(.delete(key: SeedSecrets.key(transition.operation.id), if: .none)) }
        guard let revision = try await records.store.commitUnlessConflict(all) else { return false }
        // The gate must not answer a machine's next boot from what was before.
        await snapshots.reached(revision)
        return true
    }

    /// Moves operations whose step was silent too long, or is to be tried again.
    func keepDeadlines() async throws {
        while !Task.isCancelled {
            try await timePassed()
            try await tellDamage()
            try await Task.sleep(for: .milliseconds(500))
        }
    }

    /// What time alone brings about, as of now.
    func timePassed() async throws {
        do {
            try await watchClock()
        } catch StoreError.closed {
            throw StoreError.closed
        } catch {
            environment.logger.error("the clock's mark could not be kept; tried again", metadata: ["error": "\(error)"])
        }
        // In a freeze no time passes for them.
        for machine in snapshot.freeze == nil ? Array(snapshot.machines.values) : [] {
            guard let operation = snapshot.openOperation(of: machine) else { continue }
            var probe = OperationTransition(machine: machine, operation: operation, uptime: uptime)
            guard probe.timePassed(now) else { continue }
            do {
                try await change(machine.id) { transition, now in _ = transition.timePassed(now) }
            } catch StoreError.closed {
                throw StoreError.closed
            } catch {
                // A full disk or a busy record passes; machines must boot meanwhile. It is tried again the next time.
                environment.logger.error(
                    "a deadline could not be kept", metadata: ["machine": "\(machine.id)", "error": "\(error)"])
            }
        }
        try await endLeases()
    }

    func event(_ happening: OperationTransition.Happening, machine: MachineID?, operation: OperationID?) -> Event {
        let now = now
        return Event(
            id: eventIDs.next(now), at: now, kind: happening.kind, machine: machine, operation: operation,
            actor: happening.actor, message: happening.message, evidence: happening.evidence)
    }

    /// Adds to the audit log.
    public func recordEvent(
        kind: String, machine: MachineID? = nil, operation: OperationID? = nil, actor: String, message: String,
        evidence: [String: String] = [:]
    ) async throws {
        let happening = OperationTransition.Happening(kind: kind, actor: actor, message: message, evidence: evidence)
        try await records.store.commit([try event(happening, machine: machine, operation: operation).put(.absent)])
    }

    /// Tells that the store lost revisions, once for all starts: with the event goes what the store keeps of it.
    public func recordLoss(_ loss: RevisionLoss, message: String) async throws {
        let happening = OperationTransition.Happening(
            kind: "store.revisions-lost", actor: "control", message: message,
            evidence: ["first": loss.first.description, "last": loss.last.description])
        try await records.store.commit([try event(happening, machine: nil, operation: nil).put(.absent), .delete(key: RevisionLoss.key, if: .none)])
    }
}

extension ResourceID {
    static func random(length: Int) -> Self {
        var generator = SystemRandomNumberGenerator()
        return random(length: length, using: &generator)
    }
}
