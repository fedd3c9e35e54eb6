internal import CLinux
internal import Glibc
internal import HostFacts
internal import Model
internal import Wire

/// Finds out what the machine is made of.
struct InventoryReader: Sendable {
    /// What SMBIOS says; read once, it does not change.
    let smbios: SMBIOSFacts?

    init() {
        let folder = "/sys/firmware/dmi/tables"
        guard let entry = SystemFile.bytes("\(folder)/smbios_entry_point", limit: 4096),
            let table = SystemFile.bytes("\(folder)/DMI", limit: 1 << 20)
        else {
            smbios = nil
            return
        }
        smbios = try? SMBIOSFacts(entryPoint: entry, table: table)
    }

    var uuid: String? { smbios?.system?.uuid?.description }
    var serial: String? { smbios?.system?.serial }

    func read() -> Inventory {
        var inventory = Inventory()
        inventory.system = system()
        inventory.firmware = firmware()
        inventory.cpus = cpus()
        inventory.memory = memory()
        inventory.nics = Self.nics()
        let disks = Disks.all()
        inventory.disks = disks.map { Inventory.DiskFacts($0) }
        let names = DiskNames(inventory.disks)
        inventory.pci = Self.pci()
        inventory.tpm = Self.tpm()
        inventory.bmc = BMC.find(smbios)
        inventory.installations = disks.indices.compactMap { index in
            Disks.record(on: disks[index]).map { Inventory.FoundInstallation(disk: names.recordName(of: index), record: $0) }
        }
        return inventory
    }

    private func system() -> Inventory.SystemFacts {
        var facts = Inventory.SystemFacts()
        facts.vendor = smbios?.system?.manufacturer
        facts.product = smbios?.system?.product
        facts.version = smbios?.system?.version
        facts.serial = serial
        facts.uuid = uuid
        facts.sku = smbios?.system?.sku
        let board = smbios?.boards.first
        facts.boardVendor = board?.manufacturer
        facts.boardProduct = board?.product
        facts.boardSerial = board?.serial
        facts.assetTag = smbios?.chassis?.assetTag ?? board?.assetTag
        return facts
    }

    private func firmware() -> Inventory.FirmwareFacts {
        var facts = Inventory.FirmwareFacts()
        facts.mode = BootOrder.isUEFI ? .uefi : .bios
        facts.loader = BootOrder.isUEFI ? BootOrder.loaderName : nil
        facts.vendor = smbios?.bios?.vendor
        facts.version = smbios?.bios?.version
        facts.date = smbios?.bios?.releaseDate
        // Four bytes of attributes, then 1 or 0 (UEFI 2.10 §3.3).
        facts.secureBoot = SystemFile.bytes(
            "/sys/firmware/efi/efivars/SecureBoot-\(EFIBootOrder.globalVariableGUID)", limit: 16
        ).flatMap { $0.count == 5 ? $0[4] == 1 : nil }
        return facts
    }

    private func cpus() -> [Inventory.CPUFacts] {
        let linux = CPUFacts(cpuinfo: SystemFile.text("/proc/cpuinfo") ?? "")
        let populated = smbios?.processors.filter(\.isPopulated) ?? []
        let sockets = max(1, linux.sockets)
        let model = linux.model ?? populated.first?.model ?? "unknown"
        return (0..<sockets).map { _ in
            Inventory.CPUFacts(model: model, cores: max(1, linux.cores / sockets), threads: max(1, linux.threads / sockets))
        }
    }

    private func memory() -> Inventory.MemoryFacts {
        var facts = Inventory.MemoryFacts()
        let devices = smbios?.memoryDevices ?? []
        facts.dimms = devices.map { device in
            var dimm = Inventory.MemoryFacts.DIMM(
                slot: device.locator ?? device.bank ?? "", bytes: device.isPopulated ? Int64(clamping: device.sizeBytes ?? 0) : 0)
            dimm.kind = device.kind
            dimm.megatransfersPerSecond = device.configuredMegatransfers ?? device.speedMegatransfers
            dimm.manufacturer = device.manufacturer
            dimm.serial = device.serial
            dimm.partNumber = device.partNumber
            return dimm
        }
        let installed = facts.dimms.reduce(0) { $0 + $1.bytes }
        // What the kernel has is less than what is plugged in: firmware and the kernel itself take some.
        let usable = MemoryFacts(meminfo: SystemFile.text("/proc/meminfo") ?? "").map { Int64(clamping: $0.totalBytes) } ?? 0
        facts.totalBytes = max(installed, usable)
        return facts
    }

    private static func nics() -> [Inventory.NICFacts] {
        Interfaces.all().map { port in
            let folder = "/sys/class/net/\(port.name)"
            var facts = Inventory.NICFacts(name: port.name, mac: port.mac, link: Interfaces.hasLink(port.name))
            facts.driver = SystemFile.linkName("\(folder)/device/driver")
            facts.megabitsPerSecond = SystemFile.attribute("\(folder)/speed").flatMap { Int($0) }.flatMap { $0 > 0 ? $0 : nil }
            facts.pciAddress = pciAddress(of: "\(folder)/device")
            return facts
        }
    }

    /// The nearest PCI function above a device: virtio's and USB's devices sit below one.
    private static func pciAddress(of device: String) -> String? {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        guard realpath(device, &buffer) != nil else { return nil }
        let path = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return path.split(separator: "/").reversed().lazy.compactMap { PCIAddress($0) }.first?.description
    }

    private static func pci() -> [Inventory.PCIFacts] {
        let folder = "/sys/bus/pci/devices"
        let devices = SystemFile.names(in: folder).compactMap { address in
            try? PCIDevice(address: address) { SystemFile.attribute("\(folder)/\(address)/\($0)") }
        }
        let names = PCINames(text: SystemFile.bytes("/usr/share/misc/pci.ids") ?? [], wanted: devices)
        return devices.map { device in
            var facts = Inventory.PCIFacts(address: device.address.description, ids: device.identifier)
            facts.className = names.className(of: device)
            facts.name = names.fullName(of: device)
            return facts
        }
    }

    private static func tpm() -> Inventory.TPMFacts? {
        for name in SystemFile.names(in: "/sys/class/tpm") {
            let version = SystemFile.attribute("/sys/class/tpm/\(name)/tpm_version_major")
            return Inventory.TPMFacts(version: version == "2" ? "2" : "1.2")
        }
        return nil
    }
}

/// The machine's own BMC, asked through the host's side of IPMI.
enum BMC {
    private static let transport: UInt8 = 0x0c
    private static let getLANConfiguration: UInt8 = 0x02
    private static let answerMilliseconds: Int32 = 2000

    static func find(_ smbios: SMBIOSFacts?) -> Inventory.BMCFacts? {
        let fd = open("/dev/ipmi0", O_RDWR | O_CLOEXEC)
        guard fd >= 0 else {
            return smbios?.redfishInterfaces.first.flatMap { $0.serviceAddress }.map { Inventory.BMCFacts(address: $0, mac: nil) }
        }
        defer { close(fd) }
        // LAN channels are mostly 1; some makers have theirs at 2, 3 or 8.
        for channel: UInt8 in [1, 2, 3, 8] {
            // IPMI 2.0 §23.2: parameter 3 is the address, 5 the MAC address.
            guard let address = parameter(3, channel: channel, fd: fd, count: 4).flatMap({ IPv4Address($0) }) else { continue }
            let mac = parameter(5, channel: channel, fd: fd, count: 6).flatMap { MACAddress($0) }
            if address != .any || mac?.value ?? 0 != 0 {
                return Inventory.BMCFacts(address: address == .any ? nil : address, mac: mac)
            }
        }
        return nil
    }

    private static func parameter(_ number: UInt8, channel: UInt8, fd: Int32, count: Int) -> [UInt8]? {
        let request: [UInt8] = [channel, number, 0, 0]
        var reply = [UInt8](repeating: 0, count: 64)
        let length = agent_ipmi(fd, transport, getLANConfiguration, request, request.count, &reply, reply.count, answerMilliseconds)
        // Completion code, parameter revision, then the value.
        guard length >= 2 + count, reply[0] == 0 else { return nil }
        return Array(reply[2..<2 + count])
    }
}
