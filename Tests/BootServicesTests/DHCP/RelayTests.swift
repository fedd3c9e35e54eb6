import Foundation
import Store
import Testing
import Wire

@testable import BootServices
@testable import NetBoot

@Suite(
    "DHCP through a relay", .serialized, .timeLimit(.minutes(1)),
    .enabled(
        if: TestWire.isPossible && FileManager.default.isExecutableFile(atPath: "/usr/sbin/dnsmasq"),
        "network namespaces need root and iproute2, the relay dnsmasq"))
struct RelayTests {
    @Test("a machine on another network joins, renews and releases through dnsmasq as its relay")
    func dnsmasqRelay() async throws {
        let (wire, far, store) = (try TestWire(), try TestWire(cables: 0), MemoryStore())
        // server wire0 ── wire0 relay near0 ── wire0 machine: 10.78.0.0/24, then 10.79.0.0/24.
        let (relay, machine) = (wire.client, far.client)
        try TestWire.ip("-n \(relay) link add near0 type veth peer name wire0 netns \(machine)")
        try TestWire.ip("-n \(relay) address add 10.79.0.1/24 dev near0")
        let port = try #require(MACAddress("02:00:5e:00:53:02"))
        try TestWire.ip("-n \(relay) link set wire0 address \(port)")
        try TestWire.ip("-n \(relay) link set near0 up")
        try TestWire.ip("-n \(machine) link set wire0 up")
        try TestWire.waitForLink(relay, "near0")
        try TestWire.waitForLink(machine, "wire0")
        try TestWire.ip("-n \(wire.server) route add 10.79.0.0/24 via 10.78.0.2")
        try TestWire.ip("netns exec \(relay) sysctl -qw net.ipv4.ip_forward=1")
        let program = try TestProgram(
            "/usr/sbin/ip",
            [
                "netns", "exec", relay, "/usr/sbin/dnsmasq", "--keep-in-foreground", "--port=0", "--conf-file=/dev/null",
                "--pid-file=", "--dhcp-relay=10.79.0.1,10.78.0.1",
            ])
        defer { withExtendedLifetime(program) {} }

        let network = try DHCPServiceTests.network(wire) { network in
            var subnet = BootNetwork.Subnet(prefix: try #require(IPv4Prefix("10.79.0.0/24")))
            subnet.ranges = [.init(first: try address("10.79.0.100"), last: try address("10.79.0.110"))]
            subnet.router = try address("10.79.0.1")
            subnet.routes = [.init(to: try #require(IPv4Prefix("10.0.0.0/8")), via: try address("10.79.0.2"))]
            subnet.mtu = 1400
            network.subnets = [subnet]
        }
        let (server, mac) = (network.address.address, DHCPServiceTests.mac)
        try await DHCPServiceTests.serving(network, store: store) { service, _ in
            let given = try await DHCPTestClient.open(machine) { client in
                // The machine has no address yet: a relay that is not told to broadcast would ask it by ARP.
                var discover = DHCPMessage.discover(mac: mac, transactionID: 1)
                discover.wantsBroadcast = true
                var found: DHCPMessage?
                // The relay is ready when it relays.
                _ = try await eventually {
                    try await client.send(discover)
                    found = await client.receive(1, within: .milliseconds(200))
                    return found != nil
                }
                let offer = try #require(found)
                var request = DHCPMessage.request(mac: mac, transactionID: 2, address: offer.yourAddress, server: server)
                request.wantsBroadcast = true
                let reply = try #require(try await client.ask(request))
                #expect(reply.type == .acknowledge)
                #expect(reply.options.uint16(.interfaceMTU) == 1400)
                // To the metadata service, what the configuration says, and the default route (RFC 3442).
                #expect(
                    reply.classlessRoutes?.map { "\($0.destination) \($0.router)" } == [
                        "169.254.169.254/32 10.79.0.1", "10.0.0.0/8 10.79.0.2", "0.0.0.0/0 10.79.0.1",
                    ])
                return reply.yourAddress
            }
            let first = try address("10.79.0.100")
            #expect(given == first)
            #expect(try await DHCPServiceTests.lease(store, given)?.state == .bound)

            try TestWire.ip("-n \(machine) address add \(given)/24 dev wire0")
            try TestWire.ip("-n \(machine) route add default via 10.79.0.1")
            try await DHCPTestClient.open(machine) { client in
                let renewed = try await client.ask(.renew(mac: mac, transactionID: 8, address: given), to: server)
                #expect(renewed?.type == .acknowledge)
                try await client.send(.release(mac: mac, transactionID: 9, address: given, server: server), to: server)
                #expect(try await eventually { try await DHCPServiceTests.lease(store, given)?.state == .released })
            }
            #expect(service.counters["malformed"] == 0)
            // The relay was the first: its port is the one of that network from now on, over restarts.
            let later = RouterPorts(network: network)
            #expect(
                try await eventually {
                    try await later.load(from: store)
                    return later.judge(port, of: network.subnets[0]) == .router
                })
        }
    }

    @Test("who makes up a relay on our own wire gets no lease there: its frame is none of the router's", arguments: [true, false])
    func madeUpRelay(isConfigured: Bool) async throws {
        let (wire, store) = (try TestWire(), MemoryStore())
        let router = try #require(MACAddress("02:00:5e:00:53:01"))
        let network = try DHCPServiceTests.network(wire) { network in
            var subnet = BootNetwork.Subnet(prefix: try #require(IPv4Prefix("10.79.0.0/24")))
            subnet.ranges = [.init(first: try address("10.79.0.100"), last: try address("10.79.0.110"))]
            if isConfigured { subnet.routerPorts = [router] }
            network.subnets = [subnet]
        }
        if !isConfigured { try await RouterPorts(network: network).keep(router, of: network.subnets[0], in: store) }
        let (server, mac, given) = (network.address.address, DHCPServiceTests.mac, try address("10.79.0.100"))
        try await DHCPServiceTests.serving(network, store: store) { service, _ in
            try await DHCPTestClient.open(wire.client, port: 67) { thief in
                var messages = [
                    DHCPMessage.discover(mac: mac, transactionID: 1),
                    .request(mac: mac, transactionID: 2, address: given, server: server),
                ]
                for index in messages.indices { messages[index].relayAddress = try address("10.79.0.1") }
                // Without a relay's name: as a machine that has the address and renews it through its router.
                messages.append(.renew(mac: mac, transactionID: 3, address: given))
                for message in messages { try await thief.send(message, to: server) }
                #expect(await eventually { service.counters["dropped-foreign-router"] == 3 }, "\(service.counters.all)")
            }
            #expect(service.counters["sent"] == 0 && service.counters["granted"] == 0)
            #expect(service.leases.lease(at: given) == nil)
            #expect(try await DHCPServiceTests.lease(store, given) == nil)
        }
    }

    @Test("a relay of a network that is not configured gets no answer, and is counted")
    func stranger() async throws {
        let wire = try TestWire()
        try await DHCPServiceTests.serving(try DHCPServiceTests.network(wire)) { service, _ in
            try await DHCPTestClient.open(wire.client, port: 67) { relay in
                var discover = DHCPMessage.discover(mac: DHCPServiceTests.mac, transactionID: 1)
                discover.relayAddress = try address("10.99.0.1")
                try await relay.send(discover, to: try address("10.78.0.1"))
                #expect(await eventually { service.counters["dropped-relay-of-another-network"] == 1 })
                #expect(service.counters["sent"] == 0)
            }
        }
    }
}
