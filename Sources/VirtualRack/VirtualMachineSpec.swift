public import Wire

/// What a machine of the rack is made of. Fixed while it runs.
public struct VirtualMachineSpec: Codable, Hashable, Sendable {
    public enum Firmware: String, Codable, Sendable, CaseIterable {
        /// SeaBIOS, with iPXE as the network card's option ROM.
        case bios
        /// OVMF with variables of its own; its own PXE and HTTP boot.
        case uefi
    }

    public enum BootOrder: String, Codable, Sendable, CaseIterable {
        /// Each network card in turn, then each disk.
        case networkFirst = "network-first"
        case diskOnly = "disk-only"
    }

    static let longestName = 32

    /// 1 to 32 of `a`–`z`, `0`–`9` and `-`, a letter first; unique in the rack.
    public var name: String
    public var firmware: Firmware
    public var boot: BootOrder
    /// 1 to 32.
    public var cpus: Int
    /// 128 to 65,536. The agent's ramdisk must fit: 768 is the least that installs.
    public var memoryMiB: Int
    /// 0 to 4.
    public var nics: [VirtualNIC]
    /// 0 to 6.
    public var disks: [VirtualDisk]
    /// SMBIOS type 1: 8-4-4-4-12 hex digits.
    public var uuid: String
    /// SMBIOS type 1 and 3, printable ASCII without comma, at most 32.
    public var serial: String
    /// SMBIOS type 2 and 3, as `serial`.
    public var assetTag: String
    /// A virtio random number generator.
    public var hasRandomDevice: Bool

    /// A machine whose MACs, UUID and serials follow from its name and the lab's.
    public init(
        name: String, lab: LabName, firmware: Firmware = .bios, boot: BootOrder = .networkFirst, cpus: Int = 2,
        memoryMiB: Int = 1024, nicCount: Int = 1, nicModel: VirtualNIC.Model = .virtio,
        disks: [VirtualDisk]? = nil, hasRandomDevice: Bool = true
    ) {
        self.name = name
        self.firmware = firmware
        self.boot = boot
        self.cpus = cpus
        self.memoryMiB = memoryMiB
        self.nics = (0..<max(0, nicCount)).map {
            VirtualNIC(mac: DerivedIdentity.mac(lab: lab, machine: name, nic: $0), model: nicModel)
        }
        self.disks =
            disks ?? [
                VirtualDisk(
                    sizeBytes: VirtualDisk.defaultSizeBytes,
                    serial: DerivedIdentity.diskSerial(lab: lab, machine: name, disk: 0))
            ]
        self.uuid = DerivedIdentity.uuid(lab: lab, machine: name)
        self.serial = DerivedIdentity.serial(lab: lab, machine: name)
        self.assetTag = "\(lab)-\(name)"
        self.hasRandomDevice = hasRandomDevice
    }

    /// Throws `.invalidMachine` that names the first thing wrong.
    public func validate() throws(LabError) {
        try require(LabName.isPlain(name, atMost: Self.longestName), "the name must be 1 to 32 of a–z, 0–9, -")
        try require((1...32).contains(cpus), "cpus must be 1 to 32")
        try require((128...65_536).contains(memoryMiB), "memory must be 128 to 65536 MiB")
        try require(nics.count <= 4, "at most 4 network cards")
        try require(disks.count <= 6, "at most 6 disks")
        try require(Set(nics.map(\.mac)).count == nics.count, "two network cards have one MAC")
        try require(!nics.contains { $0.mac.isMulticast || $0.mac.value == 0 }, "a MAC is a multicast or zero address")
        try require(Set(disks.map(\.serial)).count == disks.count, "two disks have one serial")
        try require(isUUID(uuid), "“\(uuid)” is not a UUID")
        for text in [serial, assetTag] {
            try require(VirtualDisk.isPrintable(text, atMost: 32), "“\(text)” is no serial number or asset tag")
        }
        for disk in disks {
            if let wrong = disk.problem { try require(false, "disk \(disk.serial): \(wrong)") }
        }
    }

    private func require(_ holds: Bool, _ wrong: String) throws(LabError) {
        guard holds else {
            throw LabError(.invalidMachine, "machine “\(name)”: \(wrong)", remedy: "Correct it and add it again.")
        }
    }

    private func isUUID(_ text: String) -> Bool {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        return parts.map(\.utf8.count) == [8, 4, 4, 4, 12] && Hex.decode(parts.joined()) != nil
    }
}

/// A network card of a lab machine, wired to the rack's one bridge.
public struct VirtualNIC: Codable, Hashable, Sendable {
    public enum Model: String, Codable, Sendable, CaseIterable {
        case virtio, e1000
    }

    public var mac: MACAddress
    public var model: Model

    public init(mac: MACAddress, model: Model = .virtio) {
        self.mac = mac
        self.model = model
    }
}

/// A disk of a lab machine: a sparse file, which takes only the room that was written.
public struct VirtualDisk: Codable, Hashable, Sendable {
    public enum Kind: String, Codable, Sendable, CaseIterable {
        case virtio, nvme, sata, scsi
    }

    public static let defaultSizeBytes: Int64 = 8 << 30

    /// A multiple of 512, 1 MiB to 64 TiB.
    public var sizeBytes: Int64
    /// Printable ASCII without comma, at most 20 (the limit of virtio-blk and ATA).
    public var serial: String
    public var kind: Kind
    /// Says 7,200 rpm of itself. Only SATA and SCSI can say it.
    public var isRotational: Bool
    /// Says of itself that its medium can be taken out. Only SCSI can say it.
    public var isRemovable: Bool
    /// The smallest piece that it reads and writes, 512 or 4096 (“4Kn”); nil: 512. SATA has 512 only.
    public var sectorBytes: Int?

    public init(
        sizeBytes: Int64, serial: String, kind: Kind = .virtio, isRotational: Bool = false, isRemovable: Bool = false,
        sectorBytes: Int? = nil
    ) {
        self.sizeBytes = sizeBytes
        self.serial = serial
        self.kind = kind
        self.isRotational = isRotational
        self.isRemovable = isRemovable
        self.sectorBytes = sectorBytes
    }

    /// From `KIND:GIB`, as `nvme:16`, or `KIND:GIB:4k` for sectors of 4096 bytes, with a serial that follows from where it is.
    public init?(kindAndGiB text: String, lab: LabName, machine: String, index: Int) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard (2...3).contains(parts.count), let kind = Kind(rawValue: String(parts[0])), let size = Int64(parts[1]),
            (1...65_536).contains(size), parts.count == 2 || parts[2] == "4k"
        else { return nil }
        self.init(
            sizeBytes: size << 30, serial: DerivedIdentity.diskSerial(lab: lab, machine: machine, disk: index),
            kind: kind, sectorBytes: parts.count == 3 ? 4096 : nil)
    }

    /// What is wrong with it, or nil.
    var problem: String? {
        if !(1 << 20...64 << 40).contains(sizeBytes) || !sizeBytes.isMultiple(of: 512) {
            return "its size must be a multiple of 512 from 1 MiB to 64 TiB"
        }
        if !Self.isPrintable(serial, atMost: 20) { return "its serial must be 1 to 20 printable characters, no comma" }
        if isRotational, kind != .sata, kind != .scsi { return "only SATA and SCSI disks can be rotational" }
        if let sectorBytes, sectorBytes != 512, sectorBytes != 4096 || kind == .sata {
            return "its sectors must have 512 bytes, or 4096 where it is not SATA"
        }
        if isRemovable, kind != .scsi { return "only SCSI disks can be removable" }
        return nil
    }

    static func isPrintable(_ text: String, atMost limit: Int) -> Bool {
        (1...limit).contains(text.utf8.count)
            && text.utf8.allSatisfy { (0x21...0x7e).contains($0) && $0 != UInt8(ascii: ",") }
    }
}
