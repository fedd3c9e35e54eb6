public import Wire

extension NetworkConfig {
    /// Links in one configuration, at most.
    public static let linkLimit = 64

    /// Throws the first thing that no machine could do with it.
    ///
    /// - Parameter macs: the machine's ports, where they are known; a port that it does not have is an error.
    public func check(macs: Set<MACAddress>? = nil) throws(Problem) {
        let names = ethernets.map(\.name) + bonds.map(\.name) + vlans.map(\.name) + bridges.map(\.name)
        guard !names.isEmpty else { throw Self.wrong("It has no link", remedy: "Name at least one Ethernet port.") }
        guard names.count <= Self.linkLimit else { throw Self.wrong("It has more than \(Self.linkLimit) links") }
        var seen: Set<String> = []
        for name in names {
            // IFNAMSIZ is 16 with the closing NUL.
            guard (1...15).contains(name.utf8.count), name != ".", name != "..",
                name.utf8.allSatisfy({ Self.isNameByte($0) })
            else {
                throw Self.wrong("“\(name)” is not the name of a link", remedy: "Use 1 to 15 of a–z, A–Z, 0–9, dot, dash, underscore.")
            }
            guard seen.insert(name).inserted else { throw Self.wrong("Two links are named \(name)") }
        }
        try checkPorts(macs)
        try checkMembers()
        try checkVLANs()
        for (name, addressing) in addressings { try Self.check(addressing, of: name) }
        try checkAcrossLinks()
    }

    static func wrong(_ why: String, remedy: String? = nil) -> Problem {
        Problem("network-invalid", status: 422, title: "The network configuration cannot be: \(why)", remedy: remedy)
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        (97...122).contains(byte) || (65...90).contains(byte) || (48...57).contains(byte) || "._-".utf8.contains(byte)
    }

    private func checkPorts(_ macs: Set<MACAddress>?) throws(Problem) {
        var seen: Set<MACAddress> = []
        for port in ethernets {
            guard port.mac.value != 0, !port.mac.isMulticast else {
                throw Self.wrong("\(port.mac) of \(port.name) is not a port's MAC address")
            }
            guard seen.insert(port.mac).inserted else { throw Self.wrong("two Ethernet links have the MAC address \(port.mac)") }
            if let macs, !macs.contains(port.mac) {
                throw Self.wrong(
                    "the machine has no port \(port.mac) (\(port.name))",
                    remedy: "It has: \(macs.sorted().map(\.description).joined(separator: ", ")).")
            }
        }
    }

    /// A link belongs to one bond or bridge at most, and a member has no addressing of its own.
    private func checkMembers() throws(Problem) {
        let ports = Set(ethernets.map(\.name))
        let other = Set(bonds.map(\.name) + vlans.map(\.name))
        var owner: [String: String] = [:]
        let addressing = Dictionary(addressings.map { ($0.name, $0.addressing) }) { first, _ in first }
        for (name, members, allowed) in bonds.map({ ($0.name, $0.members, ports) })
            + bridges.map({ ($0.name, $0.members, ports.union(other)) })
        {
            for member in members {
                guard allowed.contains(member) else {
                    throw Self.wrong("\(name) has the member \(member), which is no link that it could have")
                }
                if let first = owner.updateValue(name, forKey: member) {
                    throw Self.wrong("\(member) is a member of both \(first) and \(name)")
                }
                guard addressing[member]?.isEmpty != false else {
                    throw Self.wrong("\(member) is a member of \(name) and has an address of its own", remedy: "Give the address to \(name).")
                }
            }
        }
        for bond in bonds {
            guard !bond.members.isEmpty else { throw Self.wrong("bond \(bond.name) has no member") }
            if let pause = bond.monitorMilliseconds, !(1...60_000).contains(pause) {
                throw Self.wrong("bond \(bond.name) looks at its links every \(pause) ms", remedy: "Usual is 100.")
            }
        }
        for vlan in vlans where bridges.contains(where: { $0.members.contains(vlan.link) }) {
            throw Self.wrong("VLAN \(vlan.name) is on \(vlan.link), which is a bridge's member")
        }
        for vlan in vlans {
            if let bond = bonds.first(where: { $0.members.contains(vlan.link) }) {
                throw Self.wrong("VLAN \(vlan.name) is on \(vlan.link), which is a member of \(bond.name)", remedy: "Put it on \(bond.name).")
            }
        }
    }

    private func checkVLANs() throws(Problem) {
        let carriers = Set(ethernets.map(\.name) + bonds.map(\.name) + bridges.map(\.name))
        var seen: Set<String> = []
        for vlan in vlans {
            guard (1...4094).contains(vlan.id) else { throw Self.wrong("VLAN \(vlan.name) has the number \(vlan.id)", remedy: "Use 1 to 4094.") }
            guard carriers.contains(vlan.link) else { throw Self.wrong("VLAN \(vlan.name) is on \(vlan.link), which is not there") }
            guard seen.insert("\(vlan.link).\(vlan.id)").inserted else {
                throw Self.wrong("VLAN \(vlan.id) is on \(vlan.link) twice")
            }
        }
        // A bridge over a VLAN of itself has no beginning.
        for bridge in bridges {
            for vlan in vlans where vlan.link == bridge.name && bridge.members.contains(vlan.name) {
                throw Self.wrong("\(bridge.name) is on \(vlan.name), which is on \(bridge.name)")
            }
        }
    }

    private static func check(_ addressing: LinkAddressing, of name: String) throws(Problem) {
        guard addressing.addresses.count <= 32, addressing.routes.count <= 64, addressing.nameservers.count <= 8,
            addressing.searchDomains.count <= 16
        else { throw wrong("\(name) has too many addresses, routes or name servers") }
        for address in addressing.addresses {
            let first = address.address.value >> 24
            guard address.length > 0, first != 0, first != 127, first < 224 else {
                throw wrong("\(address) of \(name) is not an address of a machine", remedy: "Write it with its prefix length, as 10.20.0.10/24.")
            }
            guard address.length >= 31 || (address.address != address.network && address.address != address.broadcast) else {
                throw wrong("\(address) of \(name) is the network's own or its broadcast address")
            }
        }
        for route in addressing.routes {
            guard !addressing.isEmpty else { throw wrong("\(name) has a route but no address") }
            guard addressing.dhcp || addressing.addresses.contains(where: { $0.contains(route.via) }) else {
                throw wrong("\(name) has a route by \(route.via), which is in none of its networks")
            }
            if let metric = route.metric, !(0...0x7fff_ffff).contains(metric) { throw wrong("\(name) has a route of metric \(metric)") }
        }
        if let mtu = addressing.mtu, !(576...9216).contains(mtu) {
            throw wrong("\(name) has an MTU of \(mtu) bytes", remedy: "Use 576 to 9216.")
        }
        for domain in addressing.searchDomains {
            let labels = domain.split(separator: ".", omittingEmptySubsequences: false).map { $0.lowercased() }
            guard domain.utf8.count <= 253, !labels.isEmpty, labels.allSatisfy(HostLabel.isValid) else {
                throw wrong("“\(domain)” of \(name) is not a domain")
            }
        }
    }

    private func checkAcrossLinks() throws(Problem) {
        var addresses: [IPv4Address: String] = [:]
        var defaults: [Int: String] = [:]
        for (name, addressing) in addressings {
            for address in addressing.addresses {
                if let other = addresses.updateValue(name, forKey: address.address) {
                    throw Self.wrong("\(address.address) is on \(other) and on \(name)")
                }
            }
            for route in addressing.routes where route.to.length == 0 {
                if let other = defaults.updateValue(name, forKey: route.metric ?? 0) {
                    throw Self.wrong("\(other) and \(name) both have the default route", remedy: "Give one of them a higher metric.")
                }
            }
        }
        guard addressings.contains(where: { !$0.addressing.isEmpty }) else {
            throw Self.wrong("no link has an address or DHCP", remedy: "The machine could not be reached.")
        }
    }
}
