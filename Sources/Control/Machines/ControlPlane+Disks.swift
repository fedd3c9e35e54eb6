public import Model
internal import Store
public import Wire

// Machines whose disks hold what nobody here put there, and those that a person puts into the record.
extension ControlPlane {
    /// The disks with a marker that this control plane made. Whoever wrote another on a disk had no key for it.
    func markedDisks(_ inventory: Inventory) -> Set<String> {
        Set(inventory.installations.filter { markers.isSealed($0.record) }.map(\.disk))
    }

    /// That disks with foreign contents were found, where that is news.
    func foreignDisksFound(
        on machine: Machine, _ before: ObservedMachine, evidence: [String: String]
    ) -> OperationTransition.Happening? {
        guard let contents = machine.foreignContents, machine.observed.foreignDisks != before.foreignDisks, machine.systemOnDisk == nil
        else { return nil }
        var facts = evidence
        let names = DiskNames(machine.observed.inventory?.disks ?? [])
        for name in machine.observed.foreignDisks ?? [] {
            facts["disk \(name)"] = names.disk(recordedAs: name).flatMap { names.disks[$0].contents?.summary } ?? "not readable here"
        }
        return .init(
            kind: "machine.foreign-contents", actor: "control",
            message: "\(machine.name): \(contents). Nothing was written; without work it boots its own disk. "
                + "If nobody needs that any more: hostler machine take \(machine.id)",
            evidence: EvidenceFacts.bounded(facts))
    }

    /// A person gives a machine's disks to Hostler: from now on it waits in the agent, whatever they hold. Nothing is written.
    ///
    /// - Parameter agreement: the confirmation of what that costs (``Consequence``).
    public func takeDisks(of name: String, by actor: String, agreement: String? = nil) async throws -> Machine {
        try refuseWhileFrozen()
        let known = try await machine(named: name).value
        guard known.observed.inventory != nil else {
            throw Problem(
                "machine-not-inspected", status: 409, title: "\(known.name) was not inspected yet, so nobody knows which disks it has",
                remedy: "hostler machine inspect \(known.id), then start it from the network.")
        }
        let contents = known.foreignContents
        return try await edit(
            machine: known.id.rawValue, expecting: nil, kind: "machine.taken", by: actor, evidence: contents.map { ["contents": $0] } ?? [:]
        ) { machine, _ in
            try self.consequence(of: .takeDisks, on: machine).check(agreement)
            machine.takeDisks()
            return "\(machine.name) is taken: it waits for work in the agent from its next start on, whatever its disks hold"
        }.value
    }

    /// A person puts a machine into the record that is known by one of its ports only.
    public func add(machine mac: MACAddress, name: String?, by actor: String) async throws -> Machine {
        guard !mac.isMulticast, mac.value != 0 else {
            throw Problem("mac-invalid", status: 422, title: "\(mac) is no network port's address", remedy: "Give the port's own MAC address.")
        }
        var machine = newMachine()
        if let name {
            machine.name = try DisplayName(name)
            if let other = snapshot.machines.values.first(where: { $0.name == machine.name }) {
                throw Problem("name-taken", status: 409, title: "Machine \(other.id) has the name “\(name)” already")
            }
        }
        if let owner = snapshot.machine(with: mac) {
            throw Problem(
                "interface-taken", status: 409, title: "Port \(mac) is \(owner.name)'s (\(owner.id))",
                remedy: "Look at it: hostler machine show \(owner.id)")
        }
        machine.interfaces = [Interface(mac: mac)]
        machine.addedBy = actor
        let added = OperationTransition.Happening(
            kind: "machine.added", actor: actor, message: "\(machine.name) (\(machine.id)) was added by hand; port \(mac) is its",
            evidence: ["mac": mac.description])
        guard
            let revision = try await records.store.commitUnlessConflict([
                try machine.put(.absent), try event(added, machine: machine.id, operation: nil).put(.absent),
            ])
        else { throw Self.changedMeanwhile }
        await snapshots.reached(revision)
        return machine
    }
}
