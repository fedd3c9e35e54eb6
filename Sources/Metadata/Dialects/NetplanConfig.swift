public import Model
internal import Wire

/// cloud-init's network-config version 2, which is netplan's format, from a machine's desired network.
/// Written as JSON, which is YAML.
public enum NetplanConfig {
    public static func bytes(_ network: NetworkConfig) -> [UInt8] {
        tree(network).bytes + [UInt8(ascii: "\n")]
    }

    public static func tree(_ network: NetworkConfig) -> JSONTree {
        func section<Link>(_ links: [Link], _ member: (Link) -> (String, JSONTree)) -> JSONTree {
            .object(links.map(member))
        }
        var members: [(String, JSONTree)] = [("version", 2)]
        members.append(
            (
                "ethernets",
                section(network.ethernets) { port in
                    let match: JSONTree = ["macaddress": .string(port.mac.description)]
                    let name: [(String, JSONTree)] = port.rename ? [("set-name", .string(port.name))] : []
                    return (port.name, .object([("match", match)] + name + addressing(port.addressing)))
                }
            ))
        // systemd gives a bond or a bridge a MAC address of its own making, by which nobody would know the machine.
        let macs = Dictionary(network.ethernets.map { ($0.name, $0.mac) }) { first, _ in first }
        func mac(of members: [String]) -> [(String, JSONTree)] {
            guard let first = members.first else { return [] }
            if let mac = macs[first] { return [("macaddress", .string(mac.description))] }
            return mac(of: network.bonds.first { $0.name == first }?.members ?? [])
        }
        if !network.bonds.isEmpty {
            members.append(
                (
                    "bonds",
                    section(network.bonds) { bond in
                        var parameters: [(String, JSONTree)] = [("mode", .string(bond.mode.rawValue))]
                        // Without it a bond never sees a dead link (Linux bonding.txt, "miimon").
                        parameters.append(("mii-monitor-interval", .number(bond.monitorMilliseconds ?? 100)))
                        return (
                            bond.name,
                            .object(
                                [("interfaces", .texts(bond.members))] + mac(of: bond.members) + [("parameters", .object(parameters))]
                                    + addressing(bond.addressing))
                        )
                    }
                ))
        }
        if !network.vlans.isEmpty {
            members.append(
                (
                    "vlans",
                    section(network.vlans) { vlan in
                        (vlan.name, .object([("id", .number(vlan.id)), ("link", .string(vlan.link))] + addressing(vlan.addressing)))
                    }
                ))
        }
        if !network.bridges.isEmpty {
            members.append(
                (
                    "bridges",
                    section(network.bridges) { bridge in
                        let parameters: JSONTree = ["stp": .bool(bridge.spanningTree)]
                        return (
                            bridge.name,
                            .object(
                                [("interfaces", .texts(bridge.members))] + mac(of: bridge.members) + [("parameters", parameters)]
                                    + addressing(bridge.addressing))
                        )
                    }
                ))
        }
        return .object(members)
    }

    private static func addressing(_ link: LinkAddressing) -> [(String, JSONTree)] {
        var members: [(String, JSONTree)] = [("dhcp4", .bool(link.dhcp))]
        if !link.addresses.isEmpty { members.append(("addresses", .texts(link.addresses))) }
        let routes = link.routes.map { route -> JSONTree in
            var parts: [(String, JSONTree)] = [
                ("to", .string("\(route.to.network)/\(route.to.length)")), ("via", .string(route.via.description)),
            ]
            // It may be set before DHCP has given the address whose network the gateway is in.
            if link.dhcp, !link.addresses.contains(where: { $0.contains(route.via) }) { parts.append(("on-link", .bool(true))) }
            if let metric = route.metric { parts.append(("metric", .number(metric))) }
            return .object(parts)
        }
        if !routes.isEmpty { members.append(("routes", .array(routes))) }
        if !link.nameservers.isEmpty || !link.searchDomains.isEmpty {
            var parts: [(String, JSONTree)] = []
            if !link.nameservers.isEmpty { parts.append(("addresses", .texts(link.nameservers))) }
            if !link.searchDomains.isEmpty { parts.append(("search", .texts(link.searchDomains))) }
            members.append(("nameservers", .object(parts)))
        }
        if let mtu = link.mtu { members.append(("mtu", .number(mtu))) }
        return members
    }
}
