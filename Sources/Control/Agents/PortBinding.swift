internal import Model
internal import Wire

/// Decides which record a port belongs to that has booted: a pure function of the port as the wire saw it, of the ports that
/// its agent names beside it, and of the record.
///
/// What an agent names is a claim, and by itself never leads to another's record. A port comes to a record only where each
/// named the other: the record's agent this port while it booted by one of its own, and this port's agent one of those.
enum PortBinding: Equatable {
    /// It is one of the record's own.
    case own(MachineID)
    /// It has booted for the first time, and is the record's from now on.
    case joins(MachineID)
    /// Nobody has it.
    case new
    /// Several have it in their records, or name it: it identifies none of them, and a person decides.
    case shared([MachineID])

    static func decide(_ port: MACAddress, naming others: [MACAddress], in snapshot: RackSnapshot) -> PortBinding {
        let owners = snapshot.machines(with: port)
        if owners.count > 1 { return .shared(owners.map(\.id).sorted()) }
        if let owner = owners.first { return .own(owner.id) }
        let claimants = snapshot.machines(claiming: port)
        guard let mutual = claimants.first(where: { machine in others.contains(where: machine.owns) }) else { return .new }
        return claimants.count == 1 ? .joins(mutual.id) : .shared([mutual.id] + claimants.map(\.id).filter { $0 != mutual.id }.sorted())
    }
}

extension Machine {
    /// Takes up the ports that its agent names as its own, as claims. Ports that it has are none.
    ///
    /// - Returns: those that it had not claimed before.
    mutating func claim(_ named: [Interface]) -> [MACAddress] {
        var claimed = observed.claimedInterfaces ?? []
        var fresh: [MACAddress] = []
        for port in named where !owns(port.mac) && !port.mac.isMulticast && port.mac.value != 0 && !Filler.isHostInterface(port.mac) {
            if let index = claimed.firstIndex(where: { $0.mac == port.mac }) {
                claimed[index].name = port.name ?? claimed[index].name
            } else if claimed.count < ObservedMachine.claimLimit {
                claimed.append(port)
                fresh.append(port.mac)
            }
        }
        claimed.removeAll { owns($0.mac) }
        observed.claimedInterfaces = claimed.isEmpty ? nil : claimed
        return fresh
    }
}
