/// Long work on one machine: named steps, each logged in the store before it acts.
///
/// It survives a kill of the control plane at any point. A machine has at most
/// one open operation.
public struct Operation: Codable, Sendable, Equatable, Identifiable {
    public var id: OperationID
    public var kind: OperationKind
    public var machine: MachineID
    /// The machine's generation that this operation carries; an agent refuses an older one.
    public var generation: UInt64
    public var request: OperationRequest
    public var steps: [Step]
    public var state: OperationState
    /// Why it failed or is stuck, or what it waits for.
    public var problem: Problem?
    /// What the person who asked should have known, as that nobody will be able to log in.
    public var warnings: [Problem]?
    /// Whose second word let it begin.
    public var approvedBy: String?
    public var requestedBy: String
    /// Set when a person asked for its end.
    public var cancelRequested: Bool
    public var createdAt: Timestamp
    public var finishedAt: Timestamp?
    /// The store's revision when it was made: operations are ordered by it. Nil in the records of before.
    public var madeAfter: Int64?
    /// Of an installation: what the keys that its system gets are checked with.
    public var keyVerifiers: KeyVerifiers?
    /// Of an installation: whether its seed has a file with the operation's id, by which its disk is found; nil: it has none.
    public var seedNamesOperation: Bool?

    public init(
        id: OperationID, machine: MachineID, generation: UInt64, request: OperationRequest, steps: [Step],
        requestedBy: String, createdAt: Timestamp
    ) {
        self.id = id
        kind = request.kind
        self.machine = machine
        self.generation = generation
        self.request = request
        self.steps = steps
        state = .running
        self.requestedBy = requestedBy
        cancelRequested = false
        self.createdAt = createdAt
    }

    /// Who asks for the first inspection of a machine that came by itself.
    public static let discoverer = "discovery"

    public var isOpen: Bool { !state.isFinal }
    /// The first step that is not done.
    public var currentStep: Step? { steps.first { $0.state != .succeeded } }
    public func step(_ name: StepName) -> Step? { steps.first { $0.name == name } }
    public func isDone(_ name: StepName) -> Bool { step(name)?.state == .succeeded }
}

public enum OperationKind: String, Codable, Sendable, CaseIterable { case inspect, install, wipe, rescue }

public enum OperationState: String, Codable, Sendable, CaseIterable {
    /// It is beyond a limit for the whole rack: nothing of it has begun, and an admin must approve it.
    case waiting
    case running
    /// A step failed for good or a person cancelled; what was done is being undone.
    case undoing
    case succeeded, failed, cancelled
    /// An undo failed: what is known is told, and a person must look.
    case stuck

    public var isFinal: Bool { self != .waiting && self != .running && self != .undoing }
}

/// What was asked for, with everything pinned that must not change on the way.
public enum OperationRequest: Codable, Sendable, Equatable {
    case inspect
    case install(InstallRequest)
    case wipe(WipeRequest)
    case rescue(RescueRequest)

    public var kind: OperationKind {
        switch self {
        case .inspect: .inspect
        case .install: .install
        case .wipe: .wipe
        case .rescue: .rescue
        }
    }
}

/// An installation, as the API takes it; `digest` and `hostname` are pinned by the control plane.
public struct InstallRequest: Codable, Sendable, Equatable {
    /// An image's name, as `debian-12`.
    public var image: String
    /// `sha256:…` of its manifest; pinned when the operation is made.
    public var digest: String?
    public var hostname: String?
    public var sshKeys: [String]
    /// cloud-init user-data, at most 16 MiB, base64 in JSON.
    public var userData: Base64Bytes?
    /// cloud-init network-config (version 1 or 2) as YAML text.
    public var networkConfig: String?
    /// The disk by a name that it alone answers to; nil: the smallest of the machine's own that is big enough.
    public var disk: String?
    /// That disk as the record had it; pinned when the operation is made.
    public var target: DiskTarget?
    public var restart: RestartMethod?
    /// Nil: `nocloud`.
    public var dataSource: DataSource?
    /// Former installations on other disks that are put out of force; found by the control plane.
    public var retires: [RetiredSeed]?

    public init(
        image: String, hostname: String? = nil, sshKeys: [String] = [], userData: Base64Bytes? = nil,
        networkConfig: String? = nil, disk: String? = nil, restart: RestartMethod? = nil, dataSource: DataSource? = nil
    ) {
        self.image = image
        self.hostname = hostname
        self.sshKeys = sshKeys
        self.userData = userData
        self.networkConfig = networkConfig
        self.disk = disk
        self.restart = restart
        self.dataSource = dataSource
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        image = try container.decode(String.self, forKey: .image)
        digest = try container.decodeIfPresent(String.self, forKey: .digest)
        hostname = try container.decodeIfPresent(String.self, forKey: .hostname)
        sshKeys = try container.decodeIfPresent([String].self, forKey: .sshKeys) ?? []
        userData = try container.decodeIfPresent(Base64Bytes.self, forKey: .userData)
        networkConfig = try container.decodeIfPresent(String.self, forKey: .networkConfig)
        disk = try container.decodeIfPresent(String.self, forKey: .disk)
        target = try container.decodeIfPresent(DiskTarget.self, forKey: .target)
        restart = try container.decodeIfPresent(RestartMethod.self, forKey: .restart)
        dataSource = try container.decodeIfPresent(DataSource.self, forKey: .dataSource)
        retires = try container.decodeIfPresent([RetiredSeed].self, forKey: .retires)
    }
}

/// How a machine goes from the agent to its installed system.
public enum RestartMethod: String, Codable, Sendable, CaseIterable {
    /// Through the firmware: proves that the boot order works. The default.
    case reboot
    /// Straight into the installed kernel, sparing the firmware's time.
    case kexec
}

public struct WipeRequest: Codable, Sendable, Equatable {
    /// Disks by names that they alone answer to. Nil: all of the machine's own, as the record has them when the operation is
    /// made. Empty: none, and so nothing to do.
    public var disks: [String]?
    /// Those disks as the record had them; pinned when the operation is made. Nil in operations of earlier versions.
    public var targets: [DiskTarget]?
    /// What of the machine's disks is left as it is, and why, when none were named.
    public var left: [String]?

    public init(disks: [String]? = nil) { self.disks = disks }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        // Left out means the machine's own; null is refused, since it may be a list that somebody failed to fill in.
        disks = container.contains(.disks) ? try container.decode([String].self, forKey: .disks) : nil
        targets = try container.decodeIfPresent([DiskTarget].self, forKey: .targets)
        left = try container.decodeIfPresent([String].self, forKey: .left)
    }
}

public struct RescueRequest: Codable, Sendable, Equatable {
    public var sshKeys: [String]
    public init(sshKeys: [String]) { self.sshKeys = sshKeys }
}

/// Bytes that stand as base64 text in JSON (RFC 4648 §4).
public struct Base64Bytes: Codable, Sendable, Equatable {
    public var text: String
    public init(base64: String) { text = base64 }
    public init(from decoder: any Decoder) throws { text = try decoder.singleValueContainer().decode(String.self) }
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }
}
