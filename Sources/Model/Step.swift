/// One named, idempotent part of an operation.
public struct Step: Codable, Sendable, Equatable {
    public var name: StepName
    public var state: StepState
    public var attempts: Int
    /// When its present attempt began.
    public var startedAt: Timestamp?
    public var finishedAt: Timestamp?
    /// When its present attempt counts as failed, as far as the wall clock tells. A sign of life from the machine moves it on.
    public var deadline: Timestamp?
    /// Not to be tried again before, as far as the wall clock tells.
    public var retryAt: Timestamp?
    /// The server's uptime when its present attempt began.
    public var begun: Uptime?
    /// The server's uptime at which `deadline` or `retryAt` is reached: this is what counts. Nil in the records of before.
    public var due: Uptime?
    /// The server was started anew since the last sign of life, and `due` was put off for that.
    public var wasPutOff: Bool?
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

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        name = try container.decode(StepName.self, forKey: .name)
        state = try container.decode(StepState.self, forKey: .state)
        attempts = try container.number(.attempts, in: NumberRange.attempts)
        startedAt = try container.decodeIfPresent(Timestamp.self, forKey: .startedAt)
        finishedAt = try container.decodeIfPresent(Timestamp.self, forKey: .finishedAt)
        deadline = try container.decodeIfPresent(Timestamp.self, forKey: .deadline)
        retryAt = try container.decodeIfPresent(Timestamp.self, forKey: .retryAt)
        begun = try container.decodeIfPresent(Uptime.self, forKey: .begun)
        due = try container.decodeIfPresent(Uptime.self, forKey: .due)
        wasPutOff = try container.decodeIfPresent(Bool.self, forKey: .wasPutOff)
        progress = try container.decodeIfPresent(Progress.self, forKey: .progress)
        evidence = try container.decode([String: String].self, forKey: .evidence)
        problem = try container.decodeIfPresent(Problem.self, forKey: .problem)
    }
}

public enum StepState: String, Codable, Sendable { case pending, running, succeeded, failed, undoing, undone, stuck }

/// How far a step is. Whatever it is made from, both numbers are 0 to 2^60, and `done` is at most `total`.
public struct Progress: Codable, Sendable, Equatable {
    public let done: Int64
    /// 0: not known.
    public let total: Int64
    public let unit: Unit
    public enum Unit: String, Codable, Sendable { case bytes, steps }

    public init(done: Int64, total: Int64, unit: Unit = .bytes) {
        let range = NumberRange.count
        self.total = min(range.upperBound, max(0, total))
        self.done = min(self.total > 0 ? self.total : range.upperBound, max(0, done))
        self.unit = unit
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            done: try container.decode(Int64.self, forKey: .done), total: try container.decode(Int64.self, forKey: .total),
            unit: try container.decode(Unit.self, forKey: .unit))
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

    /// Whether it writes to the machine, switches it or leads it away from what it runs; the others only look and wait.
    public var changesMachine: Bool {
        switch self {
        case .inventory, .verifyWipe, .firstBoot: false
        case .agent, .chooseDisk, .writeImage, .writeSeed, .bootOrder, .restart, .wipeDisks, .shell: true
        }
    }

    /// Whether the machine's agent does the work and reports it.
    public var isAgentWork: Bool {
        switch self {
        case .agent, .firstBoot: false
        default: true
        }
    }
}
