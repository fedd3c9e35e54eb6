import Model
import Store
import Testing
import Wire

@testable import BootServices
@testable import Control
@testable import NetBoot

@Suite(
    "DHCP and the network's policy", .serialized, .timeLimit(.minutes(2)),
    .enabled(if: TestWire.isPossible, "network namespaces need root and iproute2"))
struct PolicyTests {
    private static let known = MACAddress(value: 0x5254_0078_0011)
    private static let foreign = MACAddress(value: 0x5254_0078_0012)
    private static let unknown = MACAddress(value: 0x5254_0078_0013)

    /// A record with a machine that is ready, and with one whose disks hold what nobody here put there.
    private func store() async throws -> MemoryStore {
        let store = MemoryStore()
        let now = Timestamp(milliseconds: 1)
        for (name, mac) in [("m-kn0wn001", Self.known), ("m-fgn00001", Self.foreign)] {
            var machine = Machine(id: MachineID(unchecked: name), name: try DisplayName(name), interfaces: [Interface(mac: mac)], now: now)
            machine.state = .ready
            if mac == Self.foreign {
                var facts = Inventory()
                var disk = Inventory.DiskFacts(name: "sda", bytes: 1 << 40, kind: .ssd)
                disk.contents = DiskContents(items: [.init(kind: "NTFS")])
                facts.disks = [disk]
                machine.observed.inventory = facts
                machine.judgeDisks(marked: [])
            }
            _ = try await store.commit([.put(key: machine.key, value: try RecordCoding.encode(machine), if: .absent)])
        }
        return store
    }

    private func serving(
        _ policy: DiscoveryPolicy, _ mode: BootNetwork.Mode = .server, _ body: @escaping (DHCPService, DHCPTestClient) async throws -> Void
    ) async throws {
        let wire = try TestWire()
        let network = try DHCPServiceTests.network(wire) {
            $0.mode = mode
            $0.chosenPolicy = policy
        }
        try await DHCPServiceTests.serving(network, store: try await store()) { service, _ in
            try await DHCPTestClient.open(wire.client) { try await body(service, $0) }
        }
    }

    @Test("on a network that watches nothing is answered to anybody, and who asks to boot is noted")
    func watch() async throws {
        try await serving(.watch) { service, client in
            for (number, mac) in [Self.known, Self.foreign, Self.unknown].enumerated() {
                try await client.send(.pxeDiscover(mac, transactionID: UInt32(number)))
                try await client.send(.discover(mac: mac, transactionID: 10 + UInt32(number)))
                try await client.send(
                    .request(mac: mac, transactionID: 20 + UInt32(number), address: try address("10.78.0.100"), server: try address("10.78.0.1")))
            }
            #expect(await eventually { service.counters["watched"] == 9 })
            #expect(service.counters["refused-watched"] == 3)
            #expect(service.counters["sent"] == 0 && service.counters["unsent"] == 0 && client.waiting.isEmpty)
        }
    }

    @Test("where only known machines boot, an unknown one gets an address and nothing to boot, and a known one both")
    func knownOnly() async throws {
        try await serving(.known) { service, client in
            let offer = try #require(try await client.ask(.pxeDiscover(Self.unknown, transactionID: 1)))
            #expect(offer.yourAddress != .any && offer.bootFile == nil)
            #expect(service.counters["refused-unknown-machine"] == 1)
            #expect(try #require(try await client.ask(.pxeDiscover(Self.known, transactionID: 2))).bootFile == "undionly.kpxe")
            #expect(service.counters["refused-unknown-machine"] == 1)
        }
        try await serving(.known, .proxy) { service, client in
            try await client.send(.pxeDiscover(Self.unknown, transactionID: 1))
            #expect(await eventually { service.counters["dropped-nothing-to-boot"] == 1 })
            #expect(client.waiting.isEmpty)
            #expect(try #require(try await client.ask(.pxeDiscover(Self.known, transactionID: 2))).bootFile == "undionly.kpxe")
        }
    }

    @Test("a machine with somebody's system gets an address and goes on with its own boot order, whatever the policy")
    func foreignSystem() async throws {
        for policy in [DiscoveryPolicy.known, .inspectEmpty, .discover] {
            try await serving(policy) { _, client in
                let offer = try #require(try await client.ask(.pxeDiscover(Self.foreign, transactionID: 1)))
                #expect(offer.yourAddress != .any && offer.bootFile == nil)
                let other = try #require(try await client.ask(.pxeDiscover(Self.unknown, transactionID: 2)))
                #expect(other.bootFile == (policy == .known ? nil : "undionly.kpxe"))
            }
        }
    }
}
