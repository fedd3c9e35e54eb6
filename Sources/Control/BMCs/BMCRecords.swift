public import Hardware
public import Model
internal import Store
public import Wire

extension BMC: StoredResource {
    public static let prefix = "/bmcs/"
    public var key: String { Self.prefix + id.rawValue }
}

/// A BMC's passwords, sealed by the vault. Kept apart from the record, which everyone may read.
struct BMCSecret: Codable, Sendable, Equatable {
    /// The one in use; nil: the kind has none.
    var current: String?
    /// A new one on its way to the BMC: which of the two the BMC has is not known until one is proved.
    var pending: String?

    static func key(_ id: BMCID) -> String { "/secrets/bmcs/" + id.rawValue }
    static func context(_ id: BMCID) -> String { "bmc-password:" + id.rawValue }

    func put(for id: BMCID, _ precondition: Precondition = .none) throws -> Mutation {
        .put(key: Self.key(id), value: try RecordCoding.encode(self), if: precondition)
    }
}

/// What a BMC is added with.
public struct BMCRequest: Codable, Sendable, Equatable {
    public var kind: BMCKind
    public var address: String
    public var userName: String?
    /// Never told again.
    public var password: String?
    /// A machine's id or name; without it the machine is found by what the BMC says of it.
    public var machine: String?
    public var system: String?
    public var fingerprint: String?
    public var trustsAuthorities: Bool?
    public var options: [String: String]?
    /// Where no known machine fits, its machine is new to the record and comes into it.
    public var makesMachine: Bool?
    /// Network ports of a new machine, for a BMC that does not tell them, as by IPMI.
    public var macs: [MACAddress]?

    public init(kind: BMCKind = .redfish, address: String) {
        self.kind = kind
        self.address = address
    }
}

/// Makes the way to a BMC of its record.
public struct BMCWays: Sendable {
    /// Where programs for `exec` lie; nil: ``ExecPower/folder``.
    public var execFolder: String?
    /// From where BMCs are reached.
    public var network = BMCNetwork.own
    /// In place of all kinds, for tests.
    var substitute: (@Sendable (BMC, _ password: String?) throws(Problem) -> any PowerSwitch)?

    public init(execFolder: String? = nil, network: BMCNetwork = .own) {
        self.execFolder = execFolder
        self.network = network
    }
}
