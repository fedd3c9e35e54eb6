public import Control
internal import Metadata
public import NetBoot
public import Wire

extension BootNetwork {
    /// A static route that machines are told.
    public struct Route: Sendable, Codable, Equatable {
        public var to: IPv4Prefix
        /// A router on the machines' own network; 0.0.0.0: the destination is on the link.
        public var via: IPv4Address

        public init(to: IPv4Prefix, via: IPv4Address) {
            self.to = to
            self.via = via
        }
    }

    /// A network whose machines reach this one through a DHCP relay, which names it (RFC 2131 §2, RFC 3046).
    public struct Subnet: Sendable, Codable, Equatable {
        public var prefix: IPv4Prefix
        public var ranges: [AddressRange] = []
        public var reservations: [Reservation] = []
        public var router: IPv4Address?
        /// The ports on Hostler's own wire by which this network is reached: its relays' and routers'. Empty: the port of the
        /// relay that was seen first.
        public var routerPorts: [MACAddress] = []
        /// Empty: those of the network.
        public var dns: [IPv4Address] = []
        /// Nil: that of the network.
        public var domain: String?
        /// Empty: those of the network.
        public var ntp: [IPv4Address] = []
        public var mtu: UInt16?
        public var routes: [Route] = []
        public var metadata = Metadata()
        /// Nil: that of the network.
        public var policy: DiscoveryPolicy?

        /// How the metadata service is for the machines of such a network.
        public struct Metadata: Sendable, Codable, Equatable {
            public enum Access: String, Sendable, Codable {
                /// Whoever shows the machine's key; nobody else is told anything. An address proves nothing of who has it.
                case key
                /// Whoever has the machine's address is told what is no secret.
                case address
                /// Nobody.
                case none
            }

            public var access = Access.key
            /// The routers between Hostler and the machines: replies live for so many more.
            public var hops = 1

            public init() {}

            public init(from decoder: any Decoder) throws {
                let container = try decoder.container(keyedBy: CodingKeys.self)
                access = try container.decodeIfPresent(Access.self, forKey: .access) ?? access
                hops = try container.decodeIfPresent(Int.self, forKey: .hops) ?? hops
                guard (1...32).contains(hops) else {
                    throw DecodingError.dataCorruptedError(forKey: .hops, in: container, debugDescription: "hops is 1 to 32")
                }
            }
        }

        public init(prefix: IPv4Prefix) { self.prefix = prefix }
    }

    /// Where machines get something only once their TPM has proved what they booted: here and behind the relays, or nowhere.
    public var attestedPrefixes: [IPv4Prefix] { attestation ? [address] + subnets.map(\.prefix) : [] }

    /// The networks behind relays, as the DHCP state machine wants them.
    public var remoteConfigurations: [DHCPServerConfiguration] {
        subnets.map { subnet in
            var configuration = DHCPServerConfiguration(serverAddress: address.address, prefix: subnet.prefix)
            configuration.isRemote = true
            configuration.mode = mode == .server ? .server : .proxy
            configuration.ranges = subnet.ranges.map { .init(first: $0.first, last: $0.last) }
            if subnet.ranges.isEmpty, mode == .server { configuration.ranges = [Self.upperHalf(of: subnet.prefix)] }
            configuration.reservations = subnet.reservations.map {
                .init(mac: $0.mac, address: $0.address, hostname: $0.hostname)
            }
            configuration.router = subnet.router
            configuration.dns = subnet.dns.isEmpty ? dns : subnet.dns
            configuration.domain = subnet.domain ?? domain
            configuration.ntp = subnet.ntp.isEmpty ? ntp : subnet.ntp
            configuration.mtu = subnet.mtu
            configuration.classlessRoutes = classlessRoutes(subnet.routes, metadataRoute(in: subnet))
            configuration.leaseSeconds = leaseSeconds
            configuration.identifiesByMAC = true
            return configuration
        }
    }

    /// The machines' way to the metadata service: by their router, which has a route to it by Hostler.
    func metadataRoute(in subnet: Subnet) -> MetadataRoute? {
        guard subnet.metadata.access != .none, let gateway = Self.named(subnet.routes) ?? subnet.router else { return nil }
        return metadataRoute(by: gateway, length: subnet.prefix.length)
    }

    /// The way of this wire's own machines.
    var metadataRoute: MetadataRoute? { metadataRoute(by: Self.named(routes) ?? address.address, length: address.length) }

    private func metadataRoute(by gateway: IPv4Address, length: Int) -> MetadataRoute? {
        guard metadata.enabled, let gateway = IPv4Prefix(address: gateway, length: length) else { return nil }
        return MetadataRoute(gateway: gateway, isToldByDHCP: mode == .server)
    }

    /// The gateway that people name for the metadata service themselves.
    private static func named(_ routes: [Route]) -> IPv4Address? {
        routes.first { $0.to == MetadataRoute.destination && $0.via != .any }?.via
    }

    /// Of the IP packets that answer machines there (RFC 791 §3.1).
    func timeToLive(of subnet: Subnet) -> Int { min(255, metadata.hopLimit + subnet.metadata.hops) }

    /// The network behind a relay that has the address, which may be its router's.
    func subnet(of address: IPv4Address) -> Subnet? {
        self.address.contains(address) ? nil : subnets.first { $0.prefix.contains(address) }
    }

    /// What option 121 says: `routes`, and before them the one to the metadata service where they have none of their own.
    func classlessRoutes(_ routes: [Route], _ metadata: MetadataRoute?) -> [ClasslessRoute] {
        let named = routes.map { ClasslessRoute(destination: $0.to, router: $0.via) }
        guard let metadata, let service = MetadataRoute.destination, !routes.contains(where: { $0.to == service }) else { return named }
        return [ClasslessRoute(destination: service, router: metadata.gateway.address)] + named
    }

    /// The addresses that are given where no ranges are named.
    static func upperHalf(of prefix: IPv4Prefix) -> DHCPServerConfiguration.Range {
        let size = UInt64(prefix.broadcast.value) - UInt64(prefix.network.value) + 1
        return .init(
            first: IPv4Address(value: UInt32(UInt64(prefix.network.value) + size / 2)),
            last: IPv4Address(value: prefix.broadcast.value - 1))
    }
}
