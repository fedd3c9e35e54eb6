public import Model
internal import Wire

/// OpenStack's metadata (Nova, "Metadata service" and "Config drives"): the same files over HTTP and on a drive.
public enum OpenStackTree {
    static let versions = ["2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-06-30", "2016-10-06", "2017-02-22", "2018-08-27", "latest"]
    static let files = ["meta_data.json", "network_data.json", "user_data", "vendor_data.json"]

    public static func metaData(_ view: InstanceView) -> [UInt8] {
        let names = view.sshKeys.enumerated().map { ("key-\($0.offset)", JSONTree.string($0.element)) }
        let keys = view.sshKeys.enumerated().map { index, key -> JSONTree in
            ["type": "ssh", "data": .string(key), "name": .string("key-\(index)")]
        }
        let tree: [(String, JSONTree)] = [
            ("uuid", .string(view.instanceID)), ("name", .string(view.hostname)), ("hostname", .string(view.fullHostname)),
            ("availability_zone", .string(view.placement.zoneID)), ("launch_index", 0), ("meta", .map(view.tags)),
            ("public_keys", .object(names)), ("keys", .array(keys)), ("devices", []), ("dedicated_cpus", []),
        ]
        return JSONTree.object(tree).bytes
    }

    /// `vendor_data.json`: cloud-init takes what stands under its own name.
    public static func vendorData(_ cloudConfig: [UInt8]?) -> [UInt8] {
        guard let cloudConfig else { return JSONTree.object([]).bytes }
        return JSONTree.object([("cloud-init", .string(String(decoding: cloudConfig, as: UTF8.self)))]).bytes
    }

    /// `network_data.json` of the desired network; of a machine without one: DHCP on the port that it asks by.
    /// A bridge has no form in it: its first member gets the address.
    public static func networkData(_ view: InstanceView) -> [UInt8] {
        let port = EthernetLink(name: "eth0", mac: view.mac, addressing: LinkAddressing(dhcp: true))
        return networkData(view.network ?? NetworkConfig(ethernets: [port]))
    }

    public static func networkData(_ config: NetworkConfig) -> [UInt8] {
        var links: [JSONTree] = []
        var networks: [JSONTree] = []
        var servers: [IPv4Address] = []
        func add(_ link: [(String, JSONTree)], _ name: String, _ addressing: LinkAddressing) {
            links.append(.object(link + (addressing.mtu.map { [("mtu", .number($0))] } ?? [])))
            networks += self.networks(name, addressing, servers: &servers)
        }
        for port in config.ethernets {
            let mac = JSONTree.string(port.mac.description)
            add(
                [("id", .string(port.name)), ("type", "phy"), ("ethernet_mac_address", mac)], port.name,
                addressing(of: port.name, port.addressing, config))
        }
        let macs = Dictionary(config.ethernets.map { ($0.name, $0.mac) }) { first, _ in first }
        for bond in config.bonds {
            let mac = bond.members.first.flatMap { macs[$0] }
            add(
                [
                    ("id", .string(bond.name)), ("type", "bond"), ("ethernet_mac_address", .text(mac?.description)),
                    ("bond_links", .texts(bond.members)), ("bond_mode", .string(bond.mode.rawValue)),
                    ("bond_miimon", .number(bond.monitorMilliseconds ?? 100)),
                ], bond.name, addressing(of: bond.name, bond.addressing, config))
        }
        for vlan in config.vlans {
            let bond = config.bonds.first { $0.name == vlan.link }
            let mac = macs[vlan.link] ?? bond?.members.first.flatMap { macs[$0] }
            add(
                [
                    ("id", .string(vlan.name)), ("type", "vlan"), ("vlan_link", .string(vlan.link)), ("vlan_id", .number(vlan.id)),
                    ("vlan_mac_address", .text(mac?.description)),
                ], vlan.name, addressing(of: vlan.name, vlan.addressing, config))
        }
        let services = servers.map { server -> JSONTree in ["type": "dns", "address": .string(server.description)] }
        return JSONTree.object([("links", .array(links)), ("networks", .array(networks)), ("services", .array(services))]).bytes
    }

    private static func addressing(of name: String, _ own: LinkAddressing, _ config: NetworkConfig) -> LinkAddressing {
        config.bridges.first { $0.members.first == name }?.addressing ?? own
    }

    private static func networks(
        _ link: String, _ addressing: LinkAddressing, servers: inout [IPv4Address]
    ) -> [JSONTree] {
        for server in addressing.nameservers where !servers.contains(server) { servers.append(server) }
        var result: [JSONTree] = []
        func routes(_ belongs: (NetworkRoute) -> Bool) -> JSONTree {
            .array(
                addressing.routes.filter(belongs).map { route in
                    [
                        "network": .string(route.to.network.description), "netmask": .string(route.to.mask.description),
                        "gateway": .string(route.via.description),
                    ]
                })
        }
        // A route stands with the address whose network its gateway is in, or with the one that DHCP gives.
        if addressing.dhcp {
            result.append([
                "id": .string("\(link)-dhcp"), "type": "ipv4_dhcp", "link": .string(link), "network_id": .string(link),
                "routes": routes { route in !addressing.addresses.contains { $0.contains(route.via) } },
            ])
        }
        for (index, address) in addressing.addresses.enumerated() {
            result.append([
                "id": .string("\(link)-\(index)"), "type": "ipv4", "link": .string(link),
                "ip_address": .string(address.address.description), "netmask": .string(address.mask.description),
                "routes": routes { address.contains($0.via) }, "network_id": .string(link),
                "services": .array(addressing.nameservers.map { ["type": "dns", "address": .string($0.description)] }),
            ])
        }
        return result
    }
}
