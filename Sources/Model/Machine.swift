public import Wire

/// A computer under Hostler's care, of whatever kind and wherever it sits.
public struct Machine: Codable, Sendable, Equatable, Identifiable {
    public var id: MachineID
    /// What people call it; unique. A new machine is named by its id.
    public var name: DisplayName
    public var kind: MachineKind
    public var state: MachineState
    /// What people want of it.
    public var desired: DesiredMachine
    /// What was seen of it.
    public var observed: ObservedMachine
    /// The network ports that identify it: each has booted by itself, or a person has named it.
    public var interfaces: [Interface]
    /// Reasons why nothing may be done to it until a person looked.
    public var holds: [Hold]
    /// The one operation that is under way, if any.
    public var openOperation: OperationID?
    /// Counts the operations ever started on it; an agent refuses an older one.
    public var generation: UInt64
    /// The operating system that Hostler put on its disk, once proved.
    public var installed: Installation?
    /// A system that an installation has put on its disk and that has not proved itself in time: it may run.
    public var unproved: Installation?
    /// The operation that its record named and that is lost: its system may be on the disk. Nil again once something else is.
    public var lostOperation: OperationID?
    /// The disks that a person has given to Hostler; nil: none.
    public var takenDisks: [TakenDisk]?
    /// Who put it into the record; nil: it came by itself, or by its BMC.
    public var addedBy: String?
    /// What is known of its TPM, once that was enrolled.
    public var attestation: MachineAttestation?
    /// Whether it gets images, secrets and identities without attestation; nil: no network that asks for it has seen it.
    public var attestationRule: AttestationRule?
    public var createdAt: Timestamp
    public var updatedAt: Timestamp

    public init(id: MachineID, name: DisplayName, kind: MachineKind = .server, interfaces: [Interface], now: Timestamp) {
        self.id = id
        self.name = name
        self.kind = kind
        state = .new
        desired = DesiredMachine()
        observed = ObservedMachine()
        self.interfaces = interfaces
        holds = []
        generation = 0
        createdAt = now
        updatedAt = now
    }

    /// What the next operation's generation is. The largest number stays: a record that has it is damaged.
    public var nextGeneration: UInt64 { generation < .max ? generation + 1 : generation }

    /// Whether the port identifies this machine.
    public func owns(_ mac: MACAddress) -> Bool { interfaces.contains { $0.mac == mac } }

    /// Whether its agent has named the port as one of its own. Anybody can name any port.
    public func claims(_ mac: MACAddress) -> Bool { observed.claimedInterfaces?.contains { $0.mac == mac } ?? false }

    /// Its ports, those that it only claims too.
    public var allInterfaces: [Interface] { interfaces + (observed.claimedInterfaces ?? []) }

    /// Where it stands when nothing is being done to it: a system of ours on its disk runs or may run, or it waits for work.
    public var restingState: MachineState { installed == nil && unproved == nil ? .ready : .running }
}

public enum MachineKind: String, Codable, Sendable, CaseIterable {
    case server, dpu, gpuBox = "gpu-box", memoryBox = "memory-box", storageBox = "storage-box", `switch`
}

/// Where a machine is in its life. A failure is the state it happened in plus a hold.
public enum MachineState: String, Codable, Sendable, CaseIterable {
    case new, inspecting, ready, installing, running, wiping, rescue
}

/// What people want of a machine.
public struct DesiredMachine: Codable, Sendable, Equatable {
    /// The host name given to the next installation; one DNS label.
    public var hostname: String?
    public var labels: [String: String] = [:]
    /// What the machine is told of itself: `tags/instance` and its like.
    public var tags: [String: String] = [:]
    /// SSH public keys that the machine's metadata names.
    public var sshKeys: [String] = []
    public var userData: UserDataReference?
    /// The network of the next installation.
    public var network: NetworkConfig?
    /// Until when it is lent; nil: it is not.
    public var lease: LeaseTerm?
    public init() {}

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        hostname = try container.decodeIfPresent(String.self, forKey: .hostname)
        labels = try container.decodeIfPresent([String: String].self, forKey: .labels) ?? [:]
        tags = try container.decodeIfPresent([String: String].self, forKey: .tags) ?? [:]
        sshKeys = try container.decodeIfPresent([String].self, forKey: .sshKeys) ?? []
        userData = try container.decodeIfPresent(UserDataReference.self, forKey: .userData)
        network = try container.decodeIfPresent(NetworkConfig.self, forKey: .network)
        lease = try container.decodeIfPresent(LeaseTerm.self, forKey: .lease)
    }
}

/// What was seen of a machine, and when.
public struct ObservedMachine: Codable, Sendable, Equatable {
    public var inventory: Inventory?
    public var inventoryAt: Timestamp?
    /// How often the record had been restored from a backup by then.
    public var inventoryEpoch: Int?
    /// Its address on the provisioning network when last heard.
    public var address: IPv4Address?
    /// The disks with contents that nobody here put there, by serial, WWN or name; nil: no agent has looked.
    public var foreignDisks: [String]?
    /// When it was last heard of: DHCP, a boot file, its agent.
    public var lastSeen: Timestamp?
    /// When its agent was last heard of, in the control plane's steady time.
    public var heardAt: Timestamp?
    /// The boot of the agent that is running on it now, if one is.
    public var agent: AgentPresence?
    /// Ports that its agent named and that have not booted by themselves, at most ``claimLimit``. They identify nothing.
    public var claimedInterfaces: [Interface]?
    /// Another board that booted by one of its ports, and was refused until a person looks.
    public var strangeBoard: StrangeBoard?
    public init() {}

    /// A server has some ten ports, a switch or a chassis some dozens.
    public static let claimLimit = 64
}

/// The agent that is running on a machine.
public struct AgentPresence: Codable, Sendable, Equatable {
    /// Names this boot of the agent; another boot has another.
    public var boot: String
    public var since: Timestamp
    public var version: String
    /// The port that it booted by.
    public var mac: MACAddress?
    /// The address that its session is bound to.
    public var address: IPv4Address?
    /// The store's revision when its nonce was spent: boots are ordered by it. Nil in the records of before.
    public var order: Int64?

    public init(boot: String, since: Timestamp, version: String, mac: MACAddress? = nil, address: IPv4Address? = nil) {
        self.boot = boot
        self.since = since
        self.version = version
        self.mac = mac
        self.address = address
    }
}

/// One Ethernet port of a machine.
public struct Interface: Codable, Sendable, Equatable {
    public var mac: MACAddress
    public var name: String?
    /// When the wire first showed that the machine boots by it; nil: not yet, or before that was written down.
    public var bootedAt: Timestamp?
    public init(mac: MACAddress, name: String? = nil, bootedAt: Timestamp? = nil) {
        self.mac = mac
        self.name = name
        self.bootedAt = bootedAt
    }
}

/// A reason why nothing may be done to a machine until a person looked, with the evidence.
public struct Hold: Codable, Sendable, Equatable, Identifiable {
    public var id: HoldID
    public var problem: Problem
    public var operation: OperationID?
    public var since: Timestamp
    /// The last lines that the machine said before.
    public var evidence: [String]

    public init(id: HoldID, problem: Problem, operation: OperationID?, since: Timestamp, evidence: [String] = []) {
        self.id = id
        self.problem = problem
        self.operation = operation
        self.since = since
        self.evidence = evidence
    }
}

/// An operating system on a machine's disk: which image, put there by which operation.
public struct Installation: Codable, Sendable, Equatable {
    public var operation: OperationID
    public var generation: UInt64
    public var image: String
    /// `sha256:…` of the image's manifest.
    public var digest: String
    public var hostname: String
    public var diskSerial: String?
    /// The disk that it is on; nil: an earlier version's record, which has the serial at most.
    public var disk: DiskTarget?
    public var installedAt: Timestamp
    /// SSH host keys that the machine reported in its proof, in `known_hosts` form without the host.
    public var hostKeys: [String]
    /// The SSH public keys that the installation was asked for with.
    public var sshKeys: [String]?
    /// Whether it was read from the disk after a restore: then it has no identity until the system has shown its key.
    public var isAdopted: Bool?
    /// What the system's keys are checked with; nil: it has none that count.
    public var keyVerifiers: KeyVerifiers?
    /// Whether its seed has a file with the operation's id, by which its disk is found; nil: it has none.
    public var seedNamesOperation: Bool?
    /// By which a BIOS finds its disk; nil: not known.
    public var bootMark: BootMark?

    public init(
        operation: OperationID, generation: UInt64, image: String, digest: String, hostname: String,
        diskSerial: String?, installedAt: Timestamp, hostKeys: [String] = []
    ) {
        self.operation = operation
        self.generation = generation
        self.image = image
        self.digest = digest
        self.hostname = hostname
        self.diskSerial = diskSerial
        self.installedAt = installedAt
        self.hostKeys = hostKeys
    }
}
