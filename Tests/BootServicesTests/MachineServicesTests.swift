import Logging
import Model
import NIOCore
import NIOPosix
import NetBoot
import Store
import Testing
import Wire

@testable import BootServices

@Suite(
    "Services for machines", .serialized, .timeLimit(.minutes(1)),
    .enabled(if: TestWire.isPossible, "network namespaces need root and iproute2"))
struct MachineServicesTests {
    @Test("on a wire that is only watched nobody is asked and nobody answered, though a network behind its relay is served")
    func watchedWire() async throws {
        let (wire, store, folder) = (try TestWire(), MemoryStore(), try TemporaryFolder())
        let network = try DHCPServiceTests.network(wire) {
            $0.chosenPolicy = .watch
            var subnet = BootNetwork.Subnet(prefix: try #require(IPv4Prefix("10.79.0.0/24")))
            subnet.ranges = [.init(first: try address("10.79.0.100"), last: try address("10.79.0.110"))]
            subnet.policy = .known
            $0.subnets = [subnet]
        }
        let services = MachineServices(
            network: network, control: try await openControl(store), store: store,
            files: BootFilePaths(boot: folder.path, blobs: folder.path), logger: Logger(label: "test"))
        let (server, given, mac) = (network.address.address, try address("10.79.0.100"), DHCPServiceTests.mac)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await services.run() }
            // A relay's port hears broadcasts to servers, too.
            try await DHCPTestClient.open(wire.client, port: 67) { relay in
                #expect(
                    try await eventually {
                        try await relay.send([0, 1] + Array("none".utf8) + [0] + Array("octet".utf8) + [0], to: server, port: 69)
                        try await relay.send([0, 9], to: server, port: 69)
                        return services.counters["tftp"]?["watched"] ?? 0 > 1
                    })
                #expect(services.counters["tftp"]?["refused"] == 0 && services.counters["tftp"]?["malformed"] == 0)
                try await relay.send(.pxeDiscover(mac, transactionID: 1))
                #expect(await eventually { services.counters["dhcp"]?["watched"] == 1 })
                // What its relay sends, and what its machine renews past the relay (RFC 2131 §4.4.5), is answered.
                var request = DHCPMessage.request(mac: mac, transactionID: 2, address: given, server: server)
                request.relayAddress = try address("10.79.0.1")
                try await relay.send(request, to: server)
                #expect(await eventually { services.counters["dhcp"]?["granted"] == 1 })
                try await relay.send(.renew(mac: mac, transactionID: 3, address: given), to: server)
                #expect(await eventually { services.counters["dhcp"]?["granted"] == 2 })
                #expect(services.counters["dhcp"]?["watched"] == 1 && services.counters["dhcp"]?["probes"] == nil)
                // The answers to these two, its own broadcast, and nothing else: no offer, and no question of the server's.
                #expect(relay.waiting.allSatisfy { $0.isReply ? [2, 3].contains($0.transactionID) : $0.transactionID == 1 })
                #expect(services.counters["ipv6"] == [:])
            }
            tasks.cancelAll()
        }
    }

    @Test("every service counts what it did and what it dropped, for the status to tell")
    func counters() async throws {
        let (wire, store, folder) = (try TestWire(), MemoryStore(), try TemporaryFolder())
        let network = try DHCPServiceTests.network(wire)
        let services = MachineServices(
            network: network, control: try await openControl(store), store: store,
            files: BootFilePaths(boot: folder.path, blobs: folder.path), logger: Logger(label: "test"))
        let group = try await NamespaceThreads.group(namespace: wire.client, threads: 1)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await services.run() }
            try await DHCPTestClient.open(wire.client) { client in
                // The server is there when it answers.
                #expect(try await eventually { try await client.join(DHCPServiceTests.mac) != nil })
                try await client.send([1, 2, 3])
                let server = network.address.address
                // One for each port: a TFTP request for a file that is not there, and one that is none.
                #expect(
                    try await eventually {
                        try await client.send([0, 1] + Array("none".utf8) + [0] + Array("octet".utf8) + [0], to: server, port: 69)
                        try await client.send([0, 9], to: server, port: 69)
                        let counters = services.counters
                        return counters["tftp"]?["refused"] ?? 0 > 0 && counters["tftp"]?["malformed"] ?? 0 > 0
                    })
                #expect(await eventually { services.counters["dhcp"]?["malformed"] == 1 })
                #expect(services.counters["dhcp"]?["granted"] ?? 0 > 0)
            }
            let address = try SocketAddress(ipAddress: network.address.address.description, port: network.httpPort)
            let client = try await HTTPTestClient(to: address, on: group)
            #expect(try await client.ask("GET", "/boot/vmlinuz")?.status == 404)
            #expect(services.counters["http"]?["requests"] == 1)
            await client.close()
            tasks.cancelAll()
        }
        try await group.shutdownGracefully()
    }
}
