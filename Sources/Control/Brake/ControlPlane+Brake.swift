internal import Model
internal import Store

// The brake: what begins is written into the ledger by the transaction that begins it, so of two at the same time the
// second counts the first.
extension ControlPlane {
    /// What the brake says of one more.
    struct BrakeVerdict {
        /// Why it waits; nil: it may begin, with `mutation`.
        var objection: Problem?
        /// Counts it; to be committed with what begins.
        var mutation: Mutation?
    }

    /// Has a ledger of before the host's start go on in its present uptime: from here on its entries grow older again.
    func settleBrake() async throws {
        guard environment.brake != nil, let stored = try await records.store.get(BrakeLedger.key),
            var ledger = try? RecordCoding.decode(BrakeLedger.self, from: stored), !ledger.isOf(environment.uptime())
        else { return }
        ledger.advance(to: environment.uptime()) { _ in true }
        _ = try await records.store.commitUnlessConflict([
            .put(key: BrakeLedger.key, value: try RecordCoding.encode(ledger), if: .revision(stored.modifiedRevision))
        ])
    }

    /// - Parameter isApproved: an admin has given the second word: it is counted, and not held up.
    func brake(
        _ request: OperationRequest, on machine: Machine, as id: OperationID, isApproved: Bool = false
    ) async throws -> BrakeVerdict {
        guard let kind = BrakedKind(request, on: machine) else { return BrakeVerdict() }
        return try await brake(
            kind, machine: machine.id, operation: id, isApproved: isApproved,
            remedy: "An admin lets it begin with: hostler operation approve \(id)")
    }

    private func brake(
        _ kind: BrakedKind, machine: MachineID, operation: OperationID?, isApproved: Bool, remedy: String
    ) async throws -> BrakeVerdict {
        guard let limits = environment.brake else { return BrakeVerdict() }
        let stored = try await records.store.get(BrakeLedger.key)
        let now = environment.uptime()
        // One that cannot be read counts for nothing here, and everything else goes on.
        var ledger = stored.flatMap { try? RecordCoding.decode(BrakeLedger.self, from: $0) } ?? BrakeLedger(now)
        var open: Set<OperationID> = []
        for id in ledger.entries.compactMap(\.operation) {
            // The snapshot may not have one yet that was begun a moment ago.
            let known = snapshot.operations[id]
            let operation = if let known { known } else { try await records.get(Model.Operation.self, id: id.rawValue)?.value }
            if operation?.isOpen == true { open.insert(id) }
        }
        ledger.advance(to: now) { open.contains($0) }
        let underWay =
            ledger.entries.count { $0.kind == kind && $0.operation.map(open.contains) == true }
            + (kind == .powerOff ? powerOffs.withLock { $0 } : 0)
        let objection = isApproved ? nil : limits.objection(to: kind, begun: ledger.begun(kind), open: underWay, remedy: remedy)
        if let objection { return BrakeVerdict(objection: objection) }
        ledger.add(kind, machine: machine, operation: operation)
        return BrakeVerdict(
            mutation: .put(
                key: BrakeLedger.key, value: try RecordCoding.encode(ledger), if: stored.map { .revision($0.modifiedRevision) } ?? .absent))
    }

    /// Counts a machine that is about to be switched off, or throws where that is beyond the limits.
    ///
    /// - Parameter isApproved: an admin said that it may be beyond them.
    func countPowerOff(of machine: MachineID, isApproved: Bool) async throws {
        for _ in 0..<Self.conflictLimit {
            let verdict = try await brake(
                .powerOff, machine: machine, operation: nil, isApproved: isApproved,
                remedy: "An admin does it all the same with: hostler machine power … --beyond-limits")
            if let objection = verdict.objection { throw objection }
            guard let mutation = verdict.mutation else { return }
            if try await records.store.commitUnlessConflict([mutation, .check(key: Freeze.key, .absent)]) != nil { return }
            if let freeze = try await storedFreeze() { throw freeze.refusal }
        }
        throw Self.tooManyConflicts
    }
}
