import BootServices
import Control
import Wire

extension ServerConfiguration.Network {
    /// A network behind relays, as the file has it.
    struct Subnet: Codable, Sendable {
        /// As `10.30.0.0/24`.
        var prefix: IPv4Prefix
        /// `first-last`; none: the upper half.
        var ranges: [String]?
        var reservations: [BootNetwork.Reservation]?
        var router: IPv4Address?
        var routerPorts: [MACAddress]?
        var dns: [IPv4Address]?
        var domain: String?
        var ntp: [IPv4Address]?
        var mtu: UInt16?
        var routes: [BootNetwork.Route]?
        var metadata: BootNetwork.Subnet.Metadata?
        /// None: that of the network.
        var policy: DiscoveryPolicy?

        func bootSubnet() throws -> BootNetwork.Subnet {
            var subnet = BootNetwork.Subnet(prefix: prefix)
            subnet.ranges = try (ranges ?? []).map(ServerConfiguration.Network.range)
            subnet.reservations = reservations ?? []
            subnet.router = router
            subnet.routerPorts = routerPorts ?? []
            subnet.dns = dns ?? []
            subnet.domain = domain
            subnet.ntp = ntp ?? []
            subnet.mtu = mtu
            subnet.routes = routes ?? []
            subnet.metadata = metadata ?? subnet.metadata
            subnet.policy = policy
            return subnet
        }
    }
}
