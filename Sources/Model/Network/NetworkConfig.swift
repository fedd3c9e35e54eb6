public import Wire

/// The network that people want a machine's system to have: its Ethernet ports,
/// and the bonds, VLANs and bridges built on them.
///
/// A link refers to others by name. What is rendered from it: cloud-init's
/// network-config version 2 (netplan) and OpenStack's `network_data.json`.
public struct NetworkConfig: Codable, Sendable, Equatable {
    public var ethernets: [EthernetLink]
    public var bonds: [BondLink]
    public var vlans: [VLANLink]
    public var bridges: [BridgeLink]

    public init(
        ethernets: [EthernetLink] = [], bonds: [BondLink] = [], vlans: [VLANLink] = [], bridges: [BridgeLink] = []
    ) {
        self.ethernets = ethernets
        self.bonds = bonds
        self.vlans = vlans
        self.bridges = bridges
    }

    public init(from decoder: any Decoder) throws {
        try KnownMembers.check(decoder, ["ethernets", "bonds", "vlans", "bridges"])
        let container = try decoder.container(keyedBy: CodingKeys.self)
        ethernets = try container.decodeIfPresent([EthernetLink].self, forKey: .ethernets) ?? []
        bonds = try container.decodeIfPresent([BondLink].self, forKey: .bonds) ?? []
        vlans = try container.decodeIfPresent([VLANLink].self, forKey: .vlans) ?? []
        bridges = try container.decodeIfPresent([BridgeLink].self, forKey: .bridges) ?? []
    }

    /// The addressing of every link, by the link's name.
    public var addressings: [(name: String, addressing: LinkAddressing)] {
        ethernets.map { ($0.name, $0.addressing) } + bonds.map { ($0.name, $0.addressing) }
            + vlans.map { ($0.name, $0.addressing) } + bridges.map { ($0.name, $0.addressing) }
    }

    /// Every address that is set without asking DHCP.
    public var staticAddresses: [IPv4Address] { addressings.flatMap { $0.addressing.addresses.map(\.address) } }
}

/// How a link gets its addresses, and what is reached through it.
public struct LinkAddressing: Codable, Sendable, Equatable {
    public var dhcp: Bool
    /// Static addresses with prefix length, as `10.20.0.10/24`.
    public var addresses: [IPv4Prefix]
    public var routes: [NetworkRoute]
    public var nameservers: [IPv4Address]
    public var searchDomains: [String]
    /// In bytes, 576 to 9216; nil: the link's own.
    public var mtu: Int?

    public init(
        dhcp: Bool = false, addresses: [IPv4Prefix] = [], routes: [NetworkRoute] = [], nameservers: [IPv4Address] = [],
        searchDomains: [String] = [], mtu: Int? = nil
    ) {
        self.dhcp = dhcp
        self.addresses = addresses
        self.routes = routes
        self.nameservers = nameservers
        self.searchDomains = searchDomains
        self.mtu = mtu
    }

    public init(from decoder: any Decoder) throws {
        try KnownMembers.check(decoder, ["dhcp", "addresses", "routes", "nameservers", "searchDomains", "mtu"])
        let container = try decoder.container(keyedBy: CodingKeys.self)
        dhcp = try container.decodeIfPresent(Bool.self, forKey: .dhcp) ?? false
        addresses = try container.decodeIfPresent([IPv4Prefix].self, forKey: .addresses) ?? []
        routes = try container.decodeIfPresent([NetworkRoute].self, forKey: .routes) ?? []
        nameservers = try container.decodeIfPresent([IPv4Address].self, forKey: .nameservers) ?? []
        searchDomains = try container.decodeIfPresent([String].self, forKey: .searchDomains) ?? []
        mtu = try container.decodeIfPresent(Int.self, forKey: .mtu)
    }

    /// Neither an address of its own nor DHCP: a link that only carries others.
    public var isEmpty: Bool { !dhcp && addresses.isEmpty }
}

/// A route: `to` is `0.0.0.0/0` for the default route.
public struct NetworkRoute: Codable, Sendable, Equatable {
    public var to: IPv4Prefix
    public var via: IPv4Address
    public var metric: Int?
    public init(to: IPv4Prefix, via: IPv4Address, metric: Int? = nil) {
        self.to = to
        self.via = via
        self.metric = metric
    }
}

/// An Ethernet port, found by its MAC address: names that kernels give are not stable.
public struct EthernetLink: Codable, Sendable, Equatable {
    public var name: String
    public var mac: MACAddress
    /// Whether the system calls it by its name; else that is known here alone, and the kernel's stays.
    public var rename: Bool
    public var addressing: LinkAddressing
    public init(name: String, mac: MACAddress, rename: Bool = true, addressing: LinkAddressing = LinkAddressing()) {
        self.name = name
        self.mac = mac
        self.rename = rename
        self.addressing = addressing
    }

    public init(from decoder: any Decoder) throws {
        try KnownMembers.check(decoder, ["name", "mac", "rename", "addressing"])
        let container = try decoder.container(keyedBy: CodingKeys.self)
        name = try container.decode(String.self, forKey: .name)
        mac = try container.decode(MACAddress.self, forKey: .mac)
        rename = try container.decodeIfPresent(Bool.self, forKey: .rename) ?? true
        addressing = try container.decodeIfPresent(LinkAddressing.self, forKey: .addressing) ?? LinkAddressing()
    }
}

/// Several Ethernet ports as one link (IEEE 802.1AX with `lacp`).
public struct BondLink: Codable, Sendable, Equatable {
    public enum Mode: String, Codable, Sendable, CaseIterable {
        case balanceRR = "balance-rr"
        case activeBackup = "active-backup"
        case balanceXOR = "balance-xor"
        case broadcast
        case lacp = "802.3ad"
        case balanceTLB = "balance-tlb"
        case balanceALB = "balance-alb"
    }

    public var name: String
    public var mode: Mode
    /// Names of Ethernet links.
    public var members: [String]
    /// How often the members' links are looked at, in milliseconds.
    public var monitorMilliseconds: Int?
    public var addressing: LinkAddressing

    public init(
        name: String, mode: Mode, members: [String], monitorMilliseconds: Int? = nil,
        addressing: LinkAddressing = LinkAddressing()
    ) {
        self.name = name
        self.mode = mode
        self.members = members
        self.monitorMilliseconds = monitorMilliseconds
        self.addressing = addressing
    }

    public init(from decoder: any Decoder) throws {
        try KnownMembers.check(decoder, ["name", "mode", "members", "monitorMilliseconds", "addressing"])
        let container = try decoder.container(keyedBy: CodingKeys.self)
        name = try container.decode(String.self, forKey: .name)
        mode = try container.decode(Mode.self, forKey: .mode)
        members = try container.decode([String].self, forKey: .members)
        monitorMilliseconds = try container.decodeIfPresent(Int.self, forKey: .monitorMilliseconds)
        addressing = try container.decodeIfPresent(LinkAddressing.self, forKey: .addressing) ?? LinkAddressing()
    }
}

/// One VLAN of a link (IEEE 802.1Q).
public struct VLANLink: Codable, Sendable, Equatable {
    public var name: String
    /// 1 to 4094.
    public var id: Int
    /// The link that carries it.
    public var link: String
    public var addressing: LinkAddressing
    public init(name: String, id: Int, link: String, addressing: LinkAddressing = LinkAddressing()) {
        self.name = name
        self.id = id
        self.link = link
        self.addressing = addressing
    }

    public init(from decoder: any Decoder) throws {
        try KnownMembers.check(decoder, ["name", "id", "link", "addressing"])
        let container = try decoder.container(keyedBy: CodingKeys.self)
        name = try container.decode(String.self, forKey: .name)
        id = try container.decode(Int.self, forKey: .id)
        link = try container.decode(String.self, forKey: .link)
        addressing = try container.decodeIfPresent(LinkAddressing.self, forKey: .addressing) ?? LinkAddressing()
    }
}

/// A bridge, as machines that run virtual machines have.
public struct BridgeLink: Codable, Sendable, Equatable {
    public var name: String
    /// Names of the links in it.
    public var members: [String]
    public var spanningTree: Bool
    public var addressing: LinkAddressing
    public init(
        name: String, members: [String], spanningTree: Bool = false, addressing: LinkAddressing = LinkAddressing()
    ) {
        self.name = name
        self.members = members
        self.spanningTree = spanningTree
        self.addressing = addressing
    }

    public init(from decoder: any Decoder) throws {
        try KnownMembers.check(decoder, ["name", "members", "spanningTree", "addressing"])
        let container = try decoder.container(keyedBy: CodingKeys.self)
        name = try container.decode(String.self, forKey: .name)
        members = try container.decode([String].self, forKey: .members)
        spanningTree = try container.decodeIfPresent(Bool.self, forKey: .spanningTree) ?? false
        addressing = try container.decodeIfPresent(LinkAddressing.self, forKey: .addressing) ?? LinkAddressing()
    }
}
