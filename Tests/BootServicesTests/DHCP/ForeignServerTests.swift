import Control
import Foundation
import Model
import NIOPosix
import NetBoot
import Store
import Testing
import Wire

@testable import BootServices

@Suite(
    "Other DHCP servers", .serialized, .timeLimit(.minutes(2)),
    .enabled(if: TestWire.isPossible, "network namespaces need root and iproute2"))
struct ForeignServerTests {
    private static let mac = DHCPServiceTests.mac

    @Test("a client that takes another server's offer gives that server away, once and by name")
    func chosen() async throws {
        let (wire, store) = (try TestWire(), MemoryStore())
        let rival = try address("10.78.0.66")
        try await DHCPServiceTests.serving(try DHCPServiceTests.network(wire), store: store) { service, _ in
            try await DHCPTestClient.open(wire.client) { client in
                for number in 0..<3 as Range<UInt32> {
                    let offered = try #require(try await client.ask(.discover(mac: Self.mac, transactionID: number)))
                    #expect(offered.type == .offer)
                    try await client.send(
                        .request(mac: Self.mac, transactionID: number, address: try address("10.78.0.200"), server: rival))
                }
                #expect(await eventually { service.counters["foreign-server"] == 3 })
                #expect(service.foreignServers.keys.map(\.self) == [rival])
                #expect(try await eventually { try await Self.events(store).count == 1 })
            }
        }
    }

    @Test("beside another server, that server is no news")
    func proxy() async throws {
        let wire = try TestWire()
        try await DHCPServiceTests.serving(try DHCPServiceTests.network(wire) { $0.mode = .proxy }) { service, _ in
            try await DHCPTestClient.open(wire.client) { client in
                try await client.send(
                    .request(
                        mac: Self.mac, transactionID: 1, address: try address("10.78.0.200"), server: try address("10.78.0.66")))
                #expect(await eventually { service.counters["dropped"] == 1 })
                #expect(service.foreignServers.isEmpty)
            }
        }
    }

    @Test("the probe finds the server of the wire, and takes no address of it")
    func probe() async throws {
        let (wire, store) = (try TestWire(), MemoryStore())
        try await DHCPServiceTests.serving(try DHCPServiceTests.network(wire), store: store) { service, _ in
            let group = try await NamespaceThreads.group(namespace: wire.client, threads: 1)
            let probe = DHCPProbe(interface: "wire0", ownAddress: try address("10.78.0.2"))
            let answers = try await probe.run(on: group, for: .milliseconds(400))
            #expect(answers == [.init(server: try address("10.78.0.1"), offered: try address("10.78.0.100"))])
            #expect(service.counters["granted"] == 0)
            #expect(try await store.list(prefix: "/leases/", after: nil, limit: 10).values.isEmpty)
            try await group.shutdownGracefully()
        }
    }

    @Test("a server does not find itself, and offers its own probe nothing")
    func ownProbe() async throws {
        let wire = try TestWire()
        let network = try DHCPServiceTests.network(wire)
        try await DHCPServiceTests.serving(network) { service, group in
            let known = DHCPProbe(interface: "wire0", ownAddress: network.address.address)
            var answers = try await known.run(on: group, for: .milliseconds(200))
            #expect(answers.isEmpty)
            #expect(service.counters["own-probe"] == 2)
            // One that is not told our address finds it on the interface.
            answers = try await DHCPProbe(interface: "wire0").run(on: group, for: .milliseconds(200))
            #expect(answers.isEmpty)
            #expect(service.counters["sent"] == 0)
        }
    }

    @Test("an interface that is not there is an error that names it")
    func noInterface() async throws {
        let wire = try TestWire()
        let group = try await NamespaceThreads.group(namespace: wire.client, threads: 1)
        let error = await #expect(throws: BootServiceError.self) {
            _ = try await DHCPProbe(interface: "none0").run(on: group, for: .milliseconds(10))
        }
        #expect(error?.description == "there is no network interface none0; see `ip link`")
        try await group.shutdownGracefully()
    }

    @Test(
        "the running server finds dnsmasq on its wire by itself",
        .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/sbin/dnsmasq"), "dnsmasq is not installed"))
    func dnsmasq() async throws {
        let (wire, store) = (try TestWire(), MemoryStore())
        let rival = try TestProgram(
            "/usr/sbin/ip",
            [
                "netns", "exec", wire.client, "/usr/sbin/dnsmasq", "--keep-in-foreground", "--port=0", "--interface=wire0",
                "--conf-file=/dev/null", "--dhcp-range=10.78.0.200,10.78.0.210,1h", "--dhcp-leasefile=/dev/null", "--pid-file=",
            ])
        defer { withExtendedLifetime(rival) {} }
        try await DHCPServiceTests.serving(try DHCPServiceTests.network(wire), store: store) { service, group in
            async let _: Void = service.probeForOthers(on: group, every: .milliseconds(200), for: .milliseconds(500))
            let other = try address("10.78.0.2")
            #expect(await eventually(within: .seconds(20)) { service.foreignServers.keys.map(\.self) == [other] })
            #expect(try await eventually { try await Self.events(store).count == 1 })
        }
    }

    @Test("of any number of servers that are claimed, few are kept, and old ones are forgotten")
    func limits() {
        let servers = ForeignServers()
        let now = Timestamp(milliseconds: 1_700_000_000_000)
        for number in 0..<1000 as Range<UInt32> {
            #expect(servers.hear(IPv4Address(value: 0x0a00_0000 + number), at: now) == (number < ForeignServers.limit))
        }
        #expect(servers.known(at: now).count == ForeignServers.limit)
        #expect(!servers.hear(IPv4Address(value: 0x0a00_0000), at: now + .seconds(80_000)))
        let later = now + .seconds(90_000)
        #expect(servers.known(at: later).count == 1)
        #expect(servers.hear(IPv4Address(value: 0x0b00_0000), at: later))
    }

    private static func events(_ store: MemoryStore) async throws -> [Event] {
        try await store.list(prefix: Event.prefix, after: nil, limit: 100).values
            .map { try RecordCoding.decode(Event.self, from: $0) }
            .filter { $0.kind == "network.foreign-dhcp-server" }
    }
}
