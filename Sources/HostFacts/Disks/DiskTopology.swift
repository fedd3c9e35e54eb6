internal import Wire

/// Where a disk is and by which way the machine reaches it, as sysfs tells of it.
///
/// What is not plainly inside the machine is something else: a disk that is taken for shared is asked for by name, one that
/// is taken for the machine's own is wiped.
struct DiskTopology: Equatable {
    let place: DiskPlace
    /// The controller and the disk's address on it, the same at each boot; nil where nothing such can be told.
    ///
    /// Numbers that count what the kernel has found so far (host, ATA port, `sda`) are not in it.
    let path: String?

    /// An iSCSI name has at most 223 bytes (RFC 3720 §3.2.6.1); longer paths are none.
    static let pathLimitBytes = 256

    /// - Parameters:
    ///   - devicePath: what the link `/sys/block/NAME` leads to.
    ///   - attribute: the text of a file below `/sys/block/NAME`.
    ///   - bytes: the same, as it is.
    ///   - entries: the names in a folder below `/sys/block/NAME`.
    init(
        name: String, devicePath: String, attribute: (String) -> String?, bytes: (String) -> [UInt8]?, entries: (String) -> [String]
    ) {
        let parts = devicePath.split(separator: "/").map(String.init)
        let found =
            name.hasPrefix("nvme")
            ? Self.nvme(parts, attribute, entries) : Self.other(parts, attribute, bytes, entries)
        place = found.place
        path = found.path.flatMap { $0.utf8.count <= Self.pathLimitBytes && $0.utf8.allSatisfy(Self.isPathByte) ? $0 : nil }
    }

    /// What needs no quoting in a shell and cannot be taken for another part of a name.
    private static func isPathByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        default: ".:,=+-_".utf8.contains(byte)
        }
    }

    // MARK: NVMe

    private typealias Found = (place: DiskPlace, path: String?)

    /// A namespace sits below its controller or, with the kernel's own multipath, below its subsystem, which links to each
    /// controller that leads to it.
    private static func nvme(_ parts: [String], _ attribute: (String) -> String?, _ entries: (String) -> [String]) -> Found {
        let isShared = parts.contains { $0.hasPrefix("nvme-subsys") }
        let controllers = isShared ? entries("device").filter { isNumbered($0, "nvme") }.map { "device/\($0)" } : ["device"]
        let transports = Set(controllers.map { attribute("\($0)/transport") ?? "" })
        guard let transport = transports.first, transports.count == 1 else {
            return (transports.isDisjoint(with: ["tcp", "rdma", "fc"]) ? .unclear : .nvmeFabric, nil)
        }
        var path: String?
        if controllers.count == 1, let address = attribute("\(controllers[0])/address"), let space = attribute("nsid") {
            path = (transport == "pcie" ? "pci-" : "\(transport)-") + "\(address)-nvme-\(space)"
        }
        switch transport {
        // What is in a subsystem with room for several controllers may have another one in another host.
        case "pcie": return (isShared ? .severalPaths : .inside, path)
        case "tcp", "rdma", "fc", "loop": return (.nvmeFabric, path)
        // Kernels of before 4.8 do not say; then there is no fabric but in a driver of its own.
        case "": return (!isShared && parts.contains { PCIAddress($0) != nil } ? .inside : .unclear, nil)
        default: return (.unclear, path)
        }
    }

    // MARK: All else

    private static func other(
        _ parts: [String], _ attribute: (String) -> String?, _ bytes: (String) -> [UInt8]?, _ entries: (String) -> [String]
    ) -> Found {
        let bus = bus(parts)
        let unit = unit(parts)
        func path(_ tail: String?) -> String? { bus.flatMap { bus in tail.map { "\(bus)-\($0)" } } }
        if let session = parts.last(where: { isNumbered($0, "session") }) {
            let target = attribute("device/../../iscsi_session/\(session)/targetname")
            return (.iscsi, target.flatMap { target in unit.map { "iscsi-\(target)-lun-\($0.lun)" } })
        }
        if let port = parts.last(where: { $0.hasPrefix("rport-") }) {
            let name = attribute("device/../../fc_remote_ports/\(port)/port_name")
            return (.fibreChannel, path(name.flatMap { name in unit.map { "fc-\(name)-lun-\($0.lun)" } }))
        }
        if parts.contains(where: { $0.hasPrefix("srp-") || $0 == "infiniband_srp" }) { return (.srp, nil) }
        if let position = parts.lastIndex(where: { isNumbered($0, "usb") || isNumbered($0, "fw") }) {
            return (.external, path(usb(parts[position...], unit)))
        }
        if parts.contains("virtual") { return (.software, nil) }
        if let device = parts.last(where: { $0.hasPrefix("end_device-") }) {
            let address = attribute("device/../../sas_device/\(device)/sas_address")
            let own = path(address.flatMap { address in unit.map { "sas-\(address)-lun-\($0.lun)" } })
            if parts.contains(where: { $0.hasPrefix("expander-") }) { return (.enclosure, own) }
            return (isArray(unit, bytes, entries) ? .array : .inside, own)
        }
        guard let bus else { return (.unclear, nil) }
        if let port = parts.last(where: { isNumbered($0, "ata") }) {
            let number = attribute("device/../../../ata_port/\(port)/port_no")
            return (.inside, number.flatMap { number in unit.map { "\(bus)-ata-\(number)" + ($0.channelAndTarget == "0:0" ? "" : "-\($0.text)") } })
        }
        // Some controllers do not show that they are of SAS.
        return (hasPortGroups(bytes) ? .array : .inside, unit.map { "\(bus)-scsi-\($0.text)" } ?? bus)
    }

    /// Where the controller is. Nil: on no bus of hardware, as what the kernel's test drivers make.
    private static func bus(_ parts: [String]) -> String? {
        if let address = parts.last(where: { PCIAddress($0) != nil }) { return "pci-\(address)" }
        if let position = parts.firstIndex(of: "platform"), parts.indices.contains(position + 1), !isNumbered(parts[position + 1], "host") {
            return "platform-\(parts[position + 1])"
        }
        if let device = parts.last(where: { $0.hasPrefix("vbd-") }) { return device }
        // Hyper-V: the device's GUID follows its bus.
        if let position = parts.lastIndex(where: { $0.hasPrefix("VMBUS:") }), parts.indices.contains(position + 1) {
            return "vmbus-\(parts[position + 1])"
        }
        return nil
    }

    /// A SCSI address without its host, which is numbered as it was found.
    private struct Unit {
        let text: String
        let lun: Substring
        let channelAndTarget: String

        init?(_ part: String) {
            let numbers = part.split(separator: ":", omittingEmptySubsequences: false)
            guard numbers.count == 4, numbers.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { (48...57).contains($0) } }) else { return nil }
            text = numbers[1...].joined(separator: ":")
            lun = numbers[3]
            channelAndTarget = "\(numbers[1]):\(numbers[2])"
        }
    }

    private static func unit(_ parts: [String]) -> Unit? { parts.reversed().lazy.compactMap { Unit($0) }.first }

    /// The ports from the root hub on: `2-1.4:1.0` is bus 2, its port 1, there port 4. Buses are numbered as they are found.
    private static func usb(_ parts: ArraySlice<String>, _ unit: Unit?) -> String? {
        guard let interface = parts.last(where: { $0.contains("-") && $0.contains(":") && $0.first?.isNumber == true }),
            let dash = interface.firstIndex(of: "-")
        else { return nil }
        return "usb-\(interface[interface.index(after: dash)...])" + (unit.map { "-scsi-\($0.text)" } ?? "")
    }

    /// A SAS disk has the one unit 0. What has another, or several, or ports of unequal standing (SPC-4 §5.16, TPGS in byte 5
    /// of INQUIRY's data), is an array, which other hosts may be wired to.
    private static func isArray(_ unit: Unit?, _ bytes: (String) -> [UInt8]?, _ entries: (String) -> [String]) -> Bool {
        guard let unit, unit.lun == "0" else { return true }
        if entries("device/..").filter({ Unit($0) != nil }).count > 1 { return true }
        return hasPortGroups(bytes)
    }

    private static func hasPortGroups(_ bytes: (String) -> [UInt8]?) -> Bool {
        guard let inquiry = bytes("device/inquiry"), inquiry.count > 5 else { return false }
        return inquiry[5] >> 4 & 3 != 0
    }

    /// Whether a name is `prefix` and a number.
    private static func isNumbered(_ name: String, _ prefix: String) -> Bool {
        guard name.hasPrefix(prefix) else { return false }
        let number = name.utf8.dropFirst(prefix.utf8.count)
        return !number.isEmpty && number.allSatisfy { (48...57).contains($0) }
    }
}
