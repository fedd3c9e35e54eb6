import Testing

@testable import HostFacts

@Suite("disks")
struct DiskTests {
    @Test("an NVMe disk is read from its attributes")
    func nvme() throws {
        let values = [
            "size": "1000215216\n", "wwid": "eui.0025385B71B0F1A2\n", "device/serial": "S4EWNX0R412345      \n",
            "device/model": "Samsung SSD 970 EVO Plus 500GB          \n", "queue/rotational": "0\n",
            "queue/logical_block_size": "4096\n", "removable": "0\n", "ro": "0\n",
        ]
        let found = try #require(
            DiskFacts(
                name: "nvme0n1", devicePath: "/sys/devices/pci0000:00/0000:00:1d.0/0000:3d:00.0/nvme/nvme0/nvme0n1"
            ) {
                values[$0].map { Array($0.utf8) }
            })
        #expect(found.serial == "S4EWNX0R412345")
        #expect(found.wwn == "0025385b71b0f1a2")
        #expect(found.model == "Samsung SSD 970 EVO Plus 500GB")
        #expect(found.sizeBytes == 1_000_215_216 * 512)
        #expect(found.logicalBlockBytes == 4096)
        #expect(found.transport == .nvme)
        #expect(!found.isRotational && !found.isRemovable && !found.isReadOnly)
    }

    @Test("a SATA disk's serial comes from the vital product data, or from its name")
    func sata() throws {
        let path = "/sys/devices/pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda"
        var values: [String: [UInt8]] = [
            "size": Array("2048".utf8), "device/vendor": Array("ATA     ".utf8),
            "device/model": Array("QEMU HARDDISK   ".utf8),
            "queue/rotational": Array("1\n".utf8),
            "device/wwid": Array("t10.ATA     QEMU HARDDISK                           QM00001             \n".utf8),
        ]
        let bare = try #require(DiskFacts(name: "sda", devicePath: path) { values[$0] })
        #expect(bare.serial == "QM00001")
        #expect(bare.wwn == nil)
        #expect(bare.model == "QEMU HARDDISK")
        #expect(bare.transport == .sata)
        #expect(bare.isRotational)
        values["device/vpd_pg80"] = [0, 0x80, 0, 8] + Array("  ZC1234".utf8)
        values["device/vpd_pg83"] = [
            0, 0x83, 0, 24, 0x02, 0x01, 0, 4, 1, 2, 3, 4, 0x01, 0x03, 0, 8, 0x50, 0, 0xc5, 0, 1, 2, 3, 4,
        ]
        let full = try #require(DiskFacts(name: "sda", devicePath: path) { values[$0] })
        #expect(full.serial == "ZC1234")
        #expect(full.wwn == "5000c50001020304")
    }

    private static let paths: [(name: String, path: String, transport: DiskTransport)] = [
        ("vda", "/sys/devices/pci0000:00/0000:00:04.0/virtio1/block/vda", DiskTransport.virtio),
        ("sdb", "/sys/devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/host6/target6:0:0/6:0:0:0/block/sdb", .usb),
        ("sdc", "/sys/devices/pci/host0/port-0:0/expander-0:0/port-0:0:1/end_device-0:0:1/target/block/sdc", .sas),
        ("mmcblk0", "/sys/devices/platform/mmc0/block/mmcblk0", .mmc), ("sdd", "/sys/devices/x", .other),
    ]

    @Test("the transport is the disk's own link", arguments: paths)
    func transports(name: String, path: String, transport: DiskTransport) {
        #expect(DiskFacts(name: name, devicePath: path) { $0 == "size" ? [0x38] : nil }?.transport == transport)
    }

    @Test("an empty reader is no disk, nor is a block device of another kind")
    func notDisks() {
        #expect(DiskFacts(name: "sdb", devicePath: "") { $0 == "size" ? [0x30, 0x0a] : nil } == nil)
        #expect(DiskFacts(name: "sdb", devicePath: "") { _ in nil } == nil)
        for name in ["loop0", "sr0", "dm-1", "md0", "zram0", "ram1", "mmcblk0boot0", "nvme0c0n1", "fd0", ""] {
            #expect(!DiskFacts.isDisk(name: name), "\(name)")
        }
        for name in ["sda", "vda", "nvme0n1", "mmcblk0"] { #expect(DiskFacts.isDisk(name: name), "\(name)") }
    }

    @Test("vital product data of any content traps nothing")
    func garbage() {
        var random = SeededGenerator(seed: 17)
        for _ in 0..<3000 {
            let page = [0, random.next() & 1 == 0 ? 0x80 : 0x83] + random.bytes(Int.random(in: 0..<60, using: &random))
            _ = DiskIdentification.serial(page80: page)
            _ = DiskIdentification.wwn(page83: page)
        }
    }
}
