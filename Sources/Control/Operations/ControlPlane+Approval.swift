public import Model
internal import Store

extension ControlPlane {
    /// The second word: an operation that waits begins.
    ///
    /// - Parameter agreement: the confirmation of what it destroys, as it is now.
    public func approve(_ id: OperationID, by actor: String, agreement: String? = nil) async throws -> Model.Operation {
        for _ in 0..<Self.conflictLimit {
            let operation = try await operation(id)
            let machine = try await waiting(operation.value)
            try await consequence(ofApproving: operation.value, on: machine.value).check(agreement)
            let verdict = try await brake(operation.value.request, on: machine.value, as: id, isApproved: true)
            var transition = OperationTransition(machine: machine.value, operation: operation.value, uptime: uptime)
            transition.approve(by: actor, now)
            let mutations = [verdict.mutation, .check(key: Freeze.key, .absent)].compactMap(\.self)
            let isDone = try await commit(
                transition, machineRevision: machine.revision, operation: .revision(operation.revision), also: mutations)
            if isDone { return transition.operation }
            if let freeze = try await storedFreeze() { throw freeze.refusal }
        }
        throw Self.tooManyConflicts
    }

    func consequence(ofApproving operation: Model.Operation, on machine: Machine) async throws -> Consequence {
        .of(operation.request, on: machine, hasUserData: !(operation.warnings ?? []).contains { $0.code == "no-way-in" }, at: now)
    }

    /// The machine of an operation that may be approved now.
    func waiting(_ operation: Model.Operation) async throws -> Versioned<Machine> {
        guard operation.state == .waiting else {
            throw Problem(
                "operation-not-waiting", status: 409, title: "Operation \(operation.id) waits for no second word: it is \(operation.state.rawValue)")
        }
        let machine = try await machine(named: operation.machine.rawValue)
        if let hold = machine.value.holds.first { throw Self.held(machine.value, hold) }
        return machine
    }
}

extension OperationTransition {
    /// Somebody gave the second word: it begins.
    mutating func approve(by actor: String, _ now: Timestamp) {
        guard operation.state == .waiting else { return }
        operation.state = .running
        operation.problem = nil
        operation.approvedBy = actor
        machine.state = operation.request.machineState
        note("operation.approved", by: actor, "\(operation.kind.rawValue) of \(machine.name) was approved, and begins")
        if let first = operation.currentStep { start(first.name, now) }
    }

    /// Time that passed in a freeze does not count.
    mutating func renewDeadline(_ now: Timestamp) {
        guard operation.state == .running, let current = operation.currentStep, current.state == .running else { return }
        let uptime = uptime
        update(current.name) { $0.waits(StepPolicy.of(current.name).silence, now, uptime) }
    }
}
