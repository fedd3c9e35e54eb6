public import Model
public import Store
internal import Wire

/// What of a machine people may change.
public struct MachinePatch: Codable, Sendable {
    public var name: String?
    public var hostname: String?
    /// Null removes a label.
    public var labels: [String: String?]?
    /// Null removes a tag.
    public var tags: [String: String?]?
    /// All keys; an empty list removes them.
    public var sshKeys: [String]?
    public var userData: UserDataPatch?
    /// One without links removes it.
    public var network: NetworkConfig?
    public var lease: LeasePatch?

    public init(
        name: String? = nil, hostname: String? = nil, labels: [String: String?]? = nil, tags: [String: String?]? = nil,
        sshKeys: [String]? = nil, userData: UserDataPatch? = nil, network: NetworkConfig? = nil,
        lease: LeasePatch? = nil
    ) {
        self.name = name
        self.hostname = hostname
        self.labels = labels
        self.tags = tags
        self.sshKeys = sshKeys
        self.userData = userData
        self.network = network
        self.lease = lease
    }
}

extension ControlPlane {
    /// A machine by its id or its name.
    public func machine(named name: String) async throws -> Versioned<Machine> {
        if let id = MachineID(rawValue: name), let found = try await records.get(Machine.self, id: id.rawValue) {
            return found
        }
        // Swift compares text by canonical equivalence, as NFC would.
        if let known = snapshot.machines.values.first(where: { $0.name.text == name }),
            let found = try await records.get(Machine.self, id: known.id.rawValue)
        {
            return found
        }
        try refuseDamaged(name: name)
        throw Problem.notFound("machine", name)
    }

    public func update(
        machine name: String, with patch: MachinePatch, expecting: Revision?, by actor: String
    ) async throws -> Versioned<Machine> {
        try await edit(machine: name, expecting: expecting, kind: "machine.changed", by: actor) { machine, also in
            also = try patch.applyMetadata(to: &machine, now: self.now)
            if let text = patch.name {
                let wanted = try DisplayName(text)
                if let other = self.snapshot.machines.values.first(where: { $0.name == wanted && $0.id != machine.id }) {
                    throw Problem("name-taken", status: 409, title: "Machine \(other.id) has the name “\(text)” already")
                }
                try self.refuseDamaged(name: text)
                machine.name = wanted
            }
            if let hostname = patch.hostname {
                guard HostLabel.isValid(hostname) else {
                    throw Problem(
                        "hostname-invalid", status: 422, title: "“\(hostname)” is not a host name",
                        remedy: "Use 1 to 63 of a–z, 0–9 and dash.")
                }
                machine.desired.hostname = hostname
            }
            if let lease = patch.lease { machine.desired.lease = try lease.applied(to: machine.desired.lease, now: self.now) }
            for (key, value) in patch.labels ?? [:] {
                guard (1...63).contains(key.utf8.count), value?.utf8.count ?? 0 <= 255 else {
                    throw Problem(
                        "label-length", status: 422, title: "Label “\(key)” is too long",
                        remedy: "Keys have at most 63 bytes, values 255.")
                }
                machine.desired.labels[key] = value
            }
            guard machine.desired.labels.count <= 64 else {
                throw Problem("labels-too-many", status: 422, title: "More than 64 labels")
            }
            return "\(machine.name) changed"
        }
    }

    /// Puts a machine on hold, unless it is for the same reason already.
    func hold(_ machine: MachineID, _ problem: Problem, by actor: String) async throws {
        let known = try await self.machine(named: machine.rawValue).value
        guard !known.holds.contains(where: { $0.problem.code == problem.code && $0.problem.title == problem.title }) else { return }
        _ = try await edit(machine: machine.rawValue, expecting: nil, kind: "machine.held", by: actor) { machine, _ in
            machine.holds.append(Hold(id: HoldID.random(length: 8), problem: problem, operation: nil, since: self.now))
            return "\(machine.name) is on hold: \(problem.title)"
        }
    }

    /// Says that a person looked, and that work may go on. A system that may run stays in the record.
    ///
    /// - Parameter agreement: the confirmation of what that costs (``Consequence``).
    public func releaseHold(_ id: HoldID, on name: String, by actor: String, agreement: String? = nil) async throws -> Machine {
        try refuseWhileFrozen()
        let left = try await systemLeft(by: id, on: machine(named: name).value)
        return try await edit(machine: name, expecting: nil, kind: "machine.released", by: actor) { machine, _ in
            try self.consequence(of: .release(id), on: machine).check(agreement)
            guard let hold = machine.holds.first(where: { $0.id == id }) else {
                throw Problem.notFound("hold", id.rawValue, remedy: "See hostler machine show \(machine.id)")
            }
            machine.holds.removeAll { $0.id == id }
            if machine.installed == nil, machine.openOperation == nil { machine.unproved = machine.unproved ?? left }
            // A wipe that is not proved keeps its disks out of the pool; everything else may be tried again.
            if machine.holds.isEmpty, machine.openOperation == nil, machine.state != .wiping { machine.state = machine.restingState }
            let system = machine.unproved.map { "; the system of \($0.operation) may run, and the machine boots its disk" } ?? ""
            return "hold on \(machine.name) released: \(hold.problem.title)" + system
        }.value
    }

    /// Forgets a machine. It is discovered anew when it boots from the network.
    ///
    /// - Parameter agreement: the confirmation of what that costs (``Consequence``).
    public func delete(machine name: String, by actor: String, agreement: String? = nil) async throws {
        try refuseWhileFrozen()
        let found = try await machine(named: name)
        try consequence(of: .delete, on: found.value).check(agreement)
        let gone = OperationTransition.Happening(kind: "machine.deleted", actor: actor, message: "\(found.value.name) deleted")
        let revision = try await records.store.commitUnlessConflict([
            .delete(key: found.value.key, if: .revision(found.revision)),
            .delete(key: StoredUserData.key(found.value.id), if: .none), .check(key: Freeze.key, .absent),
            try event(gone, machine: found.value.id, operation: nil).put(.absent),
        ])
        guard let revision else { throw Self.changedMeanwhile }
        await snapshots.reached(revision)
        forgetAgent(of: found.value.id)
    }

    /// The last lines that a machine's agent said.
    public func agentLog(machine name: String) async throws -> [String] {
        logs.all(of: try await machine(named: name).value.id)
    }

    static let changedMeanwhile = Problem(
        "changed-meanwhile", status: 412, title: "Somebody else changed it meanwhile", remedy: "Read it again, then change it.")

    func edit(
        machine name: String, expecting: Revision?, kind: String, by actor: String, evidence: [String: String] = [:],
        _ body: (inout Machine, inout [Mutation]) throws -> String
    ) async throws -> Versioned<Machine> {
        for _ in 0..<Self.conflictLimit {
            let found = try await machine(named: name)
            if let expecting, expecting != found.revision { throw Self.changedMeanwhile }
            var machine = found.value
            var also: [Mutation] = []
            let message = try body(&machine, &also)
            machine.updatedAt = now
            let happening = OperationTransition.Happening(kind: kind, actor: actor, message: message, evidence: evidence)
            let revision = try await records.store.commitUnlessConflict(
                [
                    try machine.put(.revision(found.revision)),
                    try event(happening, machine: machine.id, operation: nil).put(.absent),
                ] + also)
            guard let revision else { continue }
            await snapshots.reached(revision)
            return Versioned(value: machine, revision: revision)
        }
        throw Self.tooManyConflicts
    }
}
