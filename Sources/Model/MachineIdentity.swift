public import Wire

/// What may say that two descriptions are of one machine, the strongest first.
public enum IdentityFact: String, Codable, Sendable, CaseIterable {
    /// A person said so.
    case hand
    /// A port that the machine has booted by, as the wire showed it.
    case bootedMAC = "booted-mac"
    /// A port that was only named.
    case toldMAC = "told-mac"
    /// The system's UUID of SMBIOS.
    case uuid
    /// The serial number of the system or its board.
    case serial

    /// As people say it.
    public var words: String {
        switch self {
        case .hand: "a person's word"
        case .bootedMAC: "booted port"
        case .toldMAC: "named port"
        case .uuid: "UUID"
        case .serial: "serial number"
        }
    }
}

/// How a fact stands between two descriptions.
public enum FactStanding: String, Codable, Sendable, CaseIterable {
    case agrees, differs
    /// One of them does not have it.
    case absent
    /// One of them has what vendors leave in fields that nobody filled.
    case filler
    /// Others have the same.
    case shared

    /// Whether it says anything about who a machine is.
    public var isTelling: Bool { self == .agrees || self == .differs }
}

/// One fact that was compared, and what it showed.
public struct FactFinding: Codable, Sendable, Equatable {
    public var fact: IdentityFact
    public var standing: FactStanding
    /// What each side says.
    public var detail: String

    public init(_ fact: IdentityFact, _ standing: FactStanding, _ detail: String) {
        self.fact = fact
        self.standing = standing
        self.detail = detail
    }

    public var words: String { "\(fact.words) \(standing.rawValue): \(detail)" }
}

/// Why a BMC is taken for a machine's.
public struct BMCBinding: Codable, Sendable, Equatable {
    public enum Basis: String, Codable, Sendable, CaseIterable {
        /// A person's word.
        case hand
        /// What both say of themselves.
        case facts
    }

    public var basis: Basis
    /// Who said so, or asked for it to be found.
    public var by: String
    public var at: Timestamp
    /// What was compared then.
    public var findings: [FactFinding]
    /// What the BMC said of its machine then: another board at its address is noticed by that. Nil: it was not asked.
    public var facts: BMCFacts?

    public init(_ basis: Basis, by: String, at: Timestamp, findings: [FactFinding], facts: BMCFacts?) {
        self.basis = basis
        self.by = by
        self.at = at
        self.findings = findings
        self.facts = facts
    }
}

/// A machine that a BMC may be in. It is not taken for that machine's until a person says so.
public struct BMCProposal: Codable, Sendable, Equatable {
    public var machine: MachineID
    /// What speaks for it and what against, fact by fact.
    public var findings: [FactFinding]

    public init(machine: MachineID, findings: [FactFinding]) {
        self.machine = machine
        self.findings = findings
    }

    /// A BMC that could be that of more machines than a person reads of is one that is not known.
    public static let limit = 8
}

/// A board that booted by a machine's port and says that it is another than the machine's.
public struct StrangeBoard: Codable, Sendable, Equatable {
    public var port: MACAddress
    public var uuid: String?
    public var serial: String?
    public var findings: [FactFinding]
    public var since: Timestamp

    public init(port: MACAddress, uuid: String?, serial: String?, findings: [FactFinding], since: Timestamp) {
        self.port = port
        self.uuid = uuid
        self.serial = serial
        self.findings = findings
        self.since = since
    }
}
