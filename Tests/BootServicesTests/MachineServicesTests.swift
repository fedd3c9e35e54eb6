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
