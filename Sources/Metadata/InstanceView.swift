public import Model
public import Wire

/// Where a machine stands, as its network's settings say.
public struct Placement: Sendable, Equatable {
    /// What people call it, in any script.
    public var region: String
    /// One letter, as EC2's zones have: clients make the region's name of the zone's by leaving its last character out.
    public var zone: Character
    /// The network that the machine asks from.
    public var prefix: IPv4Prefix
    /// Nil: there is no metadata service for the machine.
    public var metadataRoute: MetadataRoute?
    /// Those of the other networks of the same wire and its relays: a machine may boot on one and have its system's address on another.
    public var otherMetadataRoutes: [MetadataRoute] = []
    public var router: IPv4Address?
    public var nameservers: [IPv4Address]
    public var domain: String?

    public init(
        region: String, zone: Character, prefix: IPv4Prefix, metadataRoute: MetadataRoute? = nil, router: IPv4Address? = nil,
        nameservers: [IPv4Address] = [], domain: String? = nil
    ) {
        self.region = region
        self.zone = zone
        self.prefix = prefix
        self.metadataRoute = metadataRoute
        self.router = router
        self.nameservers = nameservers
        self.domain = domain
    }

    /// A machine's network with the ways to the metadata service in it that nobody else tells of (see ``MetadataRoute/added(to:port:)``).
    public func withMetadataRoutes(_ network: NetworkConfig?, port: MACAddress?) -> NetworkConfig? {
        let first = metadataRoute.map { $0.added(to: network, port: port) } ?? network
        // What is asked for by DHCP is asked for on the network that the machine booted on.
        return otherMetadataRoutes.reduce(first) { network, route in network.flatMap { route.added(to: $0, port: port, bootedThere: false) } }
    }
    public var regionID: String { ASCIIName.of(region) }
    public var zoneID: String { regionID + String(zone) }
}

/// Whom a request comes from, as far as the network can tell: the address, the MAC address that the kernel's neighbour
/// table has for it, and the machine that owns both. Behind a router the MAC address was not seen: it is the lease's, or the
/// port's that the machine booted by.
public struct Asker: Sendable, Equatable {
    public var machine: MachineID
    /// What the machine runs: the operation that installed it, or the boot of its agent. Another installation, or a
    /// wipe, makes another one, and ends whatever was given to the one before.
    public var incarnation: String
    /// What the keys of this incarnation are checked with; nil: it has none.
    public var keyVerifiers: KeyVerifiers?
    public var address: IPv4Address
    public var mac: MACAddress
    /// What the network itself shows of this. Nil: nothing that counts, so that only who has the machine's key is answered.
    public var shows: Proof?
    public var isBehindRouter: Bool { shows != .wire }
    /// By IPv6, which says nothing of an IPv4 address: others that may be this machine's, whose tokens are good too.
    public var elsewhere: [IPv4Address]

    public init(
        machine: MachineID, incarnation: String, keyVerifiers: KeyVerifiers? = nil, address: IPv4Address, mac: MACAddress,
        shows: Proof? = .wire, elsewhere: [IPv4Address] = []
    ) {
        self.machine = machine
        self.incarnation = incarnation
        self.keyVerifiers = keyVerifiers
        self.address = address
        self.mac = mac
        self.shows = shows
        self.elsewhere = elsewhere
    }
}

/// What a machine may know of itself: all that the metadata's dialects are rendered from. It holds no secret.
public struct InstanceView: Sendable, Equatable {
    public struct Port: Sendable, Equatable {
        public var mac: MACAddress
        public var name: String?
        /// On the network that the request came by.
        public var address: IPv4Address?
    }

    public var machine: MachineID
    /// Changes with every installation: cloud-init does its first-boot work again when it does.
    public var instanceID: String
    public var name: String
    public var hostname: String
    public var kind: MachineKind
    public var state: MachineState
    public var address: IPv4Address
    public var mac: MACAddress
    public var ports: [Port]
    public var placement: Placement
    /// Vendor and product, as far as the machine says them.
    public var hardware: String?
    public var image: String?
    public var imageDigest: String?
    public var installedAt: Timestamp?
    public var tags: [String: String]
    public var sshKeys: [String]
    /// What user-data there is; nil: none that may be read now.
    public var userDataDigest: String?
    /// What people want, with the way to the metadata service in it; nil: nothing special.
    public var network: NetworkConfig?
    /// Until when it is lent; nil: it is not.
    public var lease: LeaseTerm?
    /// Changes whenever the machine's record does.
    public var updatedAt: Timestamp

    /// - Parameters:
    ///   - operation: the machine's open operation.
    public init(machine: Machine, operation: Operation?, placement: Placement, address: IPv4Address, mac: MACAddress) {
        let request: InstallRequest? =
            if case .install(let request)? = operation?.request { request } else { nil }
        let installation = machine.installed ?? machine.unproved
        self.machine = machine.id
        instanceID = Self.installation(of: machine, operation) ?? machine.id.rawValue
        name = machine.name.text
        hostname = request?.hostname ?? installation?.hostname ?? machine.desired.hostname ?? machine.id.rawValue
        kind = machine.kind
        state = machine.state
        self.address = address
        self.mac = mac
        ports = machine.allInterfaces.map { Port(mac: $0.mac, name: $0.name, address: $0.mac == mac ? address : nil) }
        self.placement = placement
        let system = machine.observed.inventory?.system
        let words = [system?.vendor, system?.product].compactMap { $0 }
        hardware = words.isEmpty ? nil : words.joined(separator: " ")
        image = request?.image ?? installation?.image
        imageDigest = request?.digest ?? installation?.digest
        installedAt = machine.installed?.installedAt
        tags = machine.desired.tags
        let keys = request?.sshKeys ?? installation?.sshKeys ?? []
        sshKeys = keys + machine.desired.sshKeys.filter { !keys.contains($0) }
        let reference = machine.desired.userData
        let isReadable = reference?.isReadable(provedAt: machine.installed?.installedAt, isInstalling: request != nil) ?? false
        userDataDigest = isReadable ? reference?.digest : nil
        let port = machine.observed.agent?.mac ?? mac
        network = placement.withMetadataRoutes(machine.desired.network, port: port)
        lease = machine.desired.lease
        updatedAt = machine.updatedAt
    }

    /// What the machine runs now, for ``Asker/incarnation``.
    public static func incarnation(of machine: Machine, _ operation: Operation?) -> String {
        if let installation = installation(of: machine, operation) { return installation }
        if operation?.kind == .wipe || machine.state == .wiping { return "wipe-\(machine.generation)" }
        return machine.observed.agent.map { "boot-\($0.boot)" } ?? "none"
    }

    /// The operation that installed its system, or is about to. Nil: neither a system of ours nor an installation under way.
    public static func installation(of machine: Machine, _ operation: Operation?) -> String? {
        // What a wipe has begun to take away speaks for nobody any more.
        if operation?.kind == .wipe || machine.state == .wiping { return nil }
        if case .install? = operation?.request { return operation?.id.rawValue }
        return (machine.installed ?? machine.unproved)?.operation.rawValue
    }

    /// What the keys of ``installation(of:_:)`` are checked with.
    public static func keyVerifiers(of machine: Machine, _ operation: Operation?) -> KeyVerifiers? {
        if operation?.kind == .wipe || machine.state == .wiping { return nil }
        if case .install? = operation?.request { return operation?.keyVerifiers }
        return (machine.installed ?? machine.unproved)?.keyVerifiers
    }

    public var fullHostname: String { placement.domain.map { "\(hostname).\($0)" } ?? hostname }
    /// A word without spaces for EC2's `instance-type` and OpenStack's flavour.
    public var hardwareID: String { hardware.map(ASCIIName.of) ?? kind.rawValue }
}

/// Names people give may hold any script; what goes into a path or a DNS name may not.
public enum ASCIIName {
    public static let limitBytes = 63

    /// A safe form of `name`: a–z, 0–9 and inner dashes. Characters that have none become their code point, so that
    /// two names differ after as they did before, as far as the limit of 63 bytes lets them.
    public static func of(_ name: String) -> String {
        var text: [UInt8] = []
        var wantsDash = false
        func append(_ bytes: some Sequence<UInt8>) {
            if wantsDash, !text.isEmpty { text.append(UInt8(ascii: "-")) }
            wantsDash = false
            text += bytes
        }
        for scalar in name.unicodeScalars {
            switch scalar.value {
            case 97...122, 48...57: append([UInt8(scalar.value)])
            case 65...90: append([UInt8(scalar.value + 32)])
            case 0..<128, 0xFE0F, 0x200D: wantsDash = true
            default:
                wantsDash = true
                append("u\(String(scalar.value, radix: 16))".utf8)
                wantsDash = true
            }
        }
        text = Array(text.prefix(limitBytes))
        while text.last == UInt8(ascii: "-") { text.removeLast() }
        return text.isEmpty ? "x" : String(decoding: text, as: UTF8.self)
    }
}
