/// Names of the wanted PCI devices, read from the text of `pci.ids` in one pass.
///
/// The file has 1.3 MB and a machine some dozens of devices, so nothing is
/// kept but what was asked for, and a line becomes a `String` only then.
public struct PCINames: Equatable, Sendable {
    private var vendors: [UInt16: String] = [:]
    private var devices: [UInt32: String] = [:]
    private var subsystems: [UInt64: String] = [:]
    private var classes: [UInt32: String] = [:]

    /// Without the file: only the names of classes that are built in.
    public init() {}

    public init(text: [UInt8], wanted: some Sequence<PCIDevice>) {
        var search = Search(wanted: wanted)
        var start = 0
        while start < text.count {
            let end = text[start...].firstIndex(of: 10) ?? text.count
            if end > start { read(text[start..<end], &search) }
            start = end + 1
        }
    }

    public func vendor(of device: PCIDevice) -> String? { vendors[device.vendor] }

    public func device(of device: PCIDevice) -> String? { devices[Self.key(device.vendor, device.device)] }

    /// The name of the card, of the board's maker.
    public func subsystem(of device: PCIDevice) -> String? { subsystems[Self.subsystemKey(device)] }

    /// The narrowest known name of the class: `SATA controller`.
    public func className(of device: PCIDevice) -> String {
        let code = device.classCode
        return classes[0x200_0000 | code >> 8] ?? Self.common[code >> 8] ?? classes[0x100_0000 | code >> 16]
            ?? "Class \(hex(code >> 8, 4))"
    }

    /// Vendor and device in words, or their numbers where they are not listed.
    public func fullName(of device: PCIDevice) -> String {
        let vendor = vendor(of: device) ?? "Vendor \(hex(device.vendor, 4))"
        return vendor + " " + (self.device(of: device) ?? "device \(hex(device.device, 4))")
    }

    private static func key(_ vendor: UInt16, _ device: UInt16) -> UInt32 { UInt32(vendor) << 16 | UInt32(device) }

    private static func subsystemKey(_ device: PCIDevice) -> UInt64 {
        UInt64(key(device.vendor, device.device)) << 32 | UInt64(key(device.subsystemVendor, device.subsystemDevice))
    }

    /// What is looked for, and which vendor, device or class the lines belong to now.
    private struct Search {
        var vendors: Set<UInt16> = []
        var devices: Set<UInt32> = []
        var subsystems: Set<UInt64> = []
        var classes: Set<UInt32> = []
        var vendor: UInt16?
        var device: UInt16?
        var baseClass: UInt32?

        init(wanted: some Sequence<PCIDevice>) {
            for device in wanted {
                vendors.insert(device.vendor)
                devices.insert(PCINames.key(device.vendor, device.device))
                subsystems.insert(PCINames.subsystemKey(device))
                classes.insert(0x100_0000 | device.classCode >> 16)
                classes.insert(0x200_0000 | device.classCode >> 8)
            }
        }
    }

    private mutating func read(_ line: ArraySlice<UInt8>, _ search: inout Search) {
        let tab = UInt8(ascii: "\t")
        let start = line.startIndex
        switch line[start] {
        case UInt8(ascii: "#"): return
        case tab where line.count > 1 && line[start + 1] == tab: readSubsystem(line.dropFirst(2), search)
        case tab: readDevice(line.dropFirst(), &search)
        case UInt8(ascii: "C") where line.count > 1 && line[start + 1] == UInt8(ascii: " "):
            readClass(line.dropFirst(2), &search)
        default: readVendor(line, &search)
        }
    }

    private mutating func readVendor(_ line: ArraySlice<UInt8>, _ search: inout Search) {
        (search.vendor, search.device, search.baseClass) = (nil, nil, nil)
        guard let id = Self.number(line, at: 0, digits: 4), search.vendors.contains(UInt16(id)) else { return }
        search.vendor = UInt16(id)
        vendors[UInt16(id)] = Self.name(line, after: 4)
    }

    private mutating func readClass(_ line: ArraySlice<UInt8>, _ search: inout Search) {
        (search.vendor, search.device) = (nil, nil)
        search.baseClass = Self.number(line, at: 0, digits: 2)
        guard let id = search.baseClass, search.classes.contains(0x100_0000 | id) else { return }
        classes[0x100_0000 | id] = Self.name(line, after: 2)
    }

    private mutating func readDevice(_ line: ArraySlice<UInt8>, _ search: inout Search) {
        search.device = nil
        if let vendor = search.vendor, let id = Self.number(line, at: 0, digits: 4) {
            let key = Self.key(vendor, UInt16(id))
            guard search.devices.contains(key) else { return }
            search.device = UInt16(id)
            devices[key] = Self.name(line, after: 4)
        } else if let base = search.baseClass, let id = Self.number(line, at: 0, digits: 2) {
            let key = 0x200_0000 | base << 8 | id
            if search.classes.contains(key) { classes[key] = Self.name(line, after: 2) }
        }
    }

    private mutating func readSubsystem(_ line: ArraySlice<UInt8>, _ search: Search) {
        guard let vendor = search.vendor, let device = search.device,
            let subvendor = Self.number(line, at: 0, digits: 4), let subdevice = Self.number(line, at: 5, digits: 4)
        else { return }
        let key = UInt64(Self.key(vendor, device)) << 32 | UInt64(subvendor << 16 | subdevice)
        if search.subsystems.contains(key) { subsystems[key] = Self.name(line, after: 9) }
    }

    private static func number(_ line: ArraySlice<UInt8>, at position: Int, digits: Int) -> UInt32? {
        guard line.count >= position + digits else { return nil }
        var value: UInt32 = 0
        for byte in line.dropFirst(position).prefix(digits) {
            switch byte {
            case 0x30...0x39: value = value << 4 | UInt32(byte - 0x30)
            case 0x61...0x66: value = value << 4 | UInt32(byte - 0x61 + 10)
            case 0x41...0x46: value = value << 4 | UInt32(byte - 0x41 + 10)
            default: return nil
            }
        }
        return value
    }

    private static func name(_ line: ArraySlice<UInt8>, after count: Int) -> String {
        FirmwareText.decode(line.dropFirst(count))
    }

    /// The classes a rack is made of, for when there is no `pci.ids`.
    private static let common: [UInt32: String] = [
        0x0100: "SCSI storage controller", 0x0101: "IDE interface", 0x0104: "RAID bus controller",
        0x0106: "SATA controller", 0x0107: "Serial Attached SCSI controller",
        0x0108: "Non-Volatile memory controller", 0x0200: "Ethernet controller", 0x0207: "Infiniband controller",
        0x0280: "Network controller", 0x0300: "VGA compatible controller", 0x0302: "3D controller",
        0x0500: "RAM memory", 0x0502: "CXL", 0x0600: "Host bridge", 0x0601: "ISA bridge", 0x0604: "PCI bridge",
        0x0880: "System peripheral", 0x0c03: "USB controller", 0x0c04: "Fibre Channel", 0x0c05: "SMBus",
        0x1200: "Processing accelerators",
    ]
}
