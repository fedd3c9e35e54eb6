internal import BlockIO
internal import CLinux
internal import Glibc
internal import HostFacts
internal import Model
internal import Wire

/// Puts the installed disk into the firmware's boot order, behind the network.
enum BootOrder {
    private static let folder = "/sys/firmware/efi/efivars"
    private static let prefix = "Hostler: "
    #if arch(arm64)
        static let loaderName = "BOOTAA64.EFI"
    #else
        static let loaderName = "BOOTX64.EFI"
    #endif
    private static let loader = "\\EFI\\BOOT\\" + loaderName

    static var isUEFI: Bool { SystemFile.exists("/sys/firmware/efi") }

    static func set(image: String, device: BlockDevice, drivers: DriverBox) throws -> [String: String] {
        guard isUEFI else { return ["firmware": "bios: firmware order unchanged"] }
        try mountVariables(drivers)
        let partition = try systemPartition(of: device)
        let option = EFILoadOption(description: prefix + image, path: [partition, .filePath(loader), .end])
        let entries = try entries()
        let ours = entries.filter { $0.value.description.hasPrefix(prefix) }.keys.min()
        guard let number = ours ?? EFIBootOrder.freeNumber(besides: Set(entries.keys)) else {
            throw problem("the firmware has no free boot entry")
        }
        let name = EFIBootOrder.variableName(number)
        if entries[number] != option { try write(name, option.serialize()) }
        let current = try read("BootCurrent").flatMap { try EFIBootOrder.parse($0).first }
        let before = try read("BootOrder").map { try EFIBootOrder.parse($0) } ?? []
        let after = EFIBootOrder.placeDiskAfterCurrent(order: before, current: current, disk: number)
        if after != before { try write("BootOrder", EFIBootOrder.serialize(after)) }
        // Evidence is what the firmware says afterwards, not what was told to it.
        let kept = try read("BootOrder").map { try EFIBootOrder.parse($0) } ?? []
        guard kept == after, try read(name) == option.serialize() else {
            throw problem("the firmware did not keep the boot order it was given: wanted \(names(after)), has \(names(kept))")
        }
        return [
            "firmware": "uefi", "entry": name, "before": names(before), "order": names(kept),
            "current": current.map(EFIBootOrder.variableName) ?? "unknown",
        ]
    }

    private static func names(_ order: [UInt16]) -> String {
        order.map { String(EFIBootOrder.variableName($0).dropFirst(4)) }.joined(separator: ",")
    }

    private static func mountVariables(_ drivers: DriverBox) throws {
        if SystemFile.names(in: folder).isEmpty {
            drivers.load(["efivarfs"])
            try SystemError.check(agent_mount("efivarfs", folder, "efivarfs", false), "mount efivarfs")
        }
    }

    private static func systemPartition(of device: BlockDevice) throws -> EFIDevicePathNode {
        let head = try device.read(PartitionTable.headBytes, at: 0)
        guard let node = Self.systemPartition(try PartitionTable(parsing: head, blockBytes: device.blockBytes)) else {
            throw problem("the disk \(device.name) has no EFI system partition: the image cannot boot on UEFI")
        }
        return node
    }

    /// How firmware names the first EFI system partition of a disk; nil: there is none.
    static func systemPartition(_ table: PartitionTable) -> EFIDevicePathNode? {
        switch table {
        case .gpt(let gpt):
            guard let (slot, esp) = gpt.partitions.filter({ $0.value.type == GPT.KnownType.efiSystem }).min(by: { $0.key < $1.key }),
                let guid = FirmwareGUID(esp.unique.diskBytes)
            else { return nil }
            return .hardDrive(
                EFIPartition(
                    number: UInt32(slot + 1), startBlock: esp.firstBlock, blockCount: esp.lastBlock - esp.firstBlock + 1, guid: guid))
        case .mbr(let mbr):
            guard let slot = mbr.systemSlot, let esp = mbr.partitions[slot] else { return nil }
            // UEFI 2.10 §10.3.5.1: partition format 1 is an MBR, signature type 1 its four bytes.
            var data = ByteWriter()
            data.writeLE(UInt32(slot + 1))
            data.writeLE(UInt64(esp.firstBlock))
            data.writeLE(UInt64(esp.blockCount))
            data.write(mbr.signature)
            data.writeZeros(12)
            data.write([1, 1])
            return .other(type: 4, subtype: 1, data: data.bytes)
        }
    }

    private static func entries() throws -> [UInt16: EFILoadOption] {
        var entries: [UInt16: EFILoadOption] = [:]
        for file in SystemFile.names(in: folder) {
            guard file.hasSuffix("-\(EFIBootOrder.globalVariableGUID)"),
                let number = EFIBootOrder.number(ofVariable: file.prefix(8)), file.dropFirst(8).first == "-"
            else { continue }
            guard let bytes = SystemFile.bytes("\(folder)/\(file)"),
                let option = try? EFILoadOption(parsing: EFIVariable(parsing: bytes).content)
            else {
                // Taken all the same.
                entries[number] = EFILoadOption(description: "", path: [])
                continue
            }
            entries[number] = option
        }
        return entries
    }

    private static func path(_ name: String) -> String { "\(folder)/\(name)-\(EFIBootOrder.globalVariableGUID)" }

    private static func read(_ name: String) throws -> [UInt8]? {
        guard let bytes = SystemFile.bytes(path(name)), !bytes.isEmpty else { return nil }
        return try EFIVariable(parsing: bytes).content
    }

    /// efivarfs keeps variables immutable, and takes one in a single write.
    private static func write(_ name: String, _ content: [UInt8]) throws {
        if SystemFile.exists(path(name)) {
            try SystemError.check(agent_set_immutable(path(name), false), "unlock \(name)")
        }
        let fd = open(path(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
        guard fd >= 0 else { throw SystemError("open \(name)") }
        defer { close(fd) }
        let bytes = EFIVariable(content: content).serialize()
        guard Glibc.write(fd, bytes, bytes.count) == bytes.count else { throw SystemError("write \(name)") }
    }

    private static func problem(_ why: String) -> Problem {
        Problem(
            "boot-order-failed", status: 502, title: "The firmware's boot order could not be set", detail: why,
            remedy: "Set it in the firmware's set-up: network first, then the disk.")
    }
}
