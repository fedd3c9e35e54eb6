import BlockIO
import Foundation
import HostFacts
import Model
import Testing

@testable import hostler_init

@Suite("The agent and former installations")
struct FormerSeedTests {
    private static let record: InstallRecord = {
        var record = InstallRecord(
            machine: MachineID(unchecked: "m-test01"), operation: OperationID(unchecked: "op-f0rmer01"), generation: 1, image: "i", digest: "d",
            hostname: "h")
        record.tag = "ab"
        return record
    }()

    /// The first MiB of a disk with one partition, and the disk.
    private func disk(_ record: InstallRecord, sectors: UInt32 = 4096) throws -> [UInt8] {
        var disk = [UInt8](repeating: 0, count: 4 << 20)
        disk[446 + 4] = 0x0c
        disk.replaceSubrange(446 + 8..<446 + 12, with: withUnsafeBytes(of: UInt32(2048).littleEndian) { Array($0) })
        disk.replaceSubrange(446 + 12..<446 + 16, with: withUnsafeBytes(of: sectors.littleEndian) { Array($0) })
        disk.replaceSubrange(510..<512, with: [0x55, 0xaa])
        let marker = try InstallMarker(payload: Array(try JSONEncoder().encode(record))).encoded()
        let end = min(disk.count, Int(2048 + sectors) * 512)
        disk.replaceSubrange(end - marker.count..<end, with: marker)
        return disk
    }

    private func find(_ orders: [RetiredSeed], _ disk: [UInt8]) throws -> SeedRetirer.Found? {
        try SeedRetirer.find(orders, head: Array(disk.prefix(1 << 20)), blockBytes: 512, diskBytes: UInt64(disk.count)) { count, offset in
            guard Int(offset) + count <= disk.count else { throw SystemError("read", errno: 5) }
            return Array(disk[Int(offset)..<Int(offset) + count])
        }
    }

    @Test("touches the disk whose marker is the one that was named, word for word, and no other")
    func exact() throws {
        let order = RetiredSeed(disk: "D1", machine: Self.record.machine, operation: Self.record.operation, tag: "ab", hidesSystem: false)
        let found = try #require(try find([order], disk(Self.record)))
        #expect(found.partition == 1 << 20..<3 << 20)
        var others = [Self.record, Self.record, Self.record, Self.record]
        others[0].tag = "ac"
        others[1].tag = nil
        others[2].operation = OperationID(unchecked: "op-f0rmer02")
        others[3].machine = MachineID(unchecked: "m-test02")
        for other in others { #expect(try find([order], disk(other)) == nil) }
        #expect(try find([], disk(Self.record)) == nil)
        #expect(try find([order], disk(Self.record, sectors: .max - 4096)) == nil, "a partition that ends behind the disk")
        #expect(throws: PartitionTableError.self) { try find([order], [UInt8](repeating: 0, count: 2 << 20)) }
    }

    @Test("looks at all disks but the one that is installed, by whichever path, and on others' disks only for this machine's own")
    func candidates() {
        func disk(_ name: String, _ wwn: String?) -> Inventory.DiskFacts {
            var disk = Inventory.DiskFacts(name: name, bytes: 1, kind: .ssd)
            disk.wwn = wwn
            return disk
        }
        let names = DiskNames([
            disk("sda", "5000c500a1b2c3d4"), disk("sdb", "5000c500a1b2c3d5"), disk("sdc", "5000c500a1b2c3d4"), disk("sdd", nil),
        ])
        #expect(SeedRetirer.candidates(names, target: "sda") == [1, 3])
        #expect(SeedRetirer.candidates(names, target: "sdd") == [0, 1, 2])
        let order = RetiredSeed(disk: "D1", machine: Self.record.machine, operation: Self.record.operation, tag: "ab", hidesSystem: true)
        let other = MachineID(unchecked: "m-test02")
        #expect(SeedRetirer.isAllowed(order, for: order.machine, onOwnDisk: false) && SeedRetirer.isAllowed(order, for: other, onOwnDisk: true))
        #expect(!SeedRetirer.isAllowed(order, for: other, onOwnDisk: false))
    }

    @Test("names the EFI system partition of an MBR to the firmware, too")
    func bootOrderOfMBR() throws {
        var disk = try disk(Self.record)
        #expect(BootOrder.systemPartition(try PartitionTable(parsing: disk, blockBytes: 512)) == nil)
        disk[446 + 4] = 0xef
        disk.replaceSubrange(440..<444, with: [1, 2, 3, 4])
        let node = try #require(BootOrder.systemPartition(try PartitionTable(parsing: disk, blockBytes: 512)))
        guard case .other(4, 1, let data) = node else { Issue.record("\(node)"); return }
        // UEFI 2.10 §10.3.5.1: number, first block, count, signature, MBR, 32-bit signature.
        let expected: [UInt8] = [1, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]
        #expect(data == expected + [UInt8](repeating: 0, count: 12) + [1, 1])
        let option = EFILoadOption(description: "Hostler: i", path: [node, .filePath("\\EFI\\BOOT\\BOOTX64.EFI"), .end])
        #expect(try EFILoadOption(parsing: option.serialize()) == option)
    }
}
