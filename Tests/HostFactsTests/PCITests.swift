import Testing

@testable import HostFacts

@Suite("PCI")
struct PCITests {
    private let text = Array(
        """
        # a comment
        1af4  Red Hat, Inc.
        \t1000  Virtio network device
        \t\t1af4 0001  Other
        \t1041  Virtio 1.0 network device
        \t\t1af4 1100  QEMU Virtual Machine
        8086  Intel Corporation
        # between
        \t10d3  82574L Gigabit Network Connection
        \t\t103c 1785  NC112i 1-port Ethernet Server Adapter
        \t1533  I210 Gigabit Network Connection

        # List of known device classes
        C 01  Mass storage controller
        \t06  SATA controller
        \t\t01  AHCI 1.0
        C 02  Network controller
        \t00  Ethernet controller
        """.utf8)

    private func device(_ vendor: UInt16, _ device: UInt16, _ subvendor: UInt16 = 0, _ subdevice: UInt16 = 0) throws
        -> PCIDevice
    {
        let values = [
            "vendor": "0x" + hex(vendor, 4) + "\n", "device": "0x" + hex(device, 4), "class": "0x020000\n",
            "subsystem_vendor": "0x" + hex(subvendor, 4), "subsystem_device": "0x" + hex(subdevice, 4),
        ]
        return try PCIDevice(address: "0000:3b:00.1") { values[$0] }
    }

    @Test("wanted devices get their names in one pass, others are not kept")
    func names() throws {
        let intel = try device(0x8086, 0x10d3, 0x103c, 0x1785)
        let virtio = try device(0x1af4, 0x1041, 0x1af4, 0x1100)
        let strange = try device(0xbeef, 1)
        let names = PCINames(text: text, wanted: [intel, virtio, strange])
        #expect(names.fullName(of: intel) == "Intel Corporation 82574L Gigabit Network Connection")
        #expect(names.subsystem(of: intel) == "NC112i 1-port Ethernet Server Adapter")
        #expect(names.fullName(of: virtio) == "Red Hat, Inc. Virtio 1.0 network device")
        #expect(names.subsystem(of: virtio) == "QEMU Virtual Machine")
        #expect(names.fullName(of: strange) == "Vendor beef device 0001")
        #expect(names.className(of: intel) == "Ethernet controller")
        #expect(names.device(of: try device(0x8086, 0x1533)) == nil)
        #expect(PCINames().className(of: intel) == "Ethernet controller")
    }

    @Test("a device is read from its sysfs attributes")
    func attributes() throws {
        let found = try device(0x8086, 0x1533)
        #expect(found.identifier == "8086:1533")
        #expect(found.isNetwork)
        #expect(found.address.description == "0000:3b:00.1")
        #expect(found.address < PCIAddress("0001:00:00.0")!)
    }

    @Test("attributes that are missing or no numbers are errors that name them")
    func badAttributes() {
        #expect(throws: PCIParseError.missing(attribute: "vendor")) {
            try PCIDevice(address: "0000:00:01.0") { _ in nil }
        }
        #expect(throws: PCIParseError.badNumber(attribute: "vendor", text: "8086")) {
            try PCIDevice(address: "0000:00:01.0") { _ in "8086" }
        }
        #expect(throws: PCIParseError.badAddress("00:01.0")) { try PCIDevice(address: "00:01.0") { _ in "0x1" } }
        for bad in ["", "0000:00:20.0", "0000:00:00.8", "0000:00:00", "x:00:00.0", "0000:100:00.0"] {
            #expect(PCIAddress(bad) == nil, "\(bad)")
        }
    }

    @Test("a list cut at any byte traps nothing")
    func truncation() throws {
        let wanted = [try device(0x8086, 0x10d3, 0x103c, 0x1785), try device(0x1af4, 0x1041)]
        for count in 0..<text.count { _ = PCINames(text: Array(text[..<count]), wanted: wanted) }
        eachByteFlip(of: text) { _ = PCINames(text: $0, wanted: wanted) }
    }
}
