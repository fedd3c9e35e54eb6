public import Model

/// What a machine that boots from the network gets.
public enum BootVerdict: Equatable, Sendable {
    /// Hostler's own ramdisk, with a fresh nonce.
    case agent(why: String)
    /// The system on its disk.
    case localDisk(why: String)
    /// Nothing; it is told why and asks again.
    case refuse(why: String)
}

/// What a network wants for machines that nobody knows.
public struct DiscoveryPolicy: Equatable, Sendable, Codable {
    /// Whether an unknown machine is taken in: booted into the agent and inspected.
    public var acceptsUnknown: Bool
    public init(acceptsUnknown: Bool = true) { self.acceptsUnknown = acceptsUnknown }
}

/// The one place that decides every boot: a pure function of the machine, its
/// open operation, and the network's policy. DHCP, TFTP, the boot script and
/// UEFI HTTP boot all ask it.
///
/// Its first rule: a machine whose system runs is never reinstalled because its
/// boot order slipped. Only an open operation that is before its restart, and
/// that carries the machine's newest generation, may lead a machine that runs
/// away from its disk.
public enum BootGate {
    ///
    /// - Parameter isFrozen: no machine is led away from a system that is still whole.
    public static func decide(
        machine: Machine?, operation: Operation?, policy: DiscoveryPolicy, isFrozen: Bool = false
    ) -> BootVerdict {
        guard let machine else {
            return policy.acceptsUnknown
                ? .agent(why: "unknown machine: its inventory is taken")
                : .refuse(why: "unknown machine, and this network takes in none")
        }
        // One that waits for its second word has begun nothing.
        let waits = operation?.state == .waiting && machine.openOperation == operation?.id
        if let operation, operation.isOpen, !waits, machine.openOperation == operation.id {
            if isFrozen, machine.installed != nil { return .localDisk(why: "its system is whole, and the rack is frozen") }
            return decide(machine, during: operation)
        }
        if let open = machine.openOperation, !waits {
            // The record names an operation that cannot be found open: believe neither.
            return machine.state == .running
                ? .localDisk(why: "its system runs")
                : .refuse(why: "its record names operation \(open), which is not open")
        }
        if let hold = machine.holds.first {
            return machine.state == .running
                ? .localDisk(why: "its system runs; it is on hold: \(hold.problem.title)")
                : .refuse(why: "on hold: \(hold.problem.title)")
        }
        switch machine.state {
        case .running: return .localDisk(why: "its system runs")
        case .new, .inspecting, .ready, .rescue: return .agent(why: "it has no system of ours; it waits for work")
        case .installing, .wiping:
            return .refuse(why: "it is \(machine.state.rawValue), but no operation is open")
        }
    }

    private static func decide(_ machine: Machine, during operation: Operation) -> BootVerdict {
        guard operation.generation == machine.generation else {
            return machine.state == .running
                ? .localDisk(why: "its system runs; operation \(operation.id) is of an older generation")
                : .refuse(why: "operation \(operation.id) is of an older generation")
        }
        guard operation.state == .running else {
            return .refuse(why: "operation \(operation.id) is being undone")
        }
        switch operation.kind {
        case .install where operation.isDone(.restart):
            return .localDisk(why: "operation \(operation.id) has written its disk: first boot")
        case .inspect, .install, .wipe, .rescue:
            return .agent(why: "operation \(operation.id): \(operation.kind.rawValue)")
        }
    }
}
