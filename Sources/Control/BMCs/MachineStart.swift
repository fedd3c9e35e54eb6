internal import Model

/// How long the start of a machine for an operation takes its time.
public struct StartPolicy: Sendable {
    /// How often it is looked at again, where nothing happens meanwhile.
    public var lookEvery: Duration = .seconds(5)
    /// An agent that is believed to wait on the machine may speak up for so long before the power is touched.
    public var agentGrace: Duration = .seconds(20)
    /// A system that is asked to shut down is switched off after so long.
    public var shutdownGrace: Duration = .seconds(90)
    public var firstRetry: Duration = .seconds(10)
    public var longestRetry: Duration = .seconds(120)
    public init() {}
}

/// How a BMC brings its machine into the agent: a pure decision.
enum MachineStart: String, Equatable {
    /// It is off: on.
    case on
    /// It runs something that ends with this operation: off, seen to be off, on.
    case cycle
    /// Its system goes on afterwards: it is asked to shut down first.
    case shutdown

    /// Nil: its power is left alone.
    ///
    /// - Parameter isOnItsWay: it has fetched its boot script since the operation waits for it.
    static func decide(_ operation: Operation, machine: Machine, power: PowerState, isOnItsWay: Bool) -> MachineStart? {
        switch power {
        case .off, .turningOff, .unknown: return .on
        case .on, .turningOn: break
        }
        if isOnItsWay { return nil }
        guard machine.hasSystem else { return .cycle }
        switch operation.kind {
        // What it is made of is no reason to end what runs.
        case .inspect: return nil
        case .rescue: return .shutdown
        case .install, .wipe: return .cycle
        }
    }

    /// The same after a kill in the middle: what was begun is gone on with, what has happened is not done twice.
    func resumed(power: PowerState) -> MachineStart? { self == .on && power == .on ? nil : self }
}

/// Which starts are under way, and when failed ones are tried again. In memory: after a kill all are looked at anew.
struct StartLedger {
    /// BMCs whose override is to be proved gone.
    var held: Set<BMCID> = []
    private var busy: Set<BMCID> = []
    private var failures: [BMCID: (count: Int, until: Timestamp)] = [:]

    /// False where it is under way, or failed just now. What is claimed must be given back.
    mutating func claim(_ id: BMCID, at now: Timestamp) -> Bool {
        if let failed = failures[id], now < failed.until { return false }
        return busy.insert(id).inserted
    }

    mutating func giveBack(_ id: BMCID, failed: Bool, at now: Timestamp, _ policy: StartPolicy) {
        busy.remove(id)
        guard failed else {
            failures[id] = nil
            return
        }
        let count = (failures[id]?.count ?? 0) + 1
        let pause = min(policy.longestRetry, policy.firstRetry * (1 << min(count - 1, 8)))
        failures[id] = (count, now + pause)
    }
}
