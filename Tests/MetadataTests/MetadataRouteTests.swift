import Model
import Testing
import Wire

@testable import Metadata

@Suite("The way to the metadata service in a machine's network")
struct MetadataRouteTests {
    private let told: MetadataRoute
    /// Beside another's DHCP server.
    private let untold: MetadataRoute
    private let asking = LinkAddressing(dhcp: true)

    init() throws {
        let gateway = try #require(IPv4Prefix("10.77.0.1/24"))
        told = MetadataRoute(gateway: gateway)
        untold = MetadataRoute(gateway: gateway, isToldByDHCP: false)
    }

    /// The links that have the route, by name.
    private func links(_ network: NetworkConfig?) -> [String] {
        (network?.addressings ?? []).filter { link in
            link.addressing.routes.contains { $0.to == MetadataRoute.destination && $0.via == told.gateway.address }
        }.map(\.name)
    }

    private func still(_ text: String) throws -> LinkAddressing { LinkAddressing(addresses: [try #require(IPv4Prefix(text))]) }

    @Test("a link with a static address there has it, one of another network or with DHCP has not")
    func staticAddresses() throws {
        let network = NetworkConfig(
            ethernets: [
                EthernetLink(name: "a", mac: macs[0], addressing: try still("10.77.0.9/24")),
                EthernetLink(name: "b", mac: macs[1], addressing: try still("10.78.0.9/24")),
            ],
            bridges: [BridgeLink(name: "c", members: [], addressing: asking)])
        #expect(links(told.added(to: network, port: macs[0])) == ["a"])
        #expect(told.added(to: nil, port: macs[0]) == nil, "DHCP tells it")
        var other = network
        other.ethernets[0].addressing.addresses = [try #require(IPv4Prefix("10.77.0.9/16"))]
        #expect(links(told.added(to: other, port: macs[0])) == [], "it is another network, whose gateway may not be on the link")
    }

    @Test("a route of the link's own stays as it is")
    func ownRoute() throws {
        var network = NetworkConfig(ethernets: [EthernetLink(name: "a", mac: macs[0], addressing: try still("10.77.0.9/24"))])
        network.ethernets[0].addressing.routes = [
            NetworkRoute(to: try #require(MetadataRoute.destination), via: try #require(IPv4Address("10.77.0.2")))
        ]
        #expect(told.added(to: network, port: macs[0]) == network)
        #expect(untold.added(to: network, port: macs[0]) == network)
    }

    @Test("beside another's DHCP server the link that asks it by the machine's port has it, whatever it is built of")
    func otherDHCP() throws {
        func ports(_ first: LinkAddressing, _ second: LinkAddressing) -> [EthernetLink] {
            [EthernetLink(name: "a", mac: macs[0], addressing: first), EthernetLink(name: "b", mac: macs[1], addressing: second)]
        }
        let none = LinkAddressing()
        let cases: [(NetworkConfig, [String])] = [
            (NetworkConfig(ethernets: ports(asking, asking)), ["a"]),
            (NetworkConfig(ethernets: ports(none, asking)), []),
            (
                NetworkConfig(
                    ethernets: ports(none, none), bonds: [BondLink(name: "bond0", mode: .lacp, members: ["b", "a"], addressing: asking)]),
                ["bond0"]
            ),
            (
                NetworkConfig(
                    ethernets: ports(none, none), bonds: [BondLink(name: "bond0", mode: .lacp, members: ["b", "a"])],
                    vlans: [VLANLink(name: "bond0.7", id: 7, link: "bond0", addressing: asking)],
                    bridges: [BridgeLink(name: "br0", members: ["bond0"], addressing: asking)]), ["br0"]
            ),
            (NetworkConfig(ethernets: ports(try still("10.77.0.9/24"), none)), ["a"]),
        ]
        for (network, expected) in cases {
            #expect(links(untold.added(to: network, port: macs[0])) == expected)
            #expect(links(untold.added(to: network, port: nil)) == expected.filter { _ in network.staticAddresses.count > 0 })
        }
        // A link that has both asks on the network that the machine booted on: on another it is told nothing.
        var both = NetworkConfig(ethernets: ports(asking, none))
        both.ethernets[0].addressing.addresses = [try #require(IPv4Prefix("10.77.0.9/24"))]
        #expect(links(told.added(to: both, port: macs[0])) == [])
        #expect(links(told.added(to: both, port: macs[0], bootedThere: false)) == ["a"])
        #expect(links(told.added(to: both, port: macs[1])) == ["a"])
        #expect(links(untold.added(to: both, port: macs[1])) == ["a"])
        #expect(untold.added(to: nil, port: macs[0], bootedThere: false) == nil)
        let made = try #require(untold.added(to: nil, port: macs[0]))
        try made.check(macs: [macs[0]])
        #expect(links(made) == ["provision0"] && made.ethernets[0].addressing.dhcp)
        #expect(untold.added(to: nil, port: nil) == nil)
        let port = try #require((try json(NetplanConfig.bytes(made))["ethernets"] as? [String: [String: Any]])?["provision0"])
        #expect(port["set-name"] == nil, "nobody asked for another name")
        let route = try #require((port["routes"] as? [[String: Any]])?.first)
        #expect(route["via"] as? String == "10.77.0.1" && route["on-link"] as? Bool == true, "it may come before the lease")
    }

    @Test("OpenStack's form has it with the address that DHCP gives")
    func openStack() throws {
        let data = try json(OpenStackTree.networkData(try #require(untold.added(to: nil, port: macs[0]))))
        let networks = try #require(data["networks"] as? [[String: Any]])
        #expect(networks.count == 1 && networks[0]["type"] as? String == "ipv4_dhcp")
        let routes = try #require(networks[0]["routes"] as? [[String: String]])
        #expect(routes == [["network": "169.254.169.254", "netmask": "255.255.255.255", "gateway": "10.77.0.1"]])
    }
}
