import Testing
import Wire

@testable import HostFacts

@Suite("Where a disk is")
struct DiskTopologyTests {
    /// A block device's folder in sysfs.
    struct Tree: Sendable, CustomTestStringConvertible {
        var what: String
        var name: String
        var path: String
        var files: [String: String] = [:]
        var inquiry: [UInt8]?
        var folders: [String: [String]] = [:]
        var place: DiskPlace
        var known: String?
        var testDescription: String { what }

        var topology: DiskTopology {
            DiskTopology(
                name: name, devicePath: path, attribute: { files[$0] }, bytes: { $0 == "device/inquiry" ? inquiry : nil },
                entries: { folders[$0] ?? [] })
        }
    }

    private static let pci = "../devices/pci0000:00/0000:00:03.0/0000:3b:00.0"
    private static let address = ["device/../../sas_device/end_device-0:0/sas_address": "0x5000c500a1b2c3d5"]

    static let trees: [Tree] = [
        Tree(
            what: "SATA on the board", name: "sda",
            path: "../devices/pci0000:00/0000:00:17.0/ata7/host6/target6:0:0/6:0:0:0/block/sda",
            files: ["device/../../../ata_port/ata7/port_no": "3"], place: .inside, known: "pci-0000:00:17.0-ata-3"),
        Tree(
            what: "SATA behind a port multiplier", name: "sda",
            path: "../devices/pci0000:00/0000:00:17.0/ata7/link7.1/dev7.1.0/host6/target6:1:0/6:1:0:0/block/sda",
            files: ["device/../../../ata_port/ata7/port_no": "3"], place: .inside, known: "pci-0000:00:17.0-ata-3-1:0:0"),
        Tree(
            what: "SATA whose port is not known", name: "sda",
            path: "../devices/pci0000:00/0000:00:17.0/ata7/host6/target6:0:0/6:0:0:0/block/sda", place: .inside),
        Tree(
            what: "a RAID controller's volume", name: "sdb", path: "\(pci)/host0/target0:2:1/0:2:1:0/block/sdb", place: .inside,
            known: "pci-0000:3b:00.0-scsi-2:1:0"),
        Tree(
            what: "an array's volume behind a controller that does not show SAS", name: "sdb",
            path: "\(pci)/host0/target0:2:1/0:2:1:0/block/sdb", inquiry: [0, 0, 6, 2, 0x5b, 0x10], place: .array,
            known: "pci-0000:3b:00.0-scsi-2:1:0"),
        Tree(
            what: "SAS on the controller itself", name: "sdb", path: "\(pci)/host0/port-0:0/end_device-0:0/target0:0:0/0:0:0:0/block/sdb",
            files: address, inquiry: [0, 0, 6, 2, 0x5b, 0], folders: ["device/..": ["0:0:0:0", "power", "uevent"]], place: .inside,
            known: "pci-0000:3b:00.0-sas-0x5000c500a1b2c3d5-lun-0"),
        Tree(
            what: "SAS behind an expander", name: "sdc",
            path: "\(pci)/host0/port-0:0/expander-0:0/port-0:0:1/end_device-0:0:1/target0:0:1/0:0:1:0/block/sdc",
            files: ["device/../../sas_device/end_device-0:0:1/sas_address": "0x5000c500a1b2c3d5"], place: .enclosure,
            known: "pci-0000:3b:00.0-sas-0x5000c500a1b2c3d5-lun-0"),
        Tree(
            what: "SATA behind an expander", name: "sdc",
            path: "\(pci)/host0/port-0:0/expander-0:0/port-0:0:1/end_device-0:0:1/ata3/target0:0:1/0:0:1:0/block/sdc", place: .enclosure),
        Tree(
            what: "a SAS array's second unit", name: "sdd", path: "\(pci)/host0/port-0:0/end_device-0:0/target0:0:0/0:0:0:1/block/sdd",
            files: address, place: .array, known: "pci-0000:3b:00.0-sas-0x5000c500a1b2c3d5-lun-1"),
        Tree(
            what: "a SAS array's first unit beside its second", name: "sdd",
            path: "\(pci)/host0/port-0:0/end_device-0:0/target0:0:0/0:0:0:0/block/sdd", folders: ["device/..": ["0:0:0:0", "0:0:0:1"]], place: .array),
        Tree(
            what: "a SAS array's only unit, by ports of unequal standing", name: "sdd",
            path: "\(pci)/host0/port-0:0/end_device-0:0/target0:0:0/0:0:0:0/block/sdd", inquiry: [0, 0, 6, 2, 0x5b, 0x10], place: .array),
        Tree(
            what: "a SAN's unit by Fibre Channel", name: "sde", path: "\(pci)/host7/rport-7:0-2/target7:0:2/7:0:2:5/block/sde",
            files: ["device/../../fc_remote_ports/rport-7:0-2/port_name": "0x5006016841e0a5c7"], place: .fibreChannel,
            known: "pci-0000:3b:00.0-fc-0x5006016841e0a5c7-lun-5"),
        Tree(
            what: "by Fibre Channel through a virtual port", name: "sde",
            path: "\(pci)/host7/vport-7:0-0/host9/rport-9:0-2/target9:0:2/9:0:2:0/block/sde", place: .fibreChannel),
        Tree(
            what: "by Fibre Channel over Ethernet", name: "sde",
            path: "../devices/virtual/net/eth2.100/ctlr_0/host7/rport-7:0-3/target7:0:0/7:0:0:0/block/sde", place: .fibreChannel),
        Tree(
            what: "by iSCSI in software", name: "sdf", path: "../devices/platform/host9/session1/target9:0:0/9:0:0:3/block/sdf",
            files: ["device/../../iscsi_session/session1/targetname": "iqn.2003-01.org.example:t1"], place: .iscsi,
            known: "iscsi-iqn.2003-01.org.example:t1-lun-3"),
        Tree(what: "by an iSCSI adapter", name: "sdf", path: "\(pci)/host9/session12/target9:0:0/9:0:0:3/block/sdf", place: .iscsi),
        Tree(
            what: "by SRP", name: "sdg", path: "\(pci)/infiniband_srp/srp-mlx5_0-1/host6/target6:0:0/6:0:0:0/block/sdg", place: .srp),
        Tree(
            what: "on USB", name: "sdh",
            path: "../devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1.4/2-1.4:1.0/host6/target6:0:0/6:0:0:0/block/sdh", place: .external,
            known: "pci-0000:00:14.0-usb-1.4:1.0-scsi-0:0:0"),
        Tree(
            what: "on FireWire", name: "sdh", path: "\(pci)/fw1/fw1.0/host6/target6:0:0/6:0:0:0/block/sdh", place: .external),
        Tree(
            what: "virtio", name: "vda", path: "../devices/pci0000:00/0000:00:04.0/virtio1/block/vda", place: .inside, known: "pci-0000:00:04.0"),
        Tree(
            what: "virtio without PCI", name: "vda", path: "../devices/platform/a003e00.virtio_mmio/virtio3/block/vda", place: .inside,
            known: "platform-a003e00.virtio_mmio"),
        Tree(
            what: "SCSI by virtio", name: "sda", path: "../devices/pci0000:00/0000:00:05.0/virtio2/host2/target2:0:1/2:0:1:0/block/sda",
            place: .inside, known: "pci-0000:00:05.0-scsi-0:1:0"),
        Tree(
            what: "Hyper-V", name: "sda",
            path: "../devices/LNXSYSTM:00/LNXSYBUS:00/ACPI0004:00/VMBUS:00/f8b3781a-1e82/host0/target0:0:0/0:0:0:0/block/sda", place: .inside,
            known: "vmbus-f8b3781a-1e82-scsi-0:0:0"),
        Tree(what: "Xen", name: "xvda", path: "../devices/vbd-51712/block/xvda", place: .inside, known: "vbd-51712"),
        Tree(
            what: "eMMC", name: "mmcblk0", path: "../devices/pci0000:00/0000:00:1a.0/mmc_host/mmc0/mmc0:0001/block/mmcblk0", place: .inside,
            known: "pci-0000:00:1a.0"),
        Tree(
            what: "NVMe", name: "nvme0n1", path: "\(pci)/nvme/nvme0/nvme0n1",
            files: ["device/transport": "pcie", "device/address": "0000:3b:00.0", "nsid": "1"], place: .inside, known: "pci-0000:3b:00.0-nvme-1"),
        Tree(what: "NVMe by a kernel that does not say how", name: "nvme0n1", path: "\(pci)/nvme/nvme0/nvme0n1", place: .inside),
        Tree(
            what: "NVMe by the kernel's multipath, with one path", name: "nvme0n1",
            path: "../devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1",
            files: ["device/nvme0/transport": "pcie", "device/nvme0/address": "0000:3b:00.0", "nsid": "2"],
            folders: ["device": ["nvme0", "nvme0c0n1", "model", "nvme0n1", "power"]], place: .severalPaths, known: "pci-0000:3b:00.0-nvme-2"),
        Tree(
            what: "NVMe by two ports", name: "nvme0n1", path: "../devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1",
            files: ["device/nvme0/transport": "pcie", "device/nvme1/transport": "pcie", "nsid": "1"],
            folders: ["device": ["nvme0", "nvme1"]], place: .severalPaths),
        Tree(
            what: "NVMe by the kernel's multipath over TCP", name: "nvme1n1", path: "../devices/virtual/nvme-subsystem/nvme-subsys1/nvme1n1",
            files: ["device/nvme1/transport": "tcp", "device/nvme1/address": "traddr=10.0.0.5,trsvcid=4420", "nsid": "1"],
            folders: ["device": ["nvme1"]], place: .nvmeFabric, known: "tcp-traddr=10.0.0.5,trsvcid=4420-nvme-1"),
        Tree(
            what: "NVMe by PCI and by a fabric", name: "nvme1n1", path: "../devices/virtual/nvme-subsystem/nvme-subsys1/nvme1n1",
            files: ["device/nvme1/transport": "tcp", "device/nvme0/transport": "pcie"], folders: ["device": ["nvme0", "nvme1"]],
            place: .nvmeFabric),
        Tree(
            what: "NVMe over RDMA", name: "nvme2n1", path: "../devices/virtual/nvme-fabrics/ctl/nvme2/nvme2n1",
            files: ["device/transport": "rdma"], place: .nvmeFabric),
        Tree(
            what: "NVMe over Fibre Channel", name: "nvme2n1", path: "../devices/virtual/nvme-fabrics/ctl/nvme2/nvme2n1",
            files: ["device/transport": "fc"], place: .nvmeFabric),
        Tree(
            what: "NVMe on a fabric that a kernel does not name", name: "nvme2n1", path: "../devices/virtual/nvme-fabrics/ctl/nvme2/nvme2n1",
            place: .unclear),
        Tree(
            what: "NVMe by a multipath that shows no path", name: "nvme2n1", path: "../devices/virtual/nvme-subsystem/nvme-subsys2/nvme2n1",
            place: .unclear),
        Tree(what: "NBD", name: "nbd0", path: "../devices/virtual/block/nbd0", place: .software),
        Tree(what: "loop", name: "loop0", path: "../devices/virtual/block/loop0", place: .software),
        Tree(what: "a kind that is not known yet", name: "ublkb0", path: "../devices/virtual/block/ublkb0", place: .software),
        Tree(
            what: "the kernel's own test driver", name: "sdz", path: "../devices/pseudo_0/adapter0/host11/target11:0:0/11:0:0:0/block/sdz",
            place: .unclear),
        Tree(what: "nothing at all", name: "sdz", path: "", place: .unclear),
        Tree(
            what: "a path that would not go into a command line", name: "sdf",
            path: "../devices/platform/host9/session1/target9:0:0/9:0:0:3/block/sdf",
            files: ["device/../../iscsi_session/session1/targetname": "iqn; reboot\u{1b}"], place: .iscsi),
        Tree(
            what: "a path without end", name: "sdf", path: "../devices/platform/host9/session1/target9:0:0/9:0:0:3/block/sdf",
            files: ["device/../../iscsi_session/session1/targetname": String(repeating: "i", count: 5000)], place: .iscsi),
    ]

    @Test("is told by its bus, its transport and what is between", arguments: trees)
    func places(_ tree: Tree) {
        #expect(tree.topology.place == tree.place)
        #expect(tree.topology.path == tree.known)
    }

    @Test("is told the same when the kernel numbers hosts and ports otherwise", arguments: trees.prefix(21))
    func renumbered(_ tree: Tree) {
        // Each number that counts what was found so far is another at the next boot.
        var other = tree
        for (from, to) in [
            ("/host0/", "/host40/"), ("/target0:", "/target40:"), ("/0:", "/40:"), ("port-0:", "port-40:"), ("end_device-0:", "end_device-40:"),
            ("expander-0:", "expander-40:"), ("/ata7/", "/ata47/"), ("/host6/", "/host46/"), ("/target6:", "/target46:"), ("/6:", "/46:"),
            ("/rport-7:", "/rport-47:"), ("/host7/", "/host47/"), ("/7:", "/47:"), ("/session1/", "/session41/"), ("/usb2/2-1/", "/usb42/42-1/"),
            ("/2-1.4", "/42-1.4"), ("/9:", "/49:"),
        ] {
            other.path = other.path.replacing(from, with: to)
            other.files = Dictionary(uniqueKeysWithValues: other.files.map { ($0.key.replacing(from, with: to), $0.value) })
        }
        #expect(other.path != tree.path || tree.path.contains("virtio"))
        #expect(other.topology == tree.topology)
    }

    @Test("any folder of sysfs traps nothing, and what is not understood is not inside")
    func garbage() {
        var random = SeededGenerator(seed: 18)
        let words = [
            "..", "devices", "virtual", "platform", "host", "host1", "session", "session9", "rport-", "end_device-", "expander-0:0", "usb", "usb1",
            "1-:", "-", ":", "::::", "1:2:3:4", "1:2:3:", "ata", "ata1", "VMBUS:", "vbd-", "nvme-subsys", "srp-", "", "\u{0}", "ü",
        ]
        for _ in 0..<5000 {
            let parts = (0..<Int.random(in: 0..<9, using: &random)).map { _ in words.randomElement(using: &random) ?? "" }
            let text = words.randomElement(using: &random)
            let name = ["sda", "nvme0n1", "mmcblk0", ""].randomElement(using: &random) ?? ""
            let found = DiskTopology(
                name: name, devicePath: parts.joined(separator: "/"), attribute: { _ in text }, bytes: { _ in random.bytes(7) },
                entries: { _ in words })
            #expect((found.path?.utf8.count ?? 0) <= DiskTopology.pathLimitBytes)
            if found.place == .inside { #expect(parts.contains { ["platform", "VMBUS:", "vbd-", "end_device-"].contains($0) }, "\(parts)") }
        }
    }
}

@Suite("What a disk is called")
struct DiskIdentityTests {
    @Test(
        "a world wide name is one, in whatever form it is written",
        arguments: [
            "5000c500a1b2c3d4", "naa.5000C500A1B2C3D4", "0x5000c500a1b2c3d4", "wwn-0x5000c500a1b2c3d4", " 50:00:c5:00:a1:b2:c3:d4\n",
            "eui.5000c500a1b2c3d4",
        ])
    func forms(_ text: String) { #expect(DiskIdentity.worldWide(text) == "5000c500a1b2c3d4") }

    @Test(
        "what many devices share, or what only repeats the serial number, is no world wide name",
        arguments: [
            "", "eui.", "0", "0000000000000000", "eui.00000000000000000000000000000000", "ffffffffffffffff", "naa.5000000000000000",
            "naa.6fffffffffffffffffffffffffffffff", "0000000000000001", "eui.0123456789abcdef", "1234567890abcdef",
            "nvme.1b36-53-51454d55-00000001", "t10.ATA     QEMU HARDDISK QM00001", "iqn.2003-01.org.example:t1", "5000c500a1b2c3d",
            "g000c500a1b2c3d4",
            "5000c500a1b2c3d45", String(repeating: "5000c500a1b2c3d4", count: 1000),
        ])
    func none(_ text: String) { #expect(DiskIdentity.worldWide(text) == nil) }

    @Test(
        "a filler is no serial number",
        arguments: [
            "", " ", "0", "0000", "00000000000000000000", "0123456789", "01234567890123456789", "123456789ABC", "0123456789ABCDEF", "9876543210",
            "FFFFFFFF", "xxxxxxxx", "To be filled by O.E.M.", "Default string", "None", "N/A", "unknown", "Serial Number", "-", "....", "0000-0000",
        ])
    func fillers(_ text: String) { #expect(DiskIdentity.serial(text) == nil) }

    @Test(
        "a serial number is kept as it is, but for outer spaces",
        arguments: ["S4EWNX0R412345", "WD-WCC4E1234567", "ab 1", "1", "QM00001", "drive-scsi0", "12345", "0001", "-x", "日本"])
    func serials(_ text: String) { #expect(DiskIdentity.serial(" \(text)\t") == text) }

    @Test("of several names the longest is the volume's, and what follows a cut page does not undo it")
    func page83() {
        let short: [UInt8] = [1, 3, 0, 8, 0x50, 0, 0xc5, 0, 1, 2, 3, 4]
        let long: [UInt8] = [1, 3, 0, 16, 0x60, 6, 5, 0xb0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
        let zero: [UInt8] = [1, 3, 0, 16] + [UInt8](repeating: 0, count: 16)
        func wwn(_ descriptors: [UInt8]) -> String? { DiskIdentification.wwn(page83: [0, 0x83, 0, UInt8(descriptors.count)] + descriptors) }
        #expect(wwn(short + long) == "600605b00102030405060708090a0b0c")
        #expect(wwn(long + short) == "600605b00102030405060708090a0b0c")
        #expect(wwn(zero + short) == "5000c50001020304")
        #expect(wwn(short + long.dropLast()) == "5000c50001020304")
        #expect(wwn(zero) == nil)
    }

    @Test("an NVMe namespace that says that no second controller can lead to it is inside, where one PCIe controller leads to it")
    func privateNamespace() {
        func place(_ place: DiskPlace, _ path: String?, _ transport: DiskTransport = .nvme) -> DiskPlace {
            var disk = DiskFacts(name: "nvme0n1", serial: nil, wwn: nil, model: nil, sizeBytes: 512, transport: transport, place: place, path: path)
            disk.markPrivate()
            return disk.place
        }
        #expect(place(.severalPaths, "pci-0000:3b:00.0-nvme-1") == .inside)
        #expect(place(.severalPaths, nil) == .severalPaths, "two controllers lead to it already")
        #expect(place(.nvmeFabric, "tcp-traddr=10.0.0.5,trsvcid=4420-nvme-1") == .nvmeFabric)
        #expect(place(.severalPaths, "pci-0000:00:17.0-ata-1", .sata) == .severalPaths)
    }
}
