public import Wire

/// What one network's DHCP server gives out.
public struct DHCPServerConfiguration: Hashable, Sendable {
    public enum Mode: Hashable, Sendable {
        /// Gives addresses and boot files.
        case server
        /// Gives only boot files, beside another DHCP server (PXE 2.1 §2.2.3).
        case proxy
    }

    public struct Range: Hashable, Sendable {
        public var first: IPv4Address
        /// Included.
        public var last: IPv4Address

        public init(first: IPv4Address, last: IPv4Address) {
            self.first = first
            self.last = last
        }

        func contains(_ address: IPv4Address) -> Bool { first <= address && address <= last }
    }

    /// An address kept for one machine, inside or outside the ranges.
    public struct Reservation: Hashable, Sendable {
        public var mac: MACAddress
        public var address: IPv4Address
        /// Sent as option 12. At most 255 bytes.
        public var hostname: String?

        public init(mac: MACAddress, address: IPv4Address, hostname: String? = nil) {
            self.mac = mac
            self.address = address
            self.hostname = hostname
        }
    }

    public struct ExtraOption: Hashable, Sendable {
        public var code: UInt8
        public var value: [UInt8]
        /// Sent even to clients that did not ask for it.
        public var always: Bool

        public init(code: UInt8, value: [UInt8], always: Bool = false) {
            self.code = code
            self.value = value
            self.always = always
        }
    }

    /// Addresses in all ranges together, at most: the table of a /12.
    public static let maximumAddresses = 1 << 20

    /// What one option 121 holds, at up to nine bytes a route (RFC 3442).
    public static let maximumRoutes = 28

    /// This server's own address, its server identifier: on the network, unless that is remote.
    public var serverAddress: IPv4Address
    public var prefix: IPv4Prefix
    /// Whether the network's machines reach this server through a relay only.
    public var isRemote = false
    public var mode: Mode = .server
    public var ranges: [Range] = []
    public var reservations: [Reservation] = []
    public var router: IPv4Address?
    public var dns: [IPv4Address] = []
    public var domain: String?
    public var ntp: [IPv4Address] = []
    /// In bytes, 576 to 65,535.
    public var mtu: UInt16?
    public var classlessRoutes: [ClasslessRoute] = []
    public var extraOptions: [ExtraOption] = []
    /// At least 60. Clients may ask for less.
    public var leaseSeconds: UInt32 = 3_600
    /// Whether a client is known by its MAC address, whatever client identifier it sends. A machine's
    /// firmware, iPXE, agent and system each send another identifier (RFC 4361 §4): by MAC it keeps one address.
    public var identifiesByMAC = false
    /// How long an offered address is held for the client's request.
    public var offerHoldSeconds: UInt32 = 30
    /// How long an address a client found in use is left alone.
    public var declineSeconds: UInt32 = 3_600

    /// How much of the ranges clients may hold that are of no known machine: any host can make up MAC addresses by the thousand.
    public var unknownPercent = 75
    /// How much of the ranges may be in quarantine by the word of unknown clients, and as much by that of known ones.
    public var declinedPercent = 25
    /// How often in an hour a client is believed that finds its address in use.
    public var declinesPerHour = 3
    /// How long after its grant a client may say so: clients look before they use an address (RFC 5227 §2.1), which takes
    /// seconds. A later DECLINE may come from somebody who wants to end another's lease.
    public var declineWindowSeconds: UInt32 = 300
    /// The longest lease of a client that is not known. A machine is known within minutes of its first boot, and then gets
    /// the usual lease when it renews. At least 60.
    public var unknownLeaseSeconds: UInt32 = 300
    /// How long the address of a known machine that was released is kept for it.
    public var releasedSeconds: UInt32 = 600
    /// Leases of unknown clients that ran out, remembered so that they get the same address again.
    public var rememberedUnknown = 1_024

    public init(serverAddress: IPv4Address, prefix: IPv4Prefix) {
        self.serverAddress = serverAddress
        self.prefix = prefix
    }

    public func validate() throws(DHCPConfigurationError) {
        guard isRemote || prefix.contains(serverAddress) else { throw .outsideNetwork(serverAddress) }
        if let router, !prefix.contains(router) { throw .outsideNetwork(router) }
        guard leaseSeconds >= 60 else { throw .leaseTooShort(seconds: leaseSeconds) }
        if let mtu, mtu < 576 { throw .mtuTooSmall(bytes: mtu) }
        guard classlessRoutes.count <= Self.maximumRoutes else { throw .tooManyRoutes }
        var total = 0
        var last: IPv4Address?
        for range in ranges.sorted(by: { $0.first < $1.first }) {
            guard range.first <= range.last else { throw .emptyRange(range) }
            guard prefix.contains(range.first) else { throw .outsideNetwork(range.first) }
            guard prefix.contains(range.last) else { throw .outsideNetwork(range.last) }
            if let last, last >= range.first { throw .overlappingRange(range) }
            last = range.last
            total += Int(range.last.value - range.first.value) + 1
            guard total <= Self.maximumAddresses else { throw .tooManyAddresses }
        }
        guard reservations.count <= Self.maximumAddresses else { throw .tooManyAddresses }
        var macs: Set<MACAddress> = []
        var addresses: Set<IPv4Address> = unusable
        for reservation in reservations {
            guard prefix.contains(reservation.address) else { throw .outsideNetwork(reservation.address) }
            guard macs.insert(reservation.mac).inserted else { throw .reservedTwice(reservation) }
            guard addresses.insert(reservation.address).inserted else { throw .reservedTwice(reservation) }
        }
    }

    /// Addresses that are never given out, though they lie in a range.
    var unusable: Set<IPv4Address> {
        var result: Set<IPv4Address> = [serverAddress]
        if let router { result.insert(router) }
        if prefix.length < 31 { result.formUnion([prefix.network, prefix.broadcast]) }
        return result
    }
}

/// Why a network's configuration cannot be served.
public enum DHCPConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
    case outsideNetwork(IPv4Address)
    case emptyRange(DHCPServerConfiguration.Range)
    case overlappingRange(DHCPServerConfiguration.Range)
    case tooManyAddresses
    /// A MAC address or an address with two reservations, or the reservation of
    /// the server's, the router's, the network's or the broadcast address.
    case reservedTwice(DHCPServerConfiguration.Reservation)
    case leaseTooShort(seconds: UInt32)
    case mtuTooSmall(bytes: UInt16)
    case tooManyRoutes
    /// Two networks of one wire share addresses: which one a relay means could not be told.
    case overlappingNetworks(IPv4Prefix, IPv4Prefix)

    public var description: String {
        switch self {
        case .outsideNetwork(let address): "\(address) is not in the network"
        case .emptyRange(let range): "the range \(range.first) to \(range.last) runs backwards"
        case .overlappingRange(let range): "the range \(range.first) to \(range.last) overlaps another"
        case .tooManyAddresses: "more than \(DHCPServerConfiguration.maximumAddresses) addresses"
        case .reservedTwice(let reservation): "\(reservation.address) for \(reservation.mac) is taken already"
        case .leaseTooShort(let seconds): "a lease of \(seconds) s is shorter than 60 s"
        case .tooManyRoutes: "more than \(DHCPServerConfiguration.maximumRoutes) routes"
        case .overlappingNetworks(let one, let other): "the networks \(one) and \(other) overlap"
        case .mtuTooSmall(let bytes): "an MTU of \(bytes) bytes is smaller than 576"
        }
    }
}
