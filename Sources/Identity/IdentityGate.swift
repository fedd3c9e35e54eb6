public import Model

/// All that decides whether a machine may have an identity now.
public struct IdentityQuestion: Sendable {
    public var machine: Machine?
    /// Its open operation.
    public var operation: Operation?
    public var lease: LeaseTerm?
    public var attestation: AttestationStanding
    /// Whether the machine's network hands out nothing without attestation.
    public var needsAttestation: Bool

    public init(
        machine: Machine?, operation: Operation? = nil, lease: LeaseTerm? = nil,
        attestation: AttestationStanding = .none, needsAttestation: Bool = false
    ) {
        self.machine = machine
        self.operation = operation
        self.lease = lease
        self.attestation = attestation
        self.needsAttestation = needsAttestation
    }
}

/// What the gate answers.
public enum IdentityVerdict: Equatable, Sendable {
    /// It may, but nothing that lasts beyond `until`; nil: no such bound.
    case grant(until: Timestamp?)
    /// Not now. `code` is for programs and stays, `why` is for people.
    case refuse(code: String, why: String)
}

/// The one place that decides whether a machine gets an identity: a token, a
/// signed document. A pure function, asked anew each time, so that a machine
/// that is being wiped, is on hold or whose lease is over gets none from that
/// second on.
///
/// Its first rule: an identity speaks for a system that Hostler installed and
/// that proved itself. Whatever else is on the machine now (the agent, a
/// rescue shell, a half-written disk) has none.
public enum IdentityGate {
    public static func decide(_ question: IdentityQuestion, now: Timestamp) -> IdentityVerdict {
        guard let machine = question.machine else {
            return .refuse(code: "machine-unknown", why: "the record has no such machine")
        }
        // One that waits for its second word has begun nothing: the system runs on, as itself.
        let waits = question.operation?.state == .waiting && question.operation?.id == machine.openOperation
        if let operation = question.operation, operation.isOpen, !waits {
            return .refuse(code: "machine-busy", why: "operation \(operation.id) (\(operation.kind.rawValue)) is open")
        }
        // An operation that the record names but that cannot be found may be a wipe: believe the worse.
        if let open = machine.openOperation, !waits {
            return .refuse(code: "machine-busy", why: "its record names operation \(open) as open")
        }
        if let hold = machine.holds.first {
            return .refuse(code: "machine-held", why: "it is on hold: \(hold.problem.title)")
        }
        guard machine.state == .running, machine.installed != nil else {
            return .refuse(code: "machine-not-running", why: "it runs no system that Hostler installed; it is \(machine.state.rawValue)")
        }
        if machine.installed?.isAdopted == true {
            return .refuse(
                code: "machine-adopted", why: "its system was found on its disk after a restore, and has not shown its key since")
        }
        if let lease = question.lease, lease.endsAt <= now {
            return .refuse(code: "lease-over", why: "its lease \(lease.id) ended at \(lease.endsAt)")
        }
        // Elsewhere the token says how it stands, and the relying party decides.
        if question.needsAttestation {
            switch question.attestation {
            case .attested: break
            case .none: return .refuse(code: "attestation-missing", why: "its network asks for attestation, and it has none")
            case .failed: return .refuse(code: "attestation-failed", why: "its last boot was not what it should be")
            }
        }
        return .grant(until: question.lease?.endsAt)
    }
}
