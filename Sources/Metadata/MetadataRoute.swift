public import Model
public import Wire

/// How machines of a network find the metadata service.
public struct MetadataRoute: Sendable, Equatable {
    /// 169.254.169.254 as a route's destination.
    public static let destination = IPv4Prefix(address: IPv4Address(value: 0xa9fe_a9fe), length: 32)

    /// The address by which it is reached, with the prefix length of the network that the machines are on: Hostler's own, or a
    /// router's.
    public var gateway: IPv4Prefix
    /// Whether the network's DHCP server tells of it (RFC 3442). Another's does not.
    public var isToldByDHCP: Bool

    public init(gateway: IPv4Prefix, isToldByDHCP: Bool = true) {
        self.gateway = gateway
        self.isToldByDHCP = isToldByDHCP
    }

    /// A machine's network with this route on the links that are of the gateway's network and that nobody else tells of it:
    /// those with a static address there, and, if the machine booted there and DHCP does not tell it, the one that asks DHCP by
    /// `port`. A link that has a route of its own to the service keeps that one.
    ///
    /// - Parameters:
    ///   - network: what people want; nil: nothing special, so that the system asks DHCP on its first port.
    ///   - port: the one by which the machine booted, as far as it is known.
    ///   - bootedThere: whether that was on the gateway's network.
    public func added(to network: NetworkConfig?, port: MACAddress?, bootedThere: Bool = true) -> NetworkConfig? {
        guard var network = network ?? (isToldByDHCP || !bootedThere ? nil : port.map(Self.asking)) else { return nil }
        let carriers = port.map { network.links(carrying: $0) } ?? []
        network.changeAddressings { name, addressing in
            guard let to = Self.destination, !addressing.routes.contains(where: { $0.to == to }) else { return }
            // Of which network's DHCP server a link asks is known of the port that the machine booted by.
            let asksThere = addressing.dhcp && bootedThere && (port == nil || carriers.contains(name))
            let isFixedThere = addressing.addresses.contains { $0.network == gateway.network && $0.length == gateway.length }
            let isUntold = isToldByDHCP ? isFixedThere && !asksThere : isFixedThere || (asksThere && port != nil)
            if isUntold { addressing.routes.append(NetworkRoute(to: to, via: gateway.address)) }
        }
        return network
    }

    private static func asking(_ port: MACAddress) -> NetworkConfig {
        NetworkConfig(ethernets: [EthernetLink(name: "provision0", mac: port, rename: false, addressing: LinkAddressing(dhcp: true))])
    }
}

extension NetworkConfig {
    /// The Ethernet port, and the bonds and bridges that are built on it. Not its VLANs: these are other networks.
    func links(carrying port: MACAddress) -> Set<String> {
        var names = Set(ethernets.filter { $0.mac == port }.map(\.name))
        for bond in bonds where !names.isDisjoint(with: bond.members) { names.insert(bond.name) }
        // A bridge has no bridge in it.
        for bridge in bridges where !names.isDisjoint(with: bridge.members) { names.insert(bridge.name) }
        return names
    }

    mutating func changeAddressings(_ change: (String, inout LinkAddressing) -> Void) {
        for index in ethernets.indices { change(ethernets[index].name, &ethernets[index].addressing) }
        for index in bonds.indices { change(bonds[index].name, &bonds[index].addressing) }
        for index in vlans.indices { change(vlans[index].name, &vlans[index].addressing) }
        for index in bridges.indices { change(bridges[index].name, &bridges[index].addressing) }
    }
}
