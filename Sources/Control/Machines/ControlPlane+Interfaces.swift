public import Model
internal import Store
public import Wire

// The ports that identify machines, by a person's word.
extension ControlPlane {
    /// Gives a port to a machine. Another machine that had it has it no longer.
    ///
    /// - Parameter agreement: the confirmation of what that costs (``Consequence``).
    public func take(interface mac: MACAddress, into name: String, by actor: String, agreement: String? = nil) async throws -> Machine {
        try refuseWhileFrozen()
        guard !mac.isMulticast, mac.value != 0 else {
            throw Problem("mac-invalid", status: 422, title: "\(mac) is no network port's address", remedy: "Give the port's own MAC address.")
        }
        try refuseDamaged(mac: mac)
        for _ in 0..<Self.conflictLimit {
            let found = try await machine(named: name)
            var machine = found.value
            let (isOwn, isStrange) = (machine.owns(mac), machine.observed.strangeBoard?.port == mac)
            if isOwn, !isStrange, snapshot.machines(with: mac).count <= 1 { return machine }
            try consequence(of: .take(mac), on: machine).check(agreement)
            guard machine.interfaces.count < ObservedMachine.claimLimit else {
                throw Problem("interfaces-too-many", status: 422, title: "\(machine.name) has \(machine.interfaces.count) ports already")
            }
            var mutations: [Mutation] = []
            var former: [Machine] = []
            for known in snapshot.machines.values
            where known.id != machine.id && (known.owns(mac) || known.observed.strangeBoard?.port == mac) {
                guard let other = try await records.get(Machine.self, id: known.id.rawValue) else { continue }
                let isOwner = other.value.owns(mac)
                guard !isOwner || other.value.openOperation == nil else {
                    throw Problem(
                        "machine-busy", status: 409, title: "\(other.value.name) has the port, and an open operation",
                        remedy: "Wait for it or cancel it.")
                }
                var without = other.value
                without.interfaces.removeAll { $0.mac == mac }
                // Its agent's session was that port's.
                if without.observed.agent?.mac == mac { without.observed.agent = nil }
                if without.observed.strangeBoard?.port == mac { without.observed.strangeBoard = nil }
                without.updatedAt = now
                if isOwner { former.append(without) }
                mutations.append(try without.put(.revision(other.revision)))
            }
            if !isOwn { machine.interfaces.append(Interface(mac: mac, name: machine.observed.inventory?.nics.first { $0.mac == mac }?.name)) }
            if isStrange { machine.acceptStrangeBoard() }
            _ = machine.claim([])
            machine.updatedAt = now
            mutations.append(try machine.put(.revision(found.revision)))
            let moved = OperationTransition.Happening(
                kind: "interface.moved", actor: actor,
                message: "port \(mac) is \(machine.name)'s now" + (isStrange ? ", with the board that boots by it" : "")
                    + (former.first.map { ", and no longer \($0.name)'s" } ?? ""),
                evidence: ["mac": mac.description, "from": former.first?.id.rawValue ?? ""])
            mutations.append(try event(moved, machine: machine.id, operation: nil).put(.absent))
            guard let revision = try await records.store.commitUnlessConflict(mutations) else { continue }
            await snapshots.reached(revision)
            return machine
        }
        throw Self.tooManyConflicts
    }

    /// Ports that agents named and that are other machines', or that two of them named, for those who look at the server's state.
    public var interfaceWarnings: [Problem] { Array((boardWarnings + portConflicts + portDuplicates).prefix(16)) }

    private var portConflicts: [Problem] {
        let snapshot = snapshot
        let conflicts = snapshot.machines.values.flatMap { machine in
            (machine.observed.claimedInterfaces ?? []).compactMap { port in
                snapshot.machine(with: port.mac).map { (port: port.mac, claimant: machine, owner: $0) }
            }
        }
        return conflicts.sorted { $0.port < $1.port }.prefix(16).map { conflict in
            Problem(
                "interface-conflict", title: "\(conflict.claimant.name) says that it has port \(conflict.port), which is \(conflict.owner.name)'s",
                detail: "Two ports have one address, a card was moved, or somebody lies. The port stays where it is.",
                remedy: "If the card was moved: hostler machine take-interface \(conflict.claimant.id) \(conflict.port)")
        }
    }

    private var portDuplicates: [Problem] {
        let snapshot = snapshot
        let claims = snapshot.machines.values.flatMap { machine in (machine.observed.claimedInterfaces ?? []).map { ($0.mac, machine) } }
        return Dictionary(grouping: claims) { $0.0 }.filter { $0.value.count > 1 && snapshot.machine(with: $0.key) == nil }
            .sorted { $0.key < $1.key }.prefix(16).map { port, claims in
                let machines = claims.map(\.1).sorted { $0.id < $1.id }
                return Problem(
                    "interface-duplicate",
                    title: "\(machines.count) machines say that they have port \(port): "
                        + machines.prefix(4).map(\.name.text).joined(separator: ", "),
                    detail: "Boards and adapters have been sold with one address on all of them, or somebody lies. It identifies no machine.",
                    remedy: "Boot them by their other ports, or give it to one: hostler machine take-interface \(machines[0].id) \(port)")
            }
    }
}
