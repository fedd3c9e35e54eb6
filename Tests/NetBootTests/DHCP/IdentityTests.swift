import NetBoot
import Testing
import Wire

@Test("by MAC address, a machine keeps its address when its system sends another client identifier")
func oneAddressAMachine() throws {
    let own = IPv4Address("10.0.0.1")
    let first = IPv4Address("10.0.0.100")
    let last = IPv4Address("10.0.0.199")
    let prefix = try #require(IPv4Prefix("10.0.0.0/24"))
    for byMAC in [true, false] {
        var configuration = DHCPServerConfiguration(serverAddress: own, prefix: prefix)
        configuration.ranges = [.init(first: first, last: last)]
        configuration.identifiesByMAC = byMAC
        var server = try DHCPServer(configuration, leases: [])
        let mac = MACAddress(value: 0x5254_0000_0001)
        var addresses: Set<IPv4Address> = []
        for identifier in [[1, 0x52, 0x54, 0, 0, 0, 1], [255, 1, 2, 3, 4, 5]] as [[UInt8]] {
            let discover = DHCPMessage.discover(mac: mac, transactionID: 7, clientIdentifier: identifier)
            guard case .reply(let offer, _) = server.receive(discover, on: ReceiveContext(), nowMilliseconds: 0, boot: nil) else {
                Issue.record("no offer")
                continue
            }
            let request = DHCPMessage.request(
                mac: mac, transactionID: 7, address: offer.yourAddress, server: own, clientIdentifier: identifier)
            guard case .grant(let lease, _, _) = server.receive(request, on: ReceiveContext(), nowMilliseconds: 0, boot: nil) else {
                Issue.record("no lease")
                continue
            }
            addresses.insert(lease.address)
        }
        #expect(addresses.count == (byMAC ? 1 : 2))
    }
}
