public import Model

/// What a machine that boots from the network gets.
public enum BootVerdict: Equatable, Sendable {
    /// Hostler's own ramdisk, with a fresh nonce.
    case agent(why: String)
    /// The system on its disk.
    case localDisk(why: String)
    /// Nothing from here: its firmware goes on with what comes next in its own boot order.
    case leave(why: String)
    /// Nothing; it is told why and asks again.
    case refuse(why: String)
}

/// The one place that decides every boot: a pure function of the machine, its
/// open operation, what its disks hold, and the network's policy. DHCP, TFTP,
/// the boot script and UEFI HTTP boot all ask it.
///
/// Its first rule: a machine whose system runs is never reinstalled because its
/// boot order slipped. Only an open operation that is before its restart, and
/// that carries the machine's newest generation, may lead a machine that runs
/// away from its disk.
///
/// Its second rule: a system that nobody here put on a disk is somebody's. It
/// boots, unless a person's open operation wants the machine.
public enum BootGate {
    /// Of a port that several records have, as versions of before and restored backups may: it says of none of them that it is the
    /// one that asks. What may run starts; nothing else does, until a person has said whose the port is.
    static func decide(sharedBy owners: [Machine], policy: DiscoveryPolicy) -> BootVerdict {
        if policy == .watch { return .leave(why: "this network only watches") }
        let names = owners.map(\.id.rawValue).sorted().joined(separator: " and ")
        if owners.contains(where: { $0.systemOnDisk != nil }) { return .localDisk(why: "\(names) have this port, and a system may run") }
        if owners.contains(where: { $0.foreignContents != nil }) { return .leave(why: "\(names) have this port, and a system may run") }
        return .refuse(why: "\(names) have this port; say whose it is: hostler machine take-interface MACHINE PORT")
    }

    /// - Parameters:
    ///   - tries: how often an unknown machine was sent into the agent of late without a word from it.
    ///   - isFrozen: no machine is led away from a system that is still whole.
    public static func decide(
        machine: Machine?, operation: Operation?, policy: DiscoveryPolicy, tries: Int = 0, isFrozen: Bool = false
    ) -> BootVerdict {
        if policy == .watch { return .leave(why: "this network only watches") }
        guard let machine else {
            return isFrozen ? .leave(why: "it is not in the record, and the rack is frozen") : decideUnknown(policy, tries)
        }
        // One that waits for its second word has begun nothing.
        let waits = operation?.state == .waiting && machine.openOperation == operation?.id
        if let operation, operation.isOpen, !waits, machine.openOperation == operation.id {
            if isFrozen, machine.systemOnDisk != nil { return .localDisk(why: "its system is whole, and the rack is frozen") }
            if isFrozen, let why = machine.foreignContents { return .leave(why: why) }
            return decide(machine, during: operation, policy)
        }
        if let open = machine.openOperation, !waits {
            // The record names an operation that cannot be found open: believe neither.
            return idle(machine, policy, "its record names operation \(open), which is not open", isLost: operation == nil)
        }
        // What may run is not taken from its disk, whatever else is known of the machine.
        if machine.state != .wiping, let system = machine.unproved, machine.installed == nil {
            return .localDisk(why: "the system that operation \(system.operation) installed may run; it has not proved itself")
        }
        if let hold = machine.holds.first { return idle(machine, policy, "on hold: \(hold.problem.title)") }
        switch machine.state {
        case .running: return .localDisk(why: "its system runs")
        case .new, .inspecting, .ready, .rescue:
            return foreign(machine) ?? .agent(why: "it has no system of ours; it waits for work")
        case .installing, .wiping:
            return idle(machine, policy, "it is \(machine.state.rawValue), but no operation is open")
        }
    }

    private static func decideUnknown(_ policy: DiscoveryPolicy, _ tries: Int) -> BootVerdict {
        switch policy {
        case .watch, .known: return .leave(why: "it is not in the record, and this network boots only machines that are")
        case .inspectEmpty:
            guard tries < InspectionTries.limit else {
                return .leave(why: "it was sent into the agent \(tries) times and never said a word: its own disk has its turn")
            }
            return .agent(why: "unknown machine: it is inspected, and its disks are looked at")
        case .discover: return .agent(why: "unknown machine: its inventory is taken")
        }
    }

    private static func decide(_ machine: Machine, during operation: Operation, _ policy: DiscoveryPolicy) -> BootVerdict {
        guard operation.generation == machine.generation else {
            return idle(machine, policy, "operation \(operation.id) is of an older generation")
        }
        guard operation.state == .running else {
            return foreign(machine) ?? .refuse(why: "operation \(operation.id) is being undone")
        }
        switch operation.kind {
        case .install where operation.isDone(.restart):
            return .localDisk(why: "operation \(operation.id) has written its disk: first boot")
        case .inspect where policy != .discover && isFruitless(operation):
            return .leave(why: "it booted into the agent several times and its disks could not be looked at")
        case .inspect, .install, .wipe, .rescue:
            return .agent(why: "operation \(operation.id): \(operation.kind.rawValue)")
        }
    }

    /// An inspection that no person asked for, and that the machine has begun too often.
    private static func isFruitless(_ operation: Operation) -> Bool {
        operation.requestedBy == Operation.discoverer && (operation.step(.inventory)?.attempts ?? 0) > InspectionTries.limit
    }

    /// What a machine gets that may have no work now, `because`.
    ///
    /// - Parameter isLost: the operation that its record names is in no record that can be read.
    private static func idle(_ machine: Machine, _ policy: DiscoveryPolicy, _ because: String, isLost: Bool = false) -> BootVerdict {
        if machine.state == .running { return .localDisk(why: "its system runs; \(because)") }
        if let own = foreign(machine) { return own }
        // The system may be whole, and nothing else is known to be wanted.
        if machine.state == .installing, isLost || machine.lostOperation != nil {
            return .localDisk(why: "what is on its disk may be whole; \(because)")
        }
        // Nobody has seen its disks, and no work has begun to write them: they may hold anything.
        if machine.observed.inventory == nil, machine.state == .new || machine.state == .inspecting, policy != .discover {
            return .leave(why: "its disks were never looked at; \(because)")
        }
        return .refuse(why: because)
    }

    private static func foreign(_ machine: Machine) -> BootVerdict? {
        guard machine.state != .running, let why = machine.foreignContents else { return nil }
        return .leave(why: why)
    }
}
