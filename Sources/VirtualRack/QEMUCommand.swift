/// The command line of one machine's QEMU. A pure function of the machine and
/// its paths, so that a test can hold it to the letter.
struct QEMUCommand {
    static let program = "/usr/bin/qemu-system-x86_64"
    static let firmwareCode = "/usr/share/OVMF/OVMF_CODE_4M.fd"
    static let firmwareVariables = "/usr/share/OVMF/OVMF_VARS_4M.fd"

    let lab: LabName
    let spec: VirtualMachineSpec
    /// The machine's number in its rack: its taps are `tap<number>.<nic>`.
    let number: Int
    let paths: MachinePaths
    let accelerator: Accelerator
    var plan = BootPlan()

    static func tap(number: Int, nic: Int) -> String { "tap\(number).\(nic)" }
    static func netdev(_ nic: Int) -> String { "net\(nic)" }
    static func fileNode(_ disk: Int) -> String { "disk\(disk)-file" }
    static func formatNode(_ disk: Int) -> String { "disk\(disk)" }

    /// argv, the program first. The machine starts stopped (`-S`): the console
    /// is connected and the faults are set before its first instruction.
    var arguments: [String] {
        var all = [
            Self.program, "-name", "\(lab.namespace)-\(spec.name)", "-nodefaults", "-no-user-config", "-S",
            "-machine", "q35,graphics=off",
        ]
        all += accelerator.arguments
        all += ["-smp", "\(spec.cpus)", "-m", "\(spec.memoryMiB)", "-uuid", spec.uuid]
        all += ["-display", "none", "-vga", "none", "-monitor", "none"]
        all += ["-qmp", "unix:\(escape(paths.qmpSocket)),server=on,wait=off"]
        all += ["-chardev", "socket,id=\(Self.serialDevice),path=\(escape(paths.serialSocket)),server=on,wait=off"]
        all += ["-serial", "chardev:\(Self.serialDevice)"]
        all += smbios + firmware
        // A machine that found nothing to boot tries again, as a server in a rack would.
        all += ["-boot", "strict=on,reboot-timeout=5000"]
        if spec.hasRandomDevice { all += ["-device", "virtio-rng-pci"] }
        for index in spec.nics.indices { all += network(index) }
        if spec.disks.contains(where: { $0.kind == .scsi }) { all += ["-device", "virtio-scsi-pci,id=scsi"] }
        for index in spec.disks.indices { all += disk(index) }
        if let image = plan.cd, let port = Self.drivePort(spec) { all += drive(image, port) }
        return all
    }

    private var smbios: [String] {
        [
            "-smbios", "type=0,vendor=Hostler,version=lab",
            "-smbios",
            "type=1,manufacturer=Hostler,product=Lab machine,version=1,serial=\(spec.serial),uuid=\(spec.uuid),"
                + "sku=lab,family=\(lab)",
            "-smbios",
            "type=2,manufacturer=Hostler,product=Lab board,version=1,serial=\(spec.serial)-B,asset=\(spec.assetTag)",
            "-smbios", "type=3,manufacturer=Hostler,version=1,serial=\(spec.serial),asset=\(spec.assetTag)",
            "-smbios",
            "type=17,loc_pfx=DIMM,bank=BANK,manufacturer=Hostler,serial=\(spec.serial)-M,asset=\(spec.assetTag),"
                + "part=LAB-DIMM,speed=3200",
        ]
    }

    private var firmware: [String] {
        switch spec.firmware {
        case .bios: []
        case .uefi:
            [
                "-drive", "if=pflash,unit=0,format=raw,readonly=on,file=\(Self.firmwareCode)",
                "-drive", "if=pflash,unit=1,format=raw,file=\(escape(paths.firmwareVariables))",
            ]
        }
    }

    private func network(_ index: Int) -> [String] {
        let nic = spec.nics[index]
        let model = nic.model == .virtio ? "virtio-net-pci" : "e1000"
        var device = "\(model),id=nic\(index),netdev=\(Self.netdev(index)),mac=\(nic.mac)"
        let boot = bootIndex(.networkCard(index))
        device += boot
        // OVMF drives virtio itself; without iPXE in between, it is OVMF's own PXE that is met.
        if boot.isEmpty || (spec.firmware == .uefi && nic.model == .virtio) { device += ",romfile=" }
        let tap = Self.tap(number: number, nic: index)
        return [
            "-netdev", "tap,id=\(Self.netdev(index)),ifname=\(tap),script=no,downscript=no,vhost=off",
            "-device", device,
        ]
    }

    // MARK: Order

    private enum Slot: Hashable {
        case cd
        case networkCard(Int)
        case disk(Int)
    }

    /// The machine's own order, or the BMC's. What is not in it is not started from.
    private var bootOrder: [Slot] {
        let cards = spec.nics.indices.map { Slot.networkCard($0) }
        let disks = spec.disks.indices.map { Slot.disk($0) }
        let usual = spec.boot == .networkFirst ? cards + disks : disks
        let cd: [Slot] = plan.cd == nil ? [] : [.cd]
        return switch plan.first {
        case .cd: cd + usual
        case .pxe: cards + disks + cd
        case .hdd: disks + usual.filter { !disks.contains($0) } + cd
        case .uefiHTTP, nil: usual + (plan.httpURI == nil || !disks.elementsEqual(usual) ? [] : cards) + cd
        }
    }

    private func bootIndex(_ slot: Slot) -> String {
        bootOrder.firstIndex(of: slot).map { ",bootindex=\($0)" } ?? ""
    }

    // MARK: The BMC's drive

    /// The AHCI port of the virtual drive: the last one that no disk has. Nil where all are taken.
    static func drivePort(_ spec: VirtualMachineSpec) -> Int? {
        (0..<6).last { port in !(spec.disks.indices.contains(port) && spec.disks[port].kind == .sata) }
    }

    static let serialDevice = "console"
    static let driveDevice = "bmc-cd"

    private func drive(_ image: String, _ port: Int) -> [String] {
        [
            "-blockdev", "driver=file,node-name=bmc-cd-file,filename=\(escape(image)),read-only=on",
            "-blockdev", "driver=raw,node-name=bmc-cd-image,file=bmc-cd-file,read-only=on",
            "-device", "ide-cd,bus=ide.\(port),id=\(Self.driveDevice),drive=bmc-cd-image\(bootIndex(.cd))",
        ]
    }

    private func disk(_ index: Int) -> [String] {
        let disk = spec.disks[index]
        let node = Self.formatNode(index)
        let sectors = disk.sectorBytes.map { ",logical_block_size=\($0),physical_block_size=\($0)" } ?? ""
        let common = "id=dev\(index),drive=\(node),serial=\(disk.serial)\(bootIndex(.disk(index)))\(sectors)"
        // Errors go to the guest; QEMU's own choice would be to stop the machine when there is no room.
        let reports = "werror=report,rerror=report"
        let speed = "rotation_rate=\(disk.isRotational ? 7200 : 1)"
        let device =
            switch disk.kind {
            case .virtio: "virtio-blk-pci,\(common),\(reports)"
            case .nvme: "nvme,\(common)"
            case .sata: "ide-hd,bus=ide.\(index),\(common),\(speed),\(reports)"
            case .scsi:
                "scsi-hd,bus=scsi.0,scsi-id=\(index),\(common),\(speed),"
                    + "removable=\(disk.isRemovable ? "on" : "off"),\(reports)"
            }
        return [
            "-blockdev",
            "driver=file,node-name=\(Self.fileNode(index)),filename=\(escape(paths.disk(index))),"
                + "cache.direct=off,cache.no-flush=off,discard=unmap",
            "-blockdev", "driver=raw,node-name=\(node),file=\(Self.fileNode(index)),discard=unmap",
            "-device", device,
        ]
    }

    /// QEMU's option syntax: a comma in a value is written twice.
    private func escape(_ value: String) -> String {
        value.split(separator: ",", omittingEmptySubsequences: false).joined(separator: ",,")
    }
}

/// What runs the guest's instructions.
public enum Accelerator: String, Codable, Sendable {
    /// The processor itself.
    case kvm
    /// QEMU's translator: slow, works everywhere.
    case tcg

    var arguments: [String] {
        switch self {
        case .kvm: ["-accel", "kvm", "-cpu", "host"]
        case .tcg: ["-accel", "tcg,thread=multi", "-cpu", "max"]
        }
    }
}
