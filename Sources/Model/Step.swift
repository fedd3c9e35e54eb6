/// One named, idempotent part of an operation.
public struct Step: Codable, Sendable, Equatable {
    public var name: StepName
    public var state: StepState
    public var attempts: Int
    /// When its present attempt began.
    public var startedAt: Timestamp?
    public var finishedAt: Timestamp?
    /// When its present attempt counts as failed. A sign of life from the machine moves it on.
    public var deadline: Timestamp?
    /// Not to be tried again before.
    public var retryAt: Timestamp?
    public var progress: Progress?
    /// What proved that it is done, or the last thing known: facts by name.
    public var evidence: [String: String]
    public var problem: Problem?

    public init(_ name: StepName) {
        self.name = name
        state = .pending
        attempts = 0
        evidence = [:]
    }
}

public enum StepState: String, Codable, Sendable { case pending, running, succeeded, failed, undoing, undone, stuck }

/// How far a step is.
public struct Progress: Codable, Sendable, Equatable {
    public var done: Int64
    public var total: Int64
    public var unit: Unit
    public enum Unit: String, Codable, Sendable { case bytes, steps }

    public init(done: Int64, total: Int64, unit: Unit = .bytes) {
        self.done = done
        self.total = total
        self.unit = unit
    }
    /// 0 to 1.
    public var fraction: Double { total > 0 ? min(1, Double(done) / Double(total)) : 0 }
}

/// The steps that operations are made of.
public enum StepName: String, Codable, Sendable, CaseIterable {
    /// The machine boots into the agent, and the agent has said hello.
    case agent = "boot-agent"
    /// The agent told what the machine is made of.
    case inventory
    case chooseDisk = "choose-disk"
    case writeImage = "write-image"
    case writeSeed = "write-seed"
    case bootOrder = "boot-order"
    /// The agent was told to restart the machine into its disk, and obeyed.
    case restart
    /// The installed system proved that it is up.
    case firstBoot = "first-boot"
    case wipeDisks = "wipe-disks"
    case verifyWipe = "verify-wipe"
    /// A shell is open over SSH until the operation is cancelled.
    case shell = "rescue-shell"

    /// Whether the machine's agent does the work and reports it.
    public var isAgentWork: Bool {
        switch self {
        case .agent, .firstBoot: false
        default: true
        }
    }
}
