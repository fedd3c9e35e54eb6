public import Wire

/// A baseboard management controller, or whatever else switches a machine's power.
public struct BMCID: ResourceID {
    public static let prefix = "bmc"
    public let rawValue: String
    public init(unchecked: String) { rawValue = unchecked }
}

/// How a BMC is spoken to.
public enum BMCKind: String, Codable, Sendable, CaseIterable {
    case redfish, ipmi, exec, wol, snmp
}

/// What holds a machine's power switch, and what was last seen of it. Its password is elsewhere, encrypted.
public struct BMC: Codable, Sendable, Equatable, Identifiable {
    public var id: BMCID
    public var kind: BMCKind
    /// Redfish: host, host:port or an `https://` URL. IPMI: host or host:port. Wake-on-LAN: the machine's MAC
    /// address. Exec: the program's path. SNMP: the PDU's host.
    public var address: String
    public var userName: String?
    /// The machine whose power it switches, once that is proved or a person has said so.
    public var machine: MachineID?
    /// Why it is that machine's; nil while it is none's, and in records of earlier versions.
    public var binding: BMCBinding?
    /// Machines that it may be in, the likeliest first: a person says which. At most ``BMCProposal/limit``.
    public var proposals: [BMCProposal]?
    /// Machines that it is not in, by a person's word.
    public var denied: [MachineID]?
    /// Redfish: which ComputerSystem, where the BMC has several.
    public var system: String?
    /// `SHA256:…` in hex of the certificate that was trusted first; another one is refused.
    public var fingerprint: String?
    /// Whether a certificate that the host's CAs vouch for is enough, without a pin.
    public var trustsAuthorities: Bool
    /// What the kind needs beyond that, as `outlet` for SNMP.
    public var options: [String: String]
    public var facts: BMCFacts?
    /// A boot override that an operation had set and that is not yet proved gone.
    public var heldOverride: HeldOverride?
    public var observed: ObservedBMC
    public var createdAt: Timestamp
    public var updatedAt: Timestamp

    public init(id: BMCID, kind: BMCKind, address: String, userName: String? = nil, now: Timestamp) {
        self.id = id
        self.kind = kind
        self.address = address
        self.userName = userName
        trustsAuthorities = false
        options = [:]
        observed = ObservedBMC()
        createdAt = now
        updatedAt = now
    }
}

/// A boot override that stands until the operation that wanted it has its machine.
public struct HeldOverride: Codable, Sendable, Equatable {
    public var operation: OperationID
    public var wanted: BootOverride
    public var since: Timestamp

    public init(operation: OperationID, wanted: BootOverride, since: Timestamp) {
        self.operation = operation
        self.wanted = wanted
        self.since = since
    }
}

/// What a BMC says of itself and of the machine it is in.
public struct BMCFacts: Codable, Sendable, Equatable {
    public var vendor: String?
    public var model: String?
    /// The BMC's own firmware version.
    public var firmware: String?
    /// The machine's SMBIOS UUID, in lower case.
    public var systemUUID: String?
    public var serial: String?
    /// Of the machine's NICs, not the BMC's.
    public var macs: [MACAddress]
    /// Of the link between the machine and this BMC: on all boards of a vendor it has one address. They identify nothing.
    public var hostInterfaces: [MACAddress]?
    /// Further serial numbers of the same machine, as a Dell's service tag.
    public var otherSerials: [String]?
    /// What else it has, by its own words, as `processors`.
    public var counts: [String: Int]

    public init() {
        macs = []
        counts = [:]
    }
}

/// What was seen of a BMC, and when.
public struct ObservedBMC: Codable, Sendable, Equatable {
    public var power: ObservedPower?
    public var breaker: BreakerState
    /// What went wrong the last time that it did; gone once the BMC answers again.
    public var problem: Problem?
    public var problemAt: Timestamp?
    /// What is wrong with the machine's body; nil: nothing, or its sensors were never read.
    public var faults: [HardwareFault]?
    /// Up to where its event log was told.
    public var logMark: HardwareLogMark?
    public init() { breaker = .closed }
}

/// A place in a BMC's event log: its entry's id and the time that the BMC gave it.
public struct HardwareLogMark: Codable, Sendable, Equatable {
    /// Nil where the newest that is known came by the event stream.
    public var id: String?
    public var time: String?

    public init(id: String? = nil, time: String? = nil) {
        self.id = id
        self.time = time
    }
}

public struct ObservedPower: Codable, Sendable, Equatable {
    public var state: PowerState
    public var at: Timestamp
    public init(state: PowerState, at: Timestamp) {
        self.state = state
        self.at = at
    }
}

/// A machine's power as its BMC reads it (Redfish `PowerState`).
public enum PowerState: String, Codable, Sendable, CaseIterable {
    case on, off
    case turningOn = "turning-on"
    case turningOff = "turning-off"
    case unknown
}

/// Closed: it is asked. Open: it failed too often and is left alone for a while. Half-open: one question decides.
public enum BreakerState: String, Codable, Sendable, CaseIterable {
    case closed, open
    case halfOpen = "half-open"
}

/// What people want done to a machine's power.
public enum PowerAction: String, Codable, Sendable, CaseIterable {
    case on
    /// At once, without asking the operating system.
    case off
    /// Asks the operating system to shut down.
    case shutdown
    /// Resets the running machine.
    case restart
    /// Off, seen to be off, and on again.
    case cycle
}

/// What proved that a power action happened: what was seen, in order.
public struct PowerProof: Codable, Sendable, Equatable {
    public var action: PowerAction
    public var state: PowerState
    public var at: Timestamp
    /// How often the BMC had to be asked; 0 where nothing was to do.
    public var requests: Int
    public var evidence: [String]

    public init(action: PowerAction, state: PowerState, at: Timestamp, requests: Int, evidence: [String]) {
        self.action = action
        self.state = state
        self.at = at
        self.requests = requests
        self.evidence = evidence
    }
}

/// Where a machine boots from next (Redfish `BootSourceOverrideTarget`).
public enum BootTarget: String, Codable, Sendable, CaseIterable {
    case none, pxe, disk, cd, bios
    /// UEFI HTTP boot, from a URI where one is given.
    case http
}

/// A boot override: for the next boot only, or until it is changed.
public struct BootOverride: Codable, Sendable, Equatable {
    public var target: BootTarget
    public var persistent: Bool
    /// For `http`: what to boot.
    public var uri: String?
    /// Nil: whatever the BMC has.
    public var uefi: Bool?

    public init(target: BootTarget, persistent: Bool = false, uri: String? = nil, uefi: Bool? = nil) {
        self.target = target
        self.persistent = persistent
        self.uri = uri
        self.uefi = uefi
    }
}

/// One sensor's reading.
public struct SensorReading: Codable, Sendable, Equatable {
    public var name: String
    public var kind: Kind
    public var value: Double?
    /// As `Cel`, `RPM`, `W`, `V`, `%`.
    public var unit: String?
    public var health: HealthState
    public var lowerCritical: Double?
    public var upperCritical: Double?

    public enum Kind: String, Codable, Sendable, CaseIterable { case temperature, fan, voltage, power, current, other }

    public init(name: String, kind: Kind, value: Double?, unit: String?, health: HealthState = .unknown) {
        self.name = PrintableText.line(name, limitBytes: AgentLimits.wordBytes)
        self.kind = kind
        self.value = value.flatMap(Self.possible)
        self.unit = unit.map { PrintableText.line($0, limitBytes: 16) }
        self.health = health
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            name: try container.decode(String.self, forKey: .name), kind: try container.decode(Kind.self, forKey: .kind),
            value: try container.decodeIfPresent(Double.self, forKey: .value), unit: try container.decodeIfPresent(String.self, forKey: .unit),
            health: try container.decode(HealthState.self, forKey: .health))
        lowerCritical = try container.decodeIfPresent(Double.self, forKey: .lowerCritical).flatMap(Self.possible)
        upperCritical = try container.decodeIfPresent(Double.self, forKey: .upperCritical).flatMap(Self.possible)
    }

    /// No sensor measures more, and means of such numbers are still numbers; nil where it is not one.
    static func possible(_ value: Double) -> Double? { abs(value) <= 1e12 ? value : nil }
}

/// Redfish `Health`.
public enum HealthState: String, Codable, Sendable, CaseIterable, Comparable {
    case unknown, ok, warning, critical

    private var rank: Int {
        switch self {
        case .unknown: 0
        case .ok: 1
        case .warning: 2
        case .critical: 3
        }
    }
    public static func < (left: Self, right: Self) -> Bool { left.rank < right.rank }
}

/// A machine's health as its BMC reads it.
public struct MachineHealth: Codable, Sendable, Equatable {
    /// The worst of what the BMC says of the whole and of its parts.
    public var health: HealthState
    public var power: PowerState
    public var readings: [SensorReading]
    public var at: Timestamp

    public init(health: HealthState, power: PowerState, readings: [SensorReading], at: Timestamp) {
        self.health = health
        self.power = power
        self.readings = readings
        self.at = at
    }
}

/// An entry of a BMC's event log (SEL).
public struct HardwareLogEntry: Codable, Sendable, Equatable {
    public var id: String
    /// As the BMC gives it; its clock may be wrong.
    public var time: String?
    public var severity: HealthState
    public var message: String

    public init(id: String, time: String?, severity: HealthState, message: String) {
        self.id = id
        self.time = time
        self.severity = severity
        self.message = message
    }
}
