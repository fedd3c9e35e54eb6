public import Wire

// What the agent (`hostler-init`) and the control plane say to each other:
// JSON over HTTP on the provisioning network, below `/agent/v1/`.
//
//   POST hello       HelloRequest   → HelloReply       (the nonce is spent here)
//   POST inventory   Inventory      → 204
//   POST task        TaskQuery      → AgentTask        (held up to 30 s if there is nothing new)
//   POST report      StepReport     → ReportReply
//   POST log         LogBatch       → 204
//
// All but hello carry `Authorization: Bearer <session>`.

/// The agent's first words. `nonce` came by the boot script; `sessionKey` is
/// made by the agent, so that asking again after a lost reply gets the same session.
public struct HelloRequest: Codable, Sendable {
    public var nonce: String
    /// 32 random bytes in hex.
    public var sessionKey: String
    /// The interface that the nonce was given to.
    public var mac: MACAddress
    /// Every Ethernet port of the machine.
    public var macs: [MACAddress]
    public var uuid: String?
    public var serial: String?
    public var firmware: FirmwareMode
    public var version: String

    public init(
        nonce: String, sessionKey: String, mac: MACAddress, macs: [MACAddress], uuid: String?, serial: String?,
        firmware: FirmwareMode, version: String
    ) {
        self.nonce = nonce
        self.sessionKey = sessionKey
        self.mac = mac
        self.macs = macs
        self.uuid = uuid
        self.serial = serial
        self.firmware = firmware
        self.version = version
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        nonce = try container.word(.nonce)
        sessionKey = try container.word(.sessionKey)
        mac = try container.decode(MACAddress.self, forKey: .mac)
        macs = try container.list(MACAddress.self, .macs, limit: AgentLimits.helloPorts)
        uuid = try container.wordIfPresent(.uuid)
        serial = try container.wordIfPresent(.serial)
        firmware = try container.decode(FirmwareMode.self, forKey: .firmware)
        version = try container.word(.version, limitBytes: 64)
    }
}

public struct HelloReply: Codable, Sendable {
    public var session: String
    public var machine: MachineID
    public var name: String
    public init(session: String, machine: MachineID, name: String) {
        self.session = session
        self.machine = machine
        self.name = name
    }
}

/// Asks for work; answered at once when it differs from what the agent has.
public struct TaskQuery: Codable, Sendable {
    public var operation: OperationID?
    public var generation: UInt64
    public init(operation: OperationID?, generation: UInt64) {
        self.operation = operation
        self.generation = generation
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        operation = try container.decodeIfPresent(OperationID.self, forKey: .operation)
        generation = try container.number(.generation, in: NumberRange.generation)
    }
}

/// What the agent is to do now.
public struct AgentTask: Codable, Sendable {
    /// Nil with `.wait`.
    public var operation: OperationID?
    public var generation: UInt64
    public var work: AgentWork
    public init(operation: OperationID?, generation: UInt64, work: AgentWork) {
        self.operation = operation
        self.generation = generation
        self.work = work
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        operation = try container.decodeIfPresent(OperationID.self, forKey: .operation)
        generation = try container.number(.generation, in: NumberRange.generation)
        work = try container.decode(AgentWork.self, forKey: .work)
    }
}

public enum AgentWork: Codable, Sendable {
    /// Nothing to do: ask again.
    case wait
    case inspect
    case install(InstallWork)
    case wipe(WipeWork)
    case rescue(RescueWork)
    /// Restart the machine, as when its record says that it should be running its own system.
    case reboot(reason: String)
}

/// An installation as the agent gets it. Steps in `done` were proved before and are not done again.
public struct InstallWork: Codable, Sendable {
    public var record: InstallRecord
    public var done: [StepName]
    /// Where the chunk index and the blob are: paths on the server that the agent talks to.
    public var indexPath: String
    public var indexDigest: String
    public var blobPath: String
    /// The image's size on the disk in bytes.
    public var diskBytes: Int64
    /// By its name; nil: the default rule.
    public var disk: String?
    /// The disk as the record had it. It is written only if it is that still.
    public var target: DiskTarget?
    public var seedPath: String
    public var seedDigest: String
    public var seedBytes: Int64
    public var restart: RestartMethod
    /// For kexec: the installed root file system's UUID and kernel arguments.
    public var rootUUID: String?
    public var kernelArguments: String?
    /// What the image is made for; nil: not known.
    public var facts: ImageFacts?
    /// The first-boot data for a disk with sectors of 4096 bytes; nil: the machine has none that is known of.
    public var seed4096: SeedFile?
    /// Former installations on other disks that are to be put out of force.
    public var retires: [RetiredSeed]?

    public init(
        record: InstallRecord, done: [StepName], indexPath: String, indexDigest: String, blobPath: String,
        diskBytes: Int64, disk: String?, seedPath: String, seedDigest: String, seedBytes: Int64,
        restart: RestartMethod, rootUUID: String?, kernelArguments: String?, target: DiskTarget? = nil
    ) {
        self.record = record
        self.done = done
        self.indexPath = indexPath
        self.indexDigest = indexDigest
        self.blobPath = blobPath
        self.diskBytes = diskBytes
        self.disk = disk
        self.target = target
        self.seedPath = seedPath
        self.seedDigest = seedDigest
        self.seedBytes = seedBytes
        self.restart = restart
        self.rootUUID = rootUUID
        self.kernelArguments = kernelArguments
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        record = try container.decode(InstallRecord.self, forKey: .record)
        done = try container.decode([StepName].self, forKey: .done)
        indexPath = try container.decode(String.self, forKey: .indexPath)
        indexDigest = try container.decode(String.self, forKey: .indexDigest)
        blobPath = try container.decode(String.self, forKey: .blobPath)
        diskBytes = try container.number(.diskBytes, in: NumberRange.count)
        disk = try container.decodeIfPresent(String.self, forKey: .disk)
        target = try container.decodeIfPresent(DiskTarget.self, forKey: .target)
        seedPath = try container.decode(String.self, forKey: .seedPath)
        seedDigest = try container.decode(String.self, forKey: .seedDigest)
        seedBytes = try container.number(.seedBytes, in: NumberRange.count)
        restart = try container.decode(RestartMethod.self, forKey: .restart)
        rootUUID = try container.decodeIfPresent(String.self, forKey: .rootUUID)
        kernelArguments = try container.decodeIfPresent(String.self, forKey: .kernelArguments)
        facts = try container.decodeIfPresent(ImageFacts.self, forKey: .facts)
        seed4096 = try container.decodeIfPresent(SeedFile.self, forKey: .seed4096)
        retires = try container.decodeIfPresent([RetiredSeed].self, forKey: .retires)
    }

    /// The first-boot data for a disk with such sectors; nil: there is none.
    public func seed(sectorBytes: Int) -> SeedFile? {
        switch sectorBytes {
        case 512: SeedFile(path: seedPath, digest: seedDigest, bytes: seedBytes)
        case 4096: seed4096
        default: nil
        }
    }
}

/// A volume with first-boot data: where it is on the server that the agent talks to, and what it must be.
public struct SeedFile: Codable, Sendable, Equatable {
    public var path: String
    /// `sha256:…`
    public var digest: String
    public var bytes: Int64

    public init(path: String, digest: String, bytes: Int64) {
        self.path = path
        self.digest = digest
        self.bytes = bytes
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        path = try container.decode(String.self, forKey: .path)
        digest = try container.decode(String.self, forKey: .digest)
        bytes = try container.number(.bytes, in: NumberRange.count)
    }
}

public struct WipeWork: Codable, Sendable {
    /// By their names. None means none.
    public var disks: [String]
    public var done: [StepName]
    /// The same disks as the record had them. Each is wiped only if it is that still; nil: nothing is known but the names.
    public var targets: [DiskTarget]?

    public init(disks: [String], done: [StepName], targets: [DiskTarget]? = nil) {
        self.disks = disks
        self.done = done
        self.targets = targets
    }
}

public struct RescueWork: Codable, Sendable {
    public var sshKeys: [String]
    public init(sshKeys: [String]) { self.sshKeys = sshKeys }
}

/// What the agent says of one step. It repeats a report until it is acknowledged.
public struct StepReport: Codable, Sendable {
    public var operation: OperationID
    public var generation: UInt64
    public var step: StepName
    public var kind: Kind
    public var progress: Progress?
    public var evidence: [String: String]
    public var problem: Problem?
    public enum Kind: String, Codable, Sendable { case started, progress, succeeded, failed }

    public init(
        operation: OperationID, generation: UInt64, step: StepName, kind: Kind, progress: Progress? = nil,
        evidence: [String: String] = [:], problem: Problem? = nil
    ) {
        self.operation = operation
        self.generation = generation
        self.step = step
        self.kind = kind
        self.progress = progress
        self.evidence = evidence
        self.problem = problem
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        operation = try container.decode(OperationID.self, forKey: .operation)
        generation = try container.number(.generation, in: NumberRange.generation)
        step = try container.decode(StepName.self, forKey: .step)
        kind = try container.decode(Kind.self, forKey: .kind)
        progress = try container.decodeIfPresent(Progress.self, forKey: .progress)
        evidence = EvidenceFacts.bounded(try container.decode([String: String].self, forKey: .evidence))
        problem = try container.decodeIfPresent(Problem.self, forKey: .problem)
    }
}

public struct ReportReply: Codable, Sendable {
    /// False: the operation is no longer this agent's; it stops what it does and asks for work.
    public var goOn: Bool
    public init(goOn: Bool) { self.goOn = goOn }
}

/// Lines of the agent's log, oldest first.
public struct LogBatch: Codable, Sendable {
    public var lines: [Line]
    public init(lines: [Line]) { self.lines = lines }

    public init(from decoder: any Decoder) throws {
        lines = try decoder.container(keyedBy: CodingKeys.self).list(Line.self, .lines, limit: AgentLimits.logLines)
    }

    public struct Line: Codable, Sendable {
        /// Milliseconds since the machine's kernel started.
        public var uptimeMilliseconds: Int64
        public var text: String
        public init(uptimeMilliseconds: Int64, text: String) {
            self.uptimeMilliseconds = uptimeMilliseconds
            self.text = text
        }

        public init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            uptimeMilliseconds = try container.number(.uptimeMilliseconds, in: NumberRange.count)
            text = try container.word(.text, limitBytes: AgentLimits.logLineBytes)
        }
    }
}
