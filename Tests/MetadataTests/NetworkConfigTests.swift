import Foundation
import Model
import Testing
import Wire

@Suite("A desired network")
struct NetworkConfigTests {
    @Test("of a bond with a VLAN is taken, and survives its JSON")
    func good() throws {
        let config = bondedNetwork()
        try config.check(macs: Set(macs))
        #expect(try JSONDecoder().decode(NetworkConfig.self, from: JSONEncoder().encode(config)) == config)
    }

    @Test("that cannot be is refused, with what is wrong with it")
    func bad() throws {
        try refused("Two links are named eth0") { $0.ethernets[1].name = "eth0" }
        try refused("MAC address") { $0.ethernets[1].mac = macs[0] }
        try refused("no port") { $0.ethernets[1].mac = MACAddress(value: 0x0200_0000_0099) }
        try refused("not a port's") { $0.ethernets[1].mac = .broadcast }
        try refused("not the name of a link") { $0.vlans[0].name = "much-too-long-name" }
        try refused("not the name of a link") { $0.vlans[0].name = "a/b" }
        try refused("which is no link") { $0.bonds[0].members.append("eth7") }
        try refused("has no member") { $0.bonds[0].members = [] }
        try refused("member of both") { $0.bridges = [BridgeLink(name: "br0", members: ["eth0"])] }
        try refused("address of its own") { $0.ethernets[0].addressing.dhcp = true }
        try refused("has the number 4095") { $0.vlans[0].id = 4095 }
        try refused("which is not there") { $0.vlans[0].link = "eth9" }
        try refused("is a member of bond0") { $0.vlans[0].link = "eth0" }
        try refused("in none of its networks") { $0.vlans[0].addressing.routes[0].via = IPv4Address("10.99.0.1")! }
        try refused("is on bond0 and on bond0.40") { $0.vlans[0].addressing = LinkAddressing(addresses: [IPv4Prefix("10.77.0.20/24")!]) }
        try refused("broadcast") { $0.bonds[0].addressing.addresses = [IPv4Prefix("10.77.0.255/24")!] }
        try refused("not an address of a machine") { $0.bonds[0].addressing.addresses = [IPv4Prefix("127.0.0.1/8")!] }
        try refused("MTU") { $0.vlans[0].addressing.mtu = 60 }
        try refused("not a domain") { $0.bonds[0].addressing.searchDomains = ["a..b"] }
        try refused("no link has an address") {
            $0.bonds[0].addressing = LinkAddressing()
            $0.vlans = []
        }
        try refused("has no link") { $0 = NetworkConfig() }
        try refused("both have the default route") {
            $0.bonds[0].addressing.routes = [NetworkRoute(to: IPv4Prefix("0.0.0.0/0")!, via: IPv4Address("10.77.0.1")!)]
        }
    }

    @Test("with a misspelt member is refused by its name")
    func misspelt() {
        let text = #"{"ethernets":[{"name":"eth0","mac":"52:54:00:00:00:01","addressing":{"adresses":["10.0.0.1/24"]}}]}"#
        #expect { try JSONDecoder().decode(NetworkConfig.self, from: Data(text.utf8)) } throws: { "\($0)".contains("adresses") }
    }

    private func refused(_ why: String, _ change: (inout NetworkConfig) -> Void) throws {
        var config = bondedNetwork()
        change(&config)
        #expect { try config.check(macs: Set(macs)) } throws: { error in
            let problem = error as? Problem
            return problem?.code == "network-invalid" && problem?.title.contains(why) == true
        }
    }
}
