import Foundation
import Model
import Testing
import Wire

@testable import Metadata

let testSessions = MetadataSessions(code: testCode, digest: { testCode([1] + $0) })

/// What tests can compute: not a good code, but another one for every other message.
@Sendable func testCode(_ message: [UInt8]) -> [UInt8] {
    var state: UInt64 = 0xcbf2_9ce4_8422_2325
    var out: [UInt8] = []
    for round in 0..<4 {
        for byte in message + [UInt8(round)] { state = (state ^ UInt64(byte)) &* 0x100_0000_01b3 }
        out += (0..<8).map { UInt8(truncatingIfNeeded: state >> (8 * $0)) }
    }
    return out
}

let start = Timestamp(milliseconds: 1_700_000_000_000)
let macs = [MACAddress(value: 0x5254_0000_0001), MACAddress(value: 0x5254_0000_0002)]
let address = IPv4Address(value: 0x0a4d_0032)
let prefix = IPv4Prefix(address: IPv4Address(value: 0x0a4d_0001), length: 24)!
let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHoyvYMdWsXKNFJIMZDJi9SbC0fFJ0oKs1bJGhYjVuNq Ada's key"

func machine() throws -> Machine {
    var machine = Machine(
        id: MachineID(unchecked: "m-7f3k2q"), name: try DisplayName("node 🎄"),
        interfaces: [Interface(mac: macs[0], name: "eth0"), Interface(mac: macs[1])], now: start)
    machine.state = .running
    machine.desired.tags = ["role": "web", "owner": "Bjørk"]
    machine.desired.sshKeys = [key, "ssh-ed25519 AAAA"]
    machine.installed = Installation(
        operation: OperationID(unchecked: "op-1234abcd"), generation: 1, image: "debian-12", digest: "sha256:ab", hostname: "web-1",
        diskSerial: nil, installedAt: start)
    return machine
}

func view(_ change: (inout Machine) -> Void = { _ in }) throws -> InstanceView {
    var machine = try machine()
    change(&machine)
    let placement = Placement(
        region: "Zürich 🎄", zone: "b", prefix: prefix, metadataRoute: MetadataRoute(gateway: prefix), nameservers: [address],
        domain: "rack.example")
    return InstanceView(machine: machine, operation: nil, placement: placement, address: address, mac: macs[0])
}

let instanceKey = "m-7f3k2q." + String(repeating: "1f", count: 32)
let seedKey = "m-7f3k2q." + String(repeating: "2e", count: 32)
let asker = Asker(
    machine: MachineID(unchecked: "m-7f3k2q"), incarnation: "op-1234abcd",
    keyVerifiers: KeyVerifiers(
        instance: Hex.encode(testCode([1] + Array(instanceKey.utf8))), seed: Hex.encode(testCode([1] + Array(seedKey.utf8)))),
    address: address, mac: macs[0])

/// A small generator, so that a failure's seed can be run again.
struct Seeded: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }
}

/// A bond of two ports with a VLAN and a static address, and a bridge.
func bondedNetwork() -> NetworkConfig {
    NetworkConfig(
        ethernets: [EthernetLink(name: "eth0", mac: macs[0]), EthernetLink(name: "eth1", mac: macs[1])],
        bonds: [
            BondLink(
                name: "bond0", mode: .activeBackup, members: ["eth0", "eth1"],
                addressing: LinkAddressing(
                    addresses: [IPv4Prefix("10.77.0.20/24")!], nameservers: [IPv4Address("10.77.0.1")!], searchDomains: ["rack.example"]))
        ],
        vlans: [
            VLANLink(
                name: "bond0.40", id: 40, link: "bond0",
                addressing: LinkAddressing(
                    addresses: [IPv4Prefix("10.40.0.20/24")!],
                    routes: [NetworkRoute(to: IPv4Prefix("0.0.0.0/0")!, via: IPv4Address("10.40.0.1")!)], mtu: 1400))
        ])
}

func json(_ bytes: [UInt8]) throws -> [String: Any] {
    try #require(JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
}
