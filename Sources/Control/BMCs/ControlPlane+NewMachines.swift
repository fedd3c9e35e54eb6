internal import Model
internal import Store
internal import Wire

extension ControlPlane {
    /// A machine that nobody has seen, by what its BMC and a person say of its network ports: these are what it will be
    /// known by when it boots.
    func machine(in bmc: BMC, macs given: [MACAddress], by actor: String) throws -> (machine: MachineID, mutations: [Mutation]) {
        let macs = Array(Set((bmc.facts?.macs ?? []) + given)).sorted()
        guard !macs.isEmpty, macs.count <= 64 else {
            throw Problem(
                "machine-without-ports", status: 422, title: "The BMC at \(bmc.address) does not tell its machine's network ports",
                detail: "A machine that was not seen yet is known by their MAC addresses.",
                remedy: "Give the one that it boots by: --mac 52:54:00:12:34:56")
        }
        if let mac = macs.first(where: { snapshot.machine(with: $0) != nil }), let known = snapshot.machine(with: mac) {
            throw Problem(
                "machine-known", status: 409, title: "The port \(mac) is of a known machine, \(known.name)",
                remedy: "Say that it is this one: --machine \(known.id)")
        }
        for mac in macs { try refuseDamaged(mac: mac) }
        var machine = newMachine()
        machine.interfaces = macs.map { Interface(mac: $0) }
        let made = OperationTransition.Happening(
            kind: "machine.made", actor: actor, message: "\(machine.id) is new, by its BMC at \(bmc.address)",
            evidence: ["macs": macs.map(\.description).joined(separator: " ")])
        return (machine.id, [try machine.put(.absent), try event(made, machine: machine.id, operation: nil).put(.absent)])
    }
}
