import Model
import Store
import Testing
import Wire

@testable import Control

@Suite("What the rack's snapshot finds a machine by")
struct RackSnapshotTests {
    private let holder = SnapshotHolder()
    private let records = Records(store: MemoryStore())

    private func machine(_ name: String, ports: [UInt64], seenAt: String? = nil, fixed: String? = nil) throws -> Machine {
        let interfaces = ports.map { Interface(mac: MACAddress(value: $0)) }
        var machine = Machine(
            id: MachineID(unchecked: name), name: try DisplayName(name), interfaces: interfaces, now: Timestamp(milliseconds: 0))
        machine.observed.address = seenAt.flatMap { IPv4Address($0) }
        if let fixed {
            let addressing = LinkAddressing(addresses: [try #require(IPv4Prefix(fixed))])
            machine.desired.network = NetworkConfig(
                ethernets: [EthernetLink(name: "a", mac: MACAddress(value: ports[0]), addressing: addressing)])
        }
        return machine
    }

    private func put(_ machine: Machine, _ revision: Int64) throws {
        let stored = StoredValue(
            key: machine.key, value: try RecordCoding.encode(machine), createdRevision: Revision(rawValue: revision),
            modifiedRevision: Revision(rawValue: revision))
        holder.apply(WatchBatch(revision: Revision(rawValue: revision), events: [.put(stored)]), records)
    }

    private func delete(_ machine: Machine, _ revision: Int64) throws {
        let event = StoreEvent.delete(key: machine.key, revision: Revision(rawValue: revision))
        holder.apply(WatchBatch(revision: Revision(rawValue: revision), events: [event]), records)
    }

    private func names(at address: String) throws -> [String] {
        holder.current.machines(knownAt: try #require(IPv4Address(address))).map(\.id.rawValue)
    }

    @Test("an address leads to the machines that have it, as long as they do")
    func addresses() throws {
        try put(try machine("m-aaaa", ports: [1], seenAt: "10.0.0.1", fixed: "10.0.0.2/24"), 1)
        try put(try machine("m-bbbb", ports: [2], fixed: "10.0.0.1/24"), 2)
        #expect(try names(at: "10.0.0.1") == ["m-aaaa", "m-bbbb"] && names(at: "10.0.0.2") == ["m-aaaa"])
        // Seen where its network says that it is: one address, one entry.
        try put(try machine("m-aaaa", ports: [1], seenAt: "10.0.0.2", fixed: "10.0.0.2/24"), 3)
        #expect(try names(at: "10.0.0.1") == ["m-bbbb"] && names(at: "10.0.0.2") == ["m-aaaa"])
        try delete(try machine("m-aaaa", ports: [1]), 4)
        #expect(try names(at: "10.0.0.2") == [])
    }

    @Test("a MAC address that two boards were sold with leads to one of them as long as it is there")
    func sharedMAC() throws {
        let (first, second) = (try machine("m-aaaa", ports: [1, 9]), try machine("m-bbbb", ports: [2, 9]))
        try put(first, 1)
        try put(second, 2)
        #expect(holder.current.machine(with: MACAddress(value: 9))?.id == second.id)
        try put(try machine("m-aaaa", ports: [1]), 3)
        #expect(holder.current.machine(with: MACAddress(value: 9))?.id == second.id)
        try put(first, 4)
        #expect(holder.current.machine(with: MACAddress(value: 9))?.id == first.id, "it told of it last")
        try delete(first, 5)
        #expect(holder.current.machine(with: MACAddress(value: 9))?.id == second.id)
        #expect(holder.current.machine(with: MACAddress(value: 1)) == nil)
    }
}
