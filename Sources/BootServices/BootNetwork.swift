public import Control
public import NetBoot
public import Wire

/// A network on which Hostler serves machines: which interface, which
/// addresses, in which network namespace.
public struct BootNetwork: Sendable, Codable, Equatable {
    public enum Mode: String, Sendable, Codable {
        /// Gives addresses and boot files.
        case server
        /// Boot files only, beside a DHCP server that gives the addresses (PXE 2.1, proxyDHCP).
        case proxy
    }

    public struct AddressRange: Sendable, Codable, Equatable {
        public var first: IPv4Address
        public var last: IPv4Address
        public init(first: IPv4Address, last: IPv4Address) {
            self.first = first
            self.last = last
        }
    }

    public struct Reservation: Sendable, Codable, Equatable {
        public var mac: MACAddress
        public var address: IPv4Address
        public var hostname: String?
    }

    public var name: String
    /// The only interface that is answered on.
    public var interface: String
    /// Hostler's own address there with the network's prefix length, as `10.77.0.1/24`.
    public var address: IPv4Prefix
    public var mode: Mode
    public var ranges: [AddressRange]
    public var reservations: [Reservation]
    public var router: IPv4Address?
    public var dns: [IPv4Address]
    public var domain: String?
    public var ntp: [IPv4Address] = []
    /// In bytes; nil: none is told.
    public var mtu: UInt16?
    /// Told beside the router (RFC 3442).
    public var routes: [Route] = []
    /// Networks that reach this one through relays.
    public var subnets: [Subnet] = []
    public var leaseSeconds: UInt32
    /// The network namespace (`ip netns`) the interface is in; nil: this process's own.
    public var namespace: String?
    /// The port of boot files, agents and images.
    public var httpPort: Int
    /// What becomes of machines that nobody knows; nil: the default of the mode.
    public var chosenPolicy: DiscoveryPolicy?
    /// Whether images, seeds and identities are for machines only whose TPM proved what they booted.
    public var attestation: Bool
    /// The metadata service at 169.254.169.254.
    public var metadata = MetadataSettings()

    public init(name: String, interface: String, address: IPv4Prefix, namespace: String? = nil) {
        self.name = name
        self.interface = interface
        self.address = address
        self.namespace = namespace
        mode = .server
        ranges = []
        reservations = []
        dns = []
        leaseSeconds = 3600
        httpPort = 8080
        attestation = false
    }

    /// `http://address:port` as machines reach it.
    public var baseURL: String { "http://\(address.address):\(httpPort)" }

    /// As the DHCP state machine wants it. Without ranges in server mode, the upper half of the network.
    public var dhcpConfiguration: DHCPServerConfiguration {
        var configuration = DHCPServerConfiguration(serverAddress: address.address, prefix: address)
        configuration.mode = mode == .server ? .server : .proxy
        configuration.ranges = ranges.map { .init(first: $0.first, last: $0.last) }
        if ranges.isEmpty, mode == .server { configuration.ranges = [Self.upperHalf(of: address)] }
        configuration.reservations = reservations.map { .init(mac: $0.mac, address: $0.address, hostname: $0.hostname) }
        configuration.router = router
        // The metadata service is on this wire, and whoever has a router would ask it.
        configuration.classlessRoutes = classlessRoutes(routes, metadataRoute)
        configuration.dns = dns
        configuration.domain = domain
        configuration.ntp = ntp
        configuration.mtu = mtu
        configuration.leaseSeconds = leaseSeconds
        configuration.identifiesByMAC = true
        return configuration
    }
}
