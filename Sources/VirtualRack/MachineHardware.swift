internal import FoundationEssentials
internal import Glibc
internal import VirtualBMC
internal import Wire

/// A lab machine as its BMC has it: power is QEMU's process, the inventory is
/// what the guest sees.
final class MachineHardware: BMCHardware {
    let inventory: BMCInventory
    private let machine: VirtualMachine
    private let namespace: String

    init(machine: VirtualMachine, lab: LabName, address: IPv4Address, accelerator: Accelerator) {
        self.machine = machine
        namespace = lab.namespace
        inventory = BMCInventory(spec: machine.spec, lab: lab, address: address, accelerator: accelerator)
    }

    var events: AsyncStream<BMCHardwareEvent> { machine.bmcEvents }

    var console: (any BMCConsole)? { MachineConsole(machine: machine) }

    func reading() async -> BMCReading {
        let power = await machine.isOn ? BMCReading.Power.on : .off
        let faults = await machine.faults
        let broken = faults.compactMap { if case .broken(let part) = $0 { part } else { nil } }
        var reading = BMCReading.nominal(
            power: power, networkCards: machine.spec.nics.count, broken: Set(broken))
        for fault in faults {
            if case .linkDown(let nic) = fault, reading.linksUp.indices.contains(nic) { reading.linksUp[nic] = false }
        }
        return reading
    }

    func perform(_ order: BMCOrder) async throws {
        do {
            switch order {
            case .power(let type): try await power(type)
            case .boot(let override): try await machine.setPlan { $0.override = override }
            case .insert(let image): try await insert(image)
            case .eject:
                await machine.ejectDisc()
                try await machine.setPlan { $0.cd = nil }
                unlink(machine.paths.bmcDisc)
            }
        } catch let error as LabError {
            throw BMCHardwareError(error.code == .wrongPowerState ? .wrongState : .failed, error.description)
        }
    }

    private func power(_ type: ResetType) async throws {
        switch type {
        case .on, .forceOn: try await machine.perform(.on)
        case .forceOff: try await machine.perform(.off)
        case .gracefulShutdown: try await machine.perform(.button)
        case .pushPowerButton: try await machine.perform(await machine.isOn ? .button : .on)
        case .gracefulRestart: try await machine.shutDownAndStart()
        case .forceRestart: try await machine.perform(.reset)
        case .powerCycle: try await machine.perform(.cycle)
        case .nmi: try await machine.interrupt()
        }
    }

    /// Fetched from within the rack's network, as a BMC fetches it from the BMCs' network.
    private func insert(_ image: VirtualMediaImage) async throws {
        guard QEMUCommand.drivePort(machine.spec) != nil else {
            throw BMCHardwareError(.failed, "all ports of the controller have disks; there is none for a virtual drive")
        }
        let path = machine.paths.bmcDisc
        // Credentials stand in a file, not on a command line.
        var options = "url = \"\(Self.quoted(image.uri))\"\n"
        if let name = image.userName { options += "user = \"\(Self.quoted("\(name):\(image.password ?? "")"))\"\n" }
        let configuration = "\(path).curl"
        defer { unlink(configuration) }
        try PrivateText.write(options, to: configuration)
        do {
            try await Tool.ip.run([
                "netns", "exec", namespace, "curl", "--fail", "--silent", "--show-error", "--location", "--insecure",
                "--proto", "=http,https", "--connect-timeout", "10", "--max-time", "1800", "--config", configuration,
                "--output", path,
            ])
        } catch let error as LabError {
            unlink(path)
            throw BMCHardwareError(.image, error.what)
        }
        try await machine.setPlan { $0.cd = path }
    }

    private static func quoted(_ text: String) -> String {
        text.split(separator: "\\", omittingEmptySubsequences: false).joined(separator: "\\\\")
            .split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\\\"")
            .filter { !$0.isNewline }
    }
}

/// A file that only its owner may read.
enum PrivateText {
    static func write(_ text: String, to path: String) throws(LabError) {
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
        let bytes = Array(text.utf8)
        let written = file < 0 ? -1 : Glibc.write(file, bytes, bytes.count)
        if file >= 0 { close(file) }
        guard written == bytes.count else {
            throw LabError(.fileFailed, "\(path): \(String(cString: strerror(errno)))", remedy: "Make room.")
        }
    }
}

extension BMCInventory {
    /// What QEMU tells the guest (SMBIOS types 1 to 4 and 17, PCI), as the BMC of a server has it too.
    init(spec: VirtualMachineSpec, lab: LabName, address: IPv4Address, accelerator: Accelerator) {
        let buses: [VirtualDisk.Kind: Drive.Bus] = [.nvme: .nvme, .sata: .sata, .scsi: .sas, .virtio: .pcie]
        // QEMU puts 16 GiB into one module.
        let modules = stride(from: 0, to: spec.memoryMiB, by: 16_384).map { min(16_384, spec.memoryMiB - $0) }
        self.init(
            name: spec.name, manufacturer: "Hostler", model: "Lab machine", sku: "lab", serial: spec.serial,
            assetTag: spec.assetTag, boardSerial: "\(spec.serial)-B", uuid: spec.uuid,
            firmware: spec.firmware == .uefi ? .uefi : .bios, firmwareVersion: "lab",
            processors: [
                Processor(
                    socket: "CPU0", manufacturer: "QEMU",
                    model: accelerator == .tcg ? "QEMU TCG CPU version 2.5+" : "host", cores: spec.cpus,
                    threads: spec.cpus)
            ],
            memory: modules.enumerated().map { index, size in
                MemoryModule(
                    locator: "DIMM \(index)", sizeMiB: size, manufacturer: "Hostler", serial: "\(spec.serial)-M",
                    partNumber: "LAB-DIMM", speedMHz: 3200)
            },
            networkCards: spec.nics.enumerated().map { index, nic in
                NetworkCard(mac: nic.mac, name: "Network card \(index)", speedMbps: 1000)
            },
            drives: spec.disks.map { disk in
                Drive(
                    serial: disk.serial, model: "QEMU \(disk.kind.rawValue) disk", sizeBytes: disk.sizeBytes,
                    bus: buses[disk.kind] ?? .pcie, isRotational: disk.isRotational)
            },
            managerUUID: DerivedIdentity.uuid(lab: lab, machine: "bmc/\(spec.name)"),
            managerMAC: DerivedIdentity.mac(lab: lab, machine: "bmc/\(spec.name)", nic: 0), managerAddress: address,
            managerNetmask: IPv4Address(value: 0xffff_ff00))
    }
}
