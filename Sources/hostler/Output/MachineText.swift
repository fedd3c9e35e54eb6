import Model

extension Machine {
    /// A line of `machine list`.
    func row(isWide: Bool) -> [String?] {
        let facts = observed.inventory
        let system = facts.flatMap { [$0.system.vendor, $0.system.product].compactMap(\.self).joined(separator: " ") }
        let disks = facts.map { inventory in
            inventory.disks.filter { !$0.removable }.map { Quantity.bytes($0.bytes) }.joined(separator: "+")
        }
        let row: [String?] = [
            id.rawValue, name.text == id.rawValue ? nil : name.text, stateText, system, disks,
            facts.map { Quantity.bytes($0.memory.totalBytes) }, observed.address?.description, installed?.image,
            Quantity.ago(observed.lastSeen),
        ]
        if !isWide { return row }
        let labels = desired.labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ",")
        return row + [
            interfaces.map(\.mac.description).joined(separator: ","), facts?.firmware.mode.rawValue, facts?.system.serial, labels,
        ]
    }

    var stateText: String {
        state.rawValue + (holds.isEmpty ? "" : " (held)") + (foreignContents != nil && installed == nil ? " (boots its own disk)" : "")
    }
}

/// `machine show`.
enum MachineText {
    static func text(_ machine: Machine, terminal: Terminal = .standard) -> String {
        var lines: [String] = []
        func add(_ name: String, _ value: String?) {
            if let value, !value.isEmpty { lines.append((name + ":").padded(to: 14) + Table.printable(value)) }
        }
        add("id", machine.id.rawValue)
        add("name", machine.name.text)
        add("state", machine.stateText)
        add("operation", machine.openOperation?.rawValue)
        add("host name", machine.desired.hostname)
        add("labels", machine.desired.labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " "))
        add("tags", machine.desired.tags.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " "))
        add("SSH keys", machine.desired.sshKeys.isEmpty ? nil : "\(machine.desired.sshKeys.count)")
        if let data = machine.desired.userData {
            let read = data.readAt.map { ", read at \($0)" } ?? ""
            add("user-data", "\(data.byteCount) bytes, \(data.access.rawValue), set at \(data.setAt)\(read)")
        }
        if let network = machine.desired.network {
            add(
                "network",
                network.addressings.map { link in
                    let addresses = (link.addressing.dhcp ? ["dhcp"] : []) + link.addressing.addresses.map(\.description)
                    return addresses.isEmpty ? link.name : "\(link.name) \(addresses.joined(separator: ","))"
                }.joined(separator: "; "))
        }
        add("ports", machine.interfaces.map { ($0.name.map { name in "\(name) " } ?? "") + $0.mac.description }.joined(separator: ", "))
        add("claimed ports", machine.observed.claimedInterfaces?.map(\.mac.description).joined(separator: ", "))
        if let board = machine.observed.strangeBoard {
            add("another board", "boots by \(board.port) since \(board.since): \(board.findings.map(\.words).joined(separator: "; "))")
        }
        add("address", machine.observed.address?.description)
        add("seen", Quantity.ago(machine.observed.lastSeen))
        if let agent = machine.observed.agent { add("agent", "\(agent.version), since \(agent.since)") }
        if let installed = machine.installed {
            let disk = (installed.disk?.name ?? installed.diskSerial).map { " on disk \($0)" } ?? ""
            add("installed", "\(installed.image) as \(installed.hostname)\(disk) at \(installed.installedAt) by \(installed.operation)")
            add("image", installed.digest)
        }
        if let system = machine.unproved {
            add("not proved", "\(system.image) as \(system.hostname), installed by \(system.operation); it may run")
            if machine.holds.isEmpty { lines.append("  " + Table.printable(machine.adviceOnUnproved)) }
        }
        if machine.installed == nil, machine.unproved == nil, let contents = machine.foreignContents {
            add("its own disk", contents)
            lines.append("  remedy: if nobody needs that any more: hostler machine take \(machine.id)")
        }
        for hold in machine.holds {
            add("held", "\(hold.id): \(hold.problem.title) [\(hold.problem.code)], since \(hold.since)")
            if let detail = hold.problem.detail { lines.append("  why:    " + Table.printable(detail)) }
            if let remedy = hold.problem.remedy { lines.append("  remedy: " + Table.printable(remedy)) }
            lines += hold.evidence.suffix(10).map { "  | " + Table.printable($0) }
        }
        if let facts = machine.observed.inventory { lines += inventory(facts, terminal) }
        return lines.joined(separator: "\n")
    }

    private static func inventory(_ facts: Inventory, _ terminal: Terminal) -> [String] {
        var lines = [""]
        let system = [facts.system.vendor, facts.system.product, facts.system.serial.map { "serial \($0)" }]
        lines.append("system:       " + Table.printable(system.compactMap(\.self).joined(separator: " ")))
        let firmware = [facts.firmware.mode.rawValue, facts.firmware.vendor, facts.firmware.version, facts.firmware.date]
        lines.append("firmware:     " + Table.printable(firmware.compactMap(\.self).joined(separator: " ")))
        for cpu in facts.cpus { lines.append("cpu:          " + Table.printable("\(cpu.model), \(cpu.cores) cores, \(cpu.threads) threads")) }
        let dimms = facts.memory.dimms.filter { $0.bytes > 0 }.map { "\($0.slot) \(Quantity.bytes($0.bytes))" }
        lines.append("memory:       \(Quantity.bytes(facts.memory.totalBytes))  " + Table.printable(dimms.joined(separator: ", ")))
        if let tpm = facts.tpm { lines.append("tpm:          \(tpm.version)") }
        if let bmc = facts.bmc { lines.append("bmc:          \(bmc.address?.description ?? "no address")") }
        let names = DiskNames(facts.disks)
        var disks = Table(["DISK", "NAME", "SERIAL", "MODEL", "SIZE", "KIND", "PLACE", "HOLDS"])
        for (index, disk) in facts.disks.enumerated() {
            disks.add([
                disk.name, names.name(of: index), disk.serial, disk.model, Quantity.bytes(disk.bytes),
                disk.kind.rawValue + (disk.removable ? ", removable" : ""), names.place(of: index).words, disk.contents?.summary,
            ])
        }
        for controller in facts.storageWithoutDriver ?? [] {
            lines.append("not read:     " + Table.printable("disks behind \(controller): the ramdisk has no driver for it"))
        }
        var nics = Table(["NIC", "MAC", "LINK", "DRIVER", "SWITCH PORT"])
        for nic in facts.nics {
            let speed = nic.megabitsPerSecond.map { " \($0) Mb/s" } ?? ""
            nics.add([
                nic.name, nic.mac.description, (nic.link ? "up" : "down") + speed, nic.driver,
                nic.neighbour.map { "\($0.systemName ?? $0.chassis) \($0.port)" },
            ])
        }
        return lines + ["", disks.text(terminal: terminal), "", nics.text(terminal: terminal)]
    }
}
