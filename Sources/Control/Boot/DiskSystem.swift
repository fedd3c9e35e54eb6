internal import Synchronization
public import Model
public import Wire

/// By what the disk is found from which a machine is to start.
public struct DiskSystem: Equatable, Sendable {
    /// The installation whose seed names it; nil: one of a former version, or none.
    public var operation: OperationID?
    /// Where a BIOS finds its marker; nil: not known.
    public var mark: BootMark?

    public init(operation: OperationID? = nil, mark: BootMark? = nil) {
        self.operation = operation
        self.mark = mark
    }

    /// Of the installation that is at its first boot, else of the system that runs.
    public init(machine: Machine?, operation open: Model.Operation?) {
        if let open, open.kind == .install, open.isDone(.restart) {
            operation = open.seedNamesOperation == true ? open.id : nil
            mark = open.step(.writeSeed).flatMap { BootMark(evidence: $0.evidence) }
        } else if let installed = machine?.systemOnDisk {
            operation = installed.seedNamesOperation == true ? installed.operation : nil
            mark = installed.bootMark
        }
    }
}

extension ControlPlane {
    /// By what the disk is found from which the machine with this port is to start.
    public func diskSystem(at mac: MACAddress) -> DiskSystem {
        let snapshot = snapshot
        let machine = snapshot.onlyMachine(with: mac)
        return DiskSystem(machine: machine, operation: machine.flatMap { snapshot.openOperation(of: $0) })
    }

    /// Whether the machine with this port has one disk and no other, by its last inventory.
    public func hasOneDisk(at mac: MACAddress) -> Bool { snapshot.onlyMachine(with: mac)?.hasOneDisk == true }

    /// A machine's BIOS shows no disk with the system that it is to start.
    ///
    /// An installation that waits for its first boot fails at once: it would wait for ever. Of a system that has run it is an
    /// event, once an hour; the BIOS then starts what it has. So it does where the machine has one disk only: the BIOS's first
    /// disk is that one, and many a BIOS cannot read the marker, at the very end of a disk of more than 2 TiB.
    /// - Returns: what to tell on the machine's console; nil: it may go on with its first disk.
    public func systemIsMissing(at mac: MACAddress, evidence: [String: String]) async throws -> String? {
        // Of a port that several have, nobody knows whose BIOS speaks.
        guard let machine = snapshot.onlyMachine(with: mac) else { return nil }
        if !machine.hasOneDisk, let open = snapshot.openOperation(of: machine), open.kind == .install, open.isDone(.restart) {
            let disk = open.step(.chooseDisk)?.evidence["serial"] ?? open.step(.chooseDisk)?.evidence["wwn"] ?? "that was chosen"
            let problem = Problem(
                "disk-not-startable", status: 409, title: "The BIOS of \(machine.name) shows no disk with the system that was installed",
                detail: "The disk \(disk) was written and read back by the agent, and the BIOS cannot start it: its controller has no boot "
                    + "support in this BIOS, or is turned off there.",
                remedy: "Turn the disk's controller on in the BIOS set-up, switch the firmware to UEFI, or install on another disk (--disk).")
            try await change(machine.id) { transition, now in
                guard transition.operation.id == open.id else { return }
                transition.systemIsMissing(problem, now)
            }
            return problem.title
        }
        let now = now
        let isDue = missingSystems.withLock { known in
            if let last = known[machine.id], now < last + .seconds(3600), last <= now { return false }
            known[machine.id] = now
            return true
        }
        if isDue {
            try await recordEvent(
                kind: "boot.system-missing", machine: machine.id, actor: "boot",
                message: "The BIOS of \(machine.name) shows no disk with the marker of its installation; it starts its "
                    + (machine.hasOneDisk ? "only disk" : "first disk"),
                evidence: evidence)
        }
        return nil
    }
}

extension Machine {
    fileprivate var hasOneDisk: Bool { observed.inventory?.disks.count == 1 }
}
