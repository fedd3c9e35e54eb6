import Control
import Foundation
import Logging
import Model
import NIOCore
import NIOPosix
import Store
import Testing
import Wire

@testable import BootServices
@testable import NetBoot

@Suite(
    "DHCP service", .serialized, .timeLimit(.minutes(2)),
    .enabled(if: TestWire.isPossible, "network namespaces need root and iproute2"))
struct DHCPServiceTests {
    static let mac = MACAddress(value: 0x5254_0078_0001)

    static func network(_ wire: TestWire, _ change: (inout BootNetwork) throws -> Void = { _ in }) throws -> BootNetwork {
        guard let prefix = IPv4Prefix("10.78.0.1/24") else { throw FixtureError(what: "no prefix") }
        var network = BootNetwork(name: "test", interface: "wire0", address: prefix, namespace: wire.server)
        network.ranges = [.init(first: try address("10.78.0.100"), last: try address("10.78.0.119"))]
        try change(&network)
        return network
    }

    /// Runs a service for as long as `body` takes.
    static func serving<Result>(
        _ network: BootNetwork, store: any StateStore = MemoryStore(), clock: ManualClock = ManualClock(),
        bootFiles: [String] = ["undionly.kpxe", "ipxe.efi"],
        _ body: (DHCPService, MultiThreadedEventLoopGroup) async throws -> Result
    ) async throws -> Result {
        let control = try await openControl(store, clock: clock)
        let folder = try TemporaryFolder()
        for name in bootFiles { try folder.write(name, Data()) }
        let service = DHCPService(
            network: network, control: control, store: store, bootFolder: folder.path, logger: Logger(label: "test"))
        let group = try await NamespaceThreads.group(namespace: network.namespace, threads: 1)
        let outcome: Swift.Result<Result, any Error>
        do {
            _ = try await service.start(on: group)
            outcome = .success(try await body(service, group))
        } catch {
            outcome = .failure(error)
        }
        try await group.shutdownGracefully()
        return try outcome.get()
    }

    static func lease(_ store: any StateStore, _ address: IPv4Address) async throws -> DHCPLease? {
        try await store.get("/leases/test/\(address)").map { try RecordCoding.decode(DHCPLease.self, from: $0) }
    }

    @Test("a client gets an address, and its lease is in the store by then")
    func join() async throws {
        let (wire, store) = (try TestWire(), MemoryStore())
        try await Self.serving(try Self.network(wire), store: store) { service, _ in
            try await DHCPTestClient.open(wire.client) { client in
                let reply = try #require(try await client.join(Self.mac))
                #expect(reply.type == .acknowledge)
                let first = try address("10.78.0.100")
                #expect(reply.yourAddress == first)
                #expect(try await Self.lease(store, reply.yourAddress)?.state == .bound)
                #expect(service.counters["granted"] == 1)
                #expect(service.counters["sent"] == 2)
            }
        }
    }

    @Test("what comes by an interface that was not given is neither heard nor answered")
    func otherInterface() async throws {
        let wire = try TestWire(cables: 2)
        try await Self.serving(try Self.network(wire)) { service, _ in
            try await DHCPTestClient.open(wire.client, "wire1") { stranger in
                try await stranger.send(.discover(mac: MACAddress(value: 0x5254_0078_0099), transactionID: 9))
                try await stranger.send(
                    .discover(mac: MACAddress(value: 0x5254_0078_0099), transactionID: 9), to: try address("10.78.1.1"))
                try await DHCPTestClient.open(wire.client) { client in
                    _ = try #require(try await client.join(Self.mac))
                    #expect(service.counters["received"] == 2)
                    #expect(client.waiting.isEmpty)
                }
                #expect(stranger.waiting.isEmpty)
            }
        }
    }

    @Test("while it starts, nothing of another interface gets in")
    func otherInterfaceDuringStart() async throws {
        let wire = try TestWire(cables: 2)
        let network = try Self.network(wire)
        try await DHCPTestClient.open(wire.client, "wire1") { stranger in
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for _ in 0..<2 {
                    tasks.addTask {
                        let message = DHCPMessage.discover(mac: MACAddress(value: 0x5254_0078_0099), transactionID: 9)
                        while !Task.isCancelled { try await stranger.send(message) }
                    }
                }
                for _ in 0..<60 {
                    let count = try await Self.serving(network) { service, _ in
                        try await DHCPTestClient.open(wire.client) { client in
                            _ = try #require(try await client.join(Self.mac))
                        }
                        return service.counters["received"]
                    }
                    #expect(count == 2)
                }
                tasks.cancelAll()
            }
        }
    }

    @Test("a released lease is stored as that at once, with no grant after it")
    func release() async throws {
        let (wire, store) = (try TestWire(), MemoryStore())
        try TestWire.ip("-n \(wire.client) link set wire0 address \(Self.mac)")
        try await Self.serving(try Self.network(wire), store: store) { _, _ in
            try await DHCPTestClient.open(wire.client) { client in
                let given = try #require(try await client.join(Self.mac)).yourAddress
                try TestWire.ip("-n \(wire.client) address flush dev wire0")
                try TestWire.ip("-n \(wire.client) address add \(given)/24 dev wire0")
                try await client.send(
                    .release(mac: Self.mac, transactionID: 3, address: given, server: try address("10.78.0.1")))
                #expect(try await eventually { try await Self.lease(store, given)?.state == .released })
            }
        }
    }

    @Test("a declined address is stored as that at once, and nobody gets it")
    func decline() async throws {
        let (wire, store) = (try TestWire(), MemoryStore())
        try TestWire.ip("-n \(wire.client) link set wire0 address \(Self.mac)")
        try TestWire.ip("-n \(wire.client) address flush dev wire0")
        try await Self.serving(try Self.network(wire), store: store) { _, _ in
            try await DHCPTestClient.open(wire.client) { client in
                let given = try #require(try await client.join(Self.mac)).yourAddress
                try await client.send(
                    .decline(mac: Self.mac, transactionID: 3, address: given, server: try address("10.78.0.1")))
                #expect(try await eventually { try await Self.lease(store, given)?.state == .declined })
                let next = try #require(try await client.join(Self.mac)).yourAddress
                #expect(next != given)
            }
        }
    }

    @Test("more leases than one transaction may hold wait for a slow disk, and all are kept")
    func slowStore() async throws {
        let (wire, store) = (try TestWire(), GatedStore())
        let count = StoreLimits.mutationsPerCommit + 900
        try TestWire.ip("-n \(wire.server) address add 10.96.0.1/16 dev wire0")
        try TestWire.ip("-n \(wire.client) address add 10.96.0.2/16 dev wire0")
        let first = try address("10.96.1.0")
        let network = try Self.network(wire) { network in
            network.address = try #require(IPv4Prefix("10.96.0.1/16"))
            network.ranges = [.init(first: first, last: try address("10.96.40.255"))]
        }
        try await Self.serving(network, store: store) { service, _ in
            try await DHCPTestClient.open(wire.client) { client in
                store.close(gate: true)
                let server = network.address.address
                for number in 0..<count {
                    try await client.send(
                        .request(
                            mac: MACAddress(value: 0x5254_0100_0000 + UInt64(number)), transactionID: UInt32(number),
                            address: IPv4Address(value: first.value + UInt32(number)), server: server))
                    // No more at once than a socket's buffer holds.
                    if number % 64 == 63 { #expect(await eventually { service.counters["granted"] == number + 1 }) }
                }
                #expect(await eventually { service.counters["granted"] == count })
                #expect(service.counters["sent"] == 0)
                store.close(gate: false)
                #expect(await eventually { service.counters["sent"] + service.counters["not-durable"] == count })
                #expect(service.counters["not-durable"] == 0)
                #expect(store.sizes.allSatisfy { $0 <= StoreLimits.mutationsPerCommit })
                #expect(try await Self.lease(store, IPv4Address(value: first.value + UInt32(count) - 1))?.state == .bound)
            }
        }
    }

    @Test("a lease survives a restart: the machine keeps its address, and nobody else gets it")
    func restart() async throws {
        let (wire, store) = (try TestWire(), MemoryStore())
        let network = try Self.network(wire)
        try await DHCPTestClient.open(wire.client) { client in
            let given = try await Self.serving(network, store: store) { _, _ in
                try #require(try await client.join(Self.mac)).yourAddress
            }
            try await Self.serving(network, store: store) { _, _ in
                let other = try #require(try await client.join(MACAddress(value: 0x5254_0078_0002)))
                #expect(other.yourAddress != given)
                let again = try await client.ask(.reboot(mac: Self.mac, transactionID: 5, address: given))
                #expect(again?.type == .acknowledge)
                #expect(again?.yourAddress == given)
            }
        }
    }

    @Test("a lease that ran out, of a MAC address that nobody knows, goes to whoever needs it")
    func expired() async throws {
        let (wire, store, clock) = (try TestWire(), MemoryStore(), ManualClock())
        let network = try Self.network(wire) { $0.ranges = [.init(first: $0.ranges[0].first, last: $0.ranges[0].first)] }
        let other = MACAddress(value: 0x5254_0078_0002)
        try await Self.serving(network, store: store, clock: clock) { service, _ in
            try await DHCPTestClient.open(wire.client) { client in
                let given = try #require(try await client.join(Self.mac)).yourAddress
                try await client.send(.discover(mac: other, transactionID: 4))
                #expect(await eventually { service.counters["dropped-exhausted"] == 1 })
                clock.advance(.seconds(3601))
                #expect(try await client.join(other)?.yourAddress == given)
                // The one that had it wants to go on with it: it must not.
                let late = try await client.ask(.renew(mac: Self.mac, transactionID: 6, address: given))
                #expect(late?.type == .refuse)
                #expect(try await Self.lease(store, given)?.mac == other)
            }
        }
    }

    @Test("a wall clock that is set ahead ends no lease, and set back prolongs none")
    func setClock() async throws {
        let (wire, store, clock) = (try TestWire(), MemoryStore(), ManualClock())
        let network = try Self.network(wire) { $0.ranges = [.init(first: $0.ranges[0].first, last: $0.ranges[0].first)] }
        let other = MACAddress(value: 0x5254_0078_0002)
        try await Self.serving(network, store: store, clock: clock) { service, _ in
            try await DHCPTestClient.open(wire.client) { client in
                let given = try #require(try await client.join(Self.mac)).yourAddress
                clock.set(by: .seconds(86_400))
                try await client.send(.discover(mac: other, transactionID: 4))
                #expect(await eventually { service.counters["dropped-exhausted"] == 1 })
                clock.set(by: .seconds(-3 * 86_400))
                clock.advance(.seconds(3601))
                #expect(try await client.join(other)?.yourAddress == given)
            }
        }
    }

    @Test("a malformed packet is dropped and counted, and the next client is served")
    func malformed() async throws {
        let wire = try TestWire()
        try await Self.serving(try Self.network(wire)) { service, _ in
            try await DHCPTestClient.open(wire.client) { client in
                let whole = DHCPMessage.discover(mac: Self.mac, transactionID: 7).serialize()
                let broken: [[UInt8]] = [[0], Array(whole.prefix(239)), [9] + whole.dropFirst(), Array(repeating: 0xff, count: 400)]
                for bytes in broken { try await client.send(bytes) }
                #expect(await eventually { service.counters["malformed"] == broken.count })
                _ = try #require(try await client.join(Self.mac))
                #expect(service.counters["received"] == 2)
            }
        }
    }

    @Test("beside another server it gives no address, but a boot file, by port 67 and by port 4011")
    func proxy() async throws {
        let wire = try TestWire()
        let own = try address("10.78.0.1")
        let network = try Self.network(wire) {
            $0.mode = .proxy
            $0.chosenPolicy = .discover
        }
        try await Self.serving(network) { service, _ in
            try await DHCPTestClient.open(wire.client) { client in
                // No boot: that is the other server's.
                try await client.send(.discover(mac: Self.mac, transactionID: 1))
                #expect(await eventually { service.counters["dropped"] == 1 })
                let offer = try #require(try await client.ask(.pxeDiscover(Self.mac, transactionID: 2)))
                #expect(offer.type == .offer)
                #expect(offer.yourAddress == .any)
                #expect(offer.vendorClass == "PXEClient")
                #expect(offer.nextServer == own)
                #expect(offer.bootFile == "undionly.kpxe")
                // The client has the other server's address by now and asks the boot server itself (PXE 2.1 §2.2.4).
                var request = DHCPMessage.client(.request, mac: Self.mac, transactionID: 3)
                request.clientAddress = try address("10.78.0.2")
                request.options.append(.vendorClass, Array("PXEClient".utf8))
                request.options.append(.clientArchitecture, [0, 7])
                let reply = try #require(try await client.ask(request, to: own, port: 4011))
                #expect(reply.type == .acknowledge)
                #expect(reply.yourAddress == .any)
                #expect(reply.bootFile == "ipxe.efi")
            }
        }
    }

    @Test("firmware is offered no boot file that is not there, and one that comes later is offered then")
    func missingFile() async throws {
        let wire = try TestWire()
        for files in [[], ["ipxe-arm64.efi"]] as [[String]] {
            try await Self.serving(try Self.network(wire), bootFiles: files) { service, _ in
                try await DHCPTestClient.open(wire.client) { client in
                    for number in 1...2 as ClosedRange<UInt32> {
                        let offer = try #require(
                            try await client.ask(.pxeDiscover(Self.mac, transactionID: number, architecture: 11)))
                        #expect(offer.type == .offer)
                        #expect(offer.bootFile == files.first)
                    }
                    #expect(service.counters["boot-file-missing"] == (files.isEmpty ? 2 : 0))
                }
            }
        }
    }

    @Test("iPXE gets the URL of its script")
    func ipxe() async throws {
        let wire = try TestWire()
        try await Self.serving(try Self.network(wire)) { _, _ in
            try await DHCPTestClient.open(wire.client) { client in
                var discover = DHCPMessage.pxeDiscover(Self.mac, transactionID: 2, architecture: 7)
                discover.options.append(.userClass, Array("iPXE".utf8))
                let offer = try #require(try await client.ask(discover))
                #expect(offer.bootFile == "http://10.78.0.1:8080/boot/script?mac=\(Self.mac)&platform=efi")
            }
        }
    }
}
