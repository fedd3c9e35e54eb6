public import Wire

/// How a disk is attached.
public enum DiskTransport: String, Sendable, CaseIterable { case nvme, sata, sas, usb, virtio, mmc, iscsi, other }

/// A disk as `/sys/block/NAME` tells of it.
public struct DiskFacts: Equatable, Sendable {
    /// The kernel's name, `nvme0n1`: good until the next boot only.
    public let name: String
    public let serial: String?
    /// World wide name: lowercase, without prefix: `5000c500a1b2c3d4`.
    public let wwn: String?
    /// An NVMe namespace's other names, in the same form.
    public let nguid: String?
    public let eui64: String?
    public let model: String?
    public let sizeBytes: UInt64
    public let logicalBlockBytes: Int
    public let isRotational: Bool
    public let isRemovable: Bool
    public let isReadOnly: Bool
    public let transport: DiskTransport
    public private(set) var place: DiskPlace
    /// The controller and the disk's address on it: the same at each boot.
    public let path: String?

    public init(
        name: String, serial: String?, wwn: String?, nguid: String? = nil, eui64: String? = nil, model: String?, sizeBytes: UInt64,
        logicalBlockBytes: Int = 512, isRotational: Bool = false, isRemovable: Bool = false, isReadOnly: Bool = false,
        transport: DiskTransport = .other, place: DiskPlace = .unclear, path: String? = nil
    ) {
        self.name = name
        self.serial = serial.flatMap(FirmwareText.meaningful).flatMap(DiskIdentity.serial)
        self.wwn = wwn.flatMap(DiskIdentity.worldWide)
        self.nguid = nguid.flatMap(DiskIdentity.worldWide)
        self.eui64 = eui64.flatMap(DiskIdentity.worldWide)
        self.model = model.flatMap(FirmwareText.meaningful)
        self.sizeBytes = sizeBytes
        self.logicalBlockBytes = logicalBlockBytes
        self.isRotational = isRotational
        self.isRemovable = isRemovable
        self.isReadOnly = isReadOnly
        self.transport = transport
        self.place = place
        self.path = path
    }

    /// - Parameters:
    ///   - devicePath: what the link `/sys/block/NAME` leads to; it tells the transport.
    ///   - attribute: the bytes of a file below `/sys/block/NAME`, or nil. Asked for: `size`, `removable`,
    ///     `ro`, `queue/rotational`, `queue/logical_block_size`, `serial`, `wwid`, `device/serial`,
    ///     `device/wwid`, `device/vpd_pg80`, `device/vpd_pg83`, `device/model`, `device/vendor`, `device/name`, `nguid`, `eui`,
    ///     and what ``DiskTopology`` asks for.
    ///   - entries: the names in a folder below `/sys/block/NAME`.
    /// - Returns: nil where there is no size: no disk, or a reader without a medium.
    public init?(
        name: String, devicePath: String, entries: (String) -> [String] = { _ in [] }, attribute: (String) -> [UInt8]?
    ) {
        func text(_ name: String) -> String? {
            attribute(name).map { FirmwareText.decode($0) }.flatMap(FirmwareText.meaningful)
        }
        func flag(_ name: String) -> Bool { attribute(name)?.first == UInt8(ascii: "1") }
        // In units of 512 bytes, whatever the device's block is.
        guard let sectors = attribute("size").map({ FirmwareText.decode($0) }).flatMap(UInt64.init), sectors > 0,
            sectors < 1 << 54
        else { return nil }
        let maker = text("device/vendor").flatMap { $0 == "ATA" || $0.hasPrefix("0x") ? nil : $0 }
        let model = text("device/model") ?? text("device/name")
        let topology = DiskTopology(
            name: name, devicePath: devicePath, attribute: { attribute($0).map { FirmwareText.decode($0) } }, bytes: attribute,
            entries: entries)
        self.init(
            name: name,
            serial: text("device/serial") ?? text("serial")
                ?? attribute("device/vpd_pg80").flatMap(DiskIdentification.serial(page80:))
                ?? text("device/wwid").flatMap(DiskIdentification.serial(vendorWWID:)),
            // Of several sources the first that holds a name: one that only repeats the serial number is none.
            wwn: text("wwid").flatMap(DiskIdentity.worldWide) ?? text("device/wwid").flatMap(DiskIdentity.worldWide)
                ?? attribute("device/vpd_pg83").flatMap(DiskIdentification.wwn(page83:)),
            nguid: text("nguid"), eui64: text("eui"),
            model: maker.map { maker in model.map { "\(maker) \($0)" } ?? maker } ?? model,
            sizeBytes: sectors * 512,
            logicalBlockBytes: text("queue/logical_block_size").flatMap { Int($0) } ?? 512,
            isRotational: flag("queue/rotational"), isRemovable: flag("removable"), isReadOnly: flag("ro"),
            transport: Self.transport(name: name, devicePath: devicePath), place: topology.place, path: topology.path)
    }

    /// Whether the NVMe namespace lies in a subsystem that may have more controllers than the one that is in this machine.
    ///
    /// Whether another one leads to it the namespace itself says: see ``markPrivate()``.
    public var mayBeShared: Bool { transport == .nvme && place == .severalPaths && path?.hasPrefix("pci-") == true }

    /// Its controller says that no other one can lead to it: it is inside the machine.
    public mutating func markPrivate() {
        if mayBeShared { place = .inside }
    }

    /// Whether a block device of this name is a whole physical disk: no
    /// loop, RAM, CD-ROM, device mapper, boot area of an MMC, or hidden NVMe path.
    public static func isDisk(name: String) -> Bool {
        let others = [
            "loop", "ram", "zram", "sr", "fd", "dm-", "md", "nbd", "mtdblock", "rbd", "drbd", "bcache", "scd",
        ]
        if others.contains(where: name.hasPrefix) { return false }
        if name.hasPrefix("mmcblk") { return !name.dropFirst(6).contains { !$0.isNumber } }
        // nvme0c1n1 is one path of a multipath nvme0n1.
        if name.hasPrefix("nvme") { return !name.dropFirst(4).contains("c") }
        return !name.isEmpty
    }

    private static func transport(name: String, devicePath: String) -> DiskTransport {
        if name.hasPrefix("nvme") { return .nvme }
        if name.hasPrefix("mmcblk") { return .mmc }
        let parts = devicePath.split(separator: "/")
        // From the disk up: a SATA disk behind a SAS expander has both, the nearest link is the disk's own.
        for part in parts.reversed() {
            if part.hasPrefix("end_device-") { return .sas }
            if part.hasPrefix("session") { return .iscsi }
            if part.hasPrefix("ata"), part.dropFirst(3).allSatisfy(\.isNumber) { return .sata }
            if part.hasPrefix("usb") { return .usb }
            if part.hasPrefix("virtio") { return .virtio }
        }
        return .other
    }
}

/// What SCSI's vital product data says a disk is (SPC-4 §7.8).
enum DiskIdentification {
    /// Unit serial number page.
    static func serial(page80 page: [UInt8]) -> String? {
        guard page.count > 4, page[1] == 0x80 else { return nil }
        return FirmwareText.meaningful(FirmwareText.decode(page[4...].prefix(Int(page[2]) << 8 | Int(page[3]))))
    }

    /// libata's `t10.ATA` name: a model of 40 characters, then a serial of 20.
    static func serial(vendorWWID text: String) -> String? {
        guard text.hasPrefix("t10.ATA") else { return nil }
        return text.split(separator: " ").last.map(String.init)
    }

    /// Device identification page: the NAA or EUI-64 name of the logical unit; of several the longest, which is that of a
    /// volume where a shorter one is that of its controller.
    static func wwn(page83 page: [UInt8]) -> String? {
        guard page.count > 4, page[1] == 0x83 else { return nil }
        var found: String?
        var position = 4
        while position + 4 <= page.count {
            let length = Int(page[position + 3])
            guard position + 4 + length <= page.count else { return found }
            let kind = page[position + 1]
            // Association 0: the unit itself, not the port. Type 2 is EUI-64, 3 is NAA.
            if kind >> 4 & 3 == 0, kind & 15 == 2 || kind & 15 == 3, length >= 8 {
                let name = DiskIdentity.worldWide(page[position + 4..<position + 4 + length].map { hex($0, 2) }.joined())
                if let name, name.utf8.count > found?.utf8.count ?? 0 { found = name }
            }
            position += 4 + length
        }
        return found
    }
}
