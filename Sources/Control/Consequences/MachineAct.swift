public import Model
public import Wire

/// What a person may order for a machine that destroys, stops or forgets something.
public enum MachineAct: Sendable {
    case operation(OperationRequest)
    /// The second word to an operation that waits for it.
    case approve(OperationID)
    case power(PowerAction)
    case delete
    case release(HoldID)
    case take(MACAddress)
    case takeDisks
    case forgetTPM
    case clearLog
    case updateFirmware(from: String)
}

extension DestructiveAct {
    init(_ kind: OperationKind) {
        switch kind {
        case .inspect: self = .inspect
        case .install: self = .install
        case .wipe: self = .wipe
        case .rescue: self = .rescue
        }
    }

    /// Nil: it stops nothing.
    public init?(_ action: PowerAction) {
        switch action {
        case .on: return nil
        case .off: self = .powerOff
        case .shutdown: self = .shutdown
        case .restart: self = .restart
        case .cycle: self = .cycle
        }
    }
}
