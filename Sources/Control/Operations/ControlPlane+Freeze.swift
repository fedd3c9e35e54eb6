public import Model
internal import Store

extension Freeze {
    /// Beside machines and operations, so that one watch brings all to the snapshot.
    static let key = "/rack/freeze"

    /// One that cannot be read freezes all the same.
    static func decode(_ stored: StoredValue) -> Freeze {
        (try? RecordCoding.decode(Freeze.self, from: stored))
            ?? Freeze(reason: "the record of the freeze cannot be read", by: "control", since: Timestamp(milliseconds: 0))
    }
}

extension ControlPlane {
    /// What holds now, as the snapshot has it; nil: the rack is not frozen.
    public var freeze: Freeze? { snapshot.freeze }

    /// As the store has it: nothing is newer.
    func storedFreeze() async throws -> Freeze? { try await records.store.get(Freeze.key).map(Freeze.decode) }

    /// Throws where nothing may change a machine now.
    func refuseWhileFrozen() throws(Problem) {
        if let freeze = snapshot.freeze { throw freeze.refusal }
    }

    /// Stops all that would change machines, until it is ended by ``thaw(by:)``. Survives restarts.
    public func beginFreeze(_ reason: String, by actor: String) async throws -> Freeze {
        let isPlain = reason.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control }
        guard (1...Freeze.reasonLimitBytes).contains(reason.utf8.count), isPlain, reason.contains(where: { !$0.isWhitespace }) else {
            throw Problem(
                "freeze-reason", status: 422, title: "A freeze needs a reason, on one line and of at most \(Freeze.reasonLimitBytes) bytes",
                remedy: "As in: hostler freeze \"the cooling of row 2 has failed\"")
        }
        let freeze = Freeze(reason: reason, by: actor, since: now)
        let happening = OperationTransition.Happening(
            kind: "rack.frozen", actor: actor, message: "The rack is frozen: \(reason)", evidence: ["reason": reason])
        let revision = try await records.store.commitUnlessConflict([
            .put(key: Freeze.key, value: try RecordCoding.encode(freeze), if: .absent),
            try event(happening, machine: nil, operation: nil).put(.absent),
        ])
        guard let revision else {
            let known = try await storedFreeze()
            throw Problem(
                "frozen-already", status: 409,
                title: "The rack is frozen already\(known.map { ", by \($0.by) since \($0.since): \($0.reason)" } ?? "")",
                remedy: "See: hostler status")
        }
        await snapshots.reached(revision)
        return freeze
    }

    /// Lets operations go on. False: the rack was not frozen.
    public func thaw(by actor: String) async throws -> Bool {
        guard let stored = try await records.store.get(Freeze.key) else { return false }
        let freeze = Freeze.decode(stored)
        // Before the end of the freeze: a kill in between leaves it in force, with time to spare.
        for machine in snapshot.machines.values where snapshot.openOperation(of: machine) != nil {
            try await change(machine.id) { transition, now in transition.renewDeadline(now) }
        }
        let happening = OperationTransition.Happening(
            kind: "rack.thawed", actor: actor, message: "The rack is no longer frozen; it was since \(freeze.since): \(freeze.reason)",
            evidence: ["frozenBy": freeze.by, "reason": freeze.reason])
        let revision = try await records.store.commitUnlessConflict([
            .delete(key: Freeze.key, if: .revision(stored.modifiedRevision)), try event(happening, machine: nil, operation: nil).put(.absent),
        ])
        guard let revision else { throw Self.changedMeanwhile }
        await snapshots.reached(revision)
        return true
    }
}
