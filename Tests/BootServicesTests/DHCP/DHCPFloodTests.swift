import Control
import Foundation
import Logging
import Model
import NIOCore
import NIOPosix
import NetBoot
import Store
import Testing
import Wire

@testable import BootServices

/// What one host on the wire can do to a DHCP server, by its sockets; beside it a machine of the record.
@Suite(
    "DHCP under attack", .serialized, .timeLimit(.minutes(2)),
    .enabled(if: TestWire.isPossible, "network namespaces need root and iproute2"))
struct DHCPFloodTests {
    private static func stranger(_ number: Int) -> MACAddress { MACAddress(value: 0x0266_0000_0000 + UInt64(number)) }

    /// A record that knows ``DHCPServiceTests/mac``.
    private static func serving(
        _ wire: TestWire, store: MemoryStore = MemoryStore(), _ body: (DHCPService, ControlPlane, DHCPTestClient) async throws -> Void
    ) async throws {
        let network = try DHCPServiceTests.network(wire)
        let control = try await openControl(store)
        let folder = try TemporaryFolder()
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let book = RefusalBook(interface: "wire0", control: control, logger: logger)
        let service = DHCPService(
            network: network, control: control, store: store, bootFolder: folder.path, refusals: book, logger: logger)
        let group = try await NamespaceThreads.group(namespace: network.namespace, threads: 1)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await control.run() }
            tasks.addTask { await book.run() }
            let mac = DHCPServiceTests.mac
            let hello = HelloRequest(
                nonce: control.nonces.make(for: mac, now: control.now), sessionKey: String(repeating: "a", count: 64), mac: mac, macs: [mac],
                uuid: nil, serial: nil, firmware: .bios, version: "test")
            _ = try await control.hello(
                hello, from: Sender(mac: mac, address: try address("10.78.0.9"), interface: "wire0"), wantsProof: false)
            #expect(!service.isKnown(mac), "anybody can be discovered")
            let machine = try #require(control.snapshot.machine(with: mac))
            _ = try await control.update(machine: machine.id.rawValue, with: MachinePatch(name: "known"), expecting: nil, by: "test")
            #expect(await eventually { service.isKnown(mac) })
            _ = try await service.start(on: group)
            try await DHCPTestClient.open(wire.client) { client in try await body(service, control, client) }
            tasks.cancelAll()
        }
        try await group.shutdownGracefully()
    }

    @Test("a client that declines every offer keeps three addresses, and the event tells of it")
    func declines() async throws {
        let wire = try TestWire()
        let host = Self.stranger(1)
        try TestWire.ip("-n \(wire.client) link set wire0 address \(host)")
        try TestWire.ip("-n \(wire.client) address flush dev wire0")
        try await Self.serving(wire) { service, control, client in
            for number in 0..<40 as Range<UInt32> {
                let offer = try #require(try await client.ask(.discover(mac: host, transactionID: 100 + number)))
                try await client.send(
                    .decline(
                        mac: host, transactionID: 200 + number, address: offer.yourAddress, server: try address("10.78.0.1")))
                #expect(await eventually { service.counters["declined"] + service.counters["refused-declines"] == Int(number) + 1 })
            }
            #expect(service.counters["declined"] == 3 && service.counters["refused-declines"] == 37)
            #expect(try await client.join(DHCPServiceTests.mac)?.type == .acknowledge)
            for try await change in try await control.records.watch(Event.self, after: .zero) {
                guard case .put(let found) = change, found.value.kind == "dhcp.refused" else { continue }
                #expect(found.value.evidence["mac"] == host.description && found.value.evidence["interface"] == "wire0")
                break
            }
        }
    }

    @Test("a host with a new MAC address for each lease fills its share, and a known machine has room")
    func cycling() async throws {
        try await Self.serving(try TestWire()) { service, _, client in
            for number in 0..<15 { #expect(try await client.join(Self.stranger(number))?.leaseSeconds == 300) }
            for number in 15..<60 as Range<UInt32> {
                try await client.send(.discover(mac: Self.stranger(Int(number)), transactionID: number))
            }
            #expect(await eventually { service.counters["dropped-unknown-share-used"] == 45 })
            #expect(try await client.join(DHCPServiceTests.mac)?.leaseSeconds == 3_600)
            #expect(service.counters["refused-unknown-share-used"] == 45)
        }
    }

    @Test("a lease is ended by a frame of its own port only, whatever IP header and message say")
    func foreignRelease() async throws {
        let wire = try TestWire()
        let store = MemoryStore()
        let mac = DHCPServiceTests.mac
        try await Self.serving(wire, store: store) { service, _, client in
            let given = try #require(try await client.join(mac)).yourAddress
            let release = DHCPMessage.release(mac: mac, transactionID: 3, address: given, server: try address("10.78.0.1"))
            try await client.send(release)
            #expect(await eventually { service.counters["dropped-foreign-sender"] == 1 })
            // Now from the lease's own address, but by another port.
            try TestWire.ip("-n \(wire.client) address flush dev wire0")
            try TestWire.ip("-n \(wire.client) address add \(given)/24 dev wire0")
            try await client.send(release)
            #expect(await eventually { service.counters["dropped-foreign-sender"] == 2 })
            #expect(try await DHCPServiceTests.lease(store, given)?.state == .bound)
            try TestWire.ip("-n \(wire.client) link set wire0 address \(mac)")
            try await client.send(release)
            #expect(try await eventually { try await DHCPServiceTests.lease(store, given)?.state == .released })
        }
    }
}
