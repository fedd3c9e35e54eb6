internal import Hardware
internal import Model
internal import Store
internal import Wire

extension ControlPlane {
    /// A machine that nobody has seen, by what its BMC and a person say of its network ports: these are what it will be
    /// known by when it boots.
    ///
    /// What others have too is none of them, and neither is the link to the BMC. Addresses that somebody made up are taken where
    /// the BMC names no others, as those of virtual machines.
    ///
    /// - Parameter others: ports that other BMCs name.
    func machine(
        in bmc: BMC, macs given: [MACAddress], besides others: Set<MACAddress>, by actor: String
    ) throws(Problem) -> (machine: MachineID, mutations: [Mutation]) {
        guard given.allSatisfy({ !$0.isMulticast && $0.value != 0 }) else {
            throw Problem("mac-invalid", status: 422, title: "A multicast or empty address is no network port's", remedy: "Give the port's own.")
        }
        let possible = (bmc.facts?.macs ?? []).filter { Filler.isPossible($0) }
        let unique = possible.filter { Filler.identifies(mac: $0) && !others.contains($0) }
        let madeUp = possible.filter { snapshot.machine(with: $0) == nil && !others.contains($0) }
        let macs = Array(Set((unique.isEmpty ? madeUp : unique) + given)).sorted()
        guard !macs.isEmpty, macs.count <= 64 else {
            throw Problem(
                "machine-without-ports", status: 422, title: "The BMC at \(bmc.address) does not tell its machine's network ports",
                detail: "A machine that was not seen yet is known by their MAC addresses.",
                remedy: "Give the one that it boots by: --mac 52:54:00:12:34:56")
        }
        if let mac = macs.first(where: { snapshot.machine(with: $0) != nil })
            ?? possible.first(where: { snapshot.machine(with: $0)?.hasBooted($0) == true }),
            let known = snapshot.machine(with: mac)
        {
            throw Problem(
                "machine-known", status: 409, title: "The port \(mac) is of a known machine, \(known.name)",
                detail: "The BMC says the serial number \(bmc.facts?.serial ?? "of none") and the UUID \(bmc.facts?.systemUUID ?? "of none").",
                remedy: "Compare with hostler machine show \(known.id). Only if it is this one: --machine \(known.id)")
        }
        for mac in macs { try refuseDamaged(mac: mac) }
        var machine = newMachine()
        machine.interfaces = macs.map { Interface(mac: $0) }
        let made = OperationTransition.Happening(
            kind: "machine.made", actor: actor, message: "\(machine.id) is new, by its BMC at \(bmc.address)",
            evidence: ["macs": macs.map(\.description).joined(separator: " ")])
        do {
            return (machine.id, [try machine.put(.absent), try event(made, machine: machine.id, operation: nil).put(.absent)])
        } catch {
            throw Problem("machine-not-encoded", status: 500, title: "The new machine's record cannot be written", detail: "\(error)")
        }
    }
}
