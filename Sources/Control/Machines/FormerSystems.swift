internal import Model

/// Former installations on the other disks of a machine that gets a new one.
struct FormerSystems {
    /// What the new one puts out of force.
    var retired: [RetiredSeed] = []
    /// What stays in force though its marker is authentic, in words.
    var left: [String] = []

    var warnings: [Problem] {
        guard !left.isEmpty else { return [] }
        return [
            Problem(
                "former-system-left", title: "Former installations stay in force on other disks: \(left.joined(separator: "; "))",
                remedy: "The new system may take their first-boot data for its own: take those disks away from this machine, or wipe them by name.")
        ]
    }
}

extension ControlPlane {
    /// Former installations on other disks of a machine, which a new one puts out of force: those whose markers have our own tag,
    /// and that are of this machine or of one that is in the record no more. Another machine's system may be on a disk that both
    /// of them see: it is left alone. So is one of a machine that is gone, on a disk that others may use.
    ///
    /// The machine's own system is named by the record, whether or not an agent has shown its marker since it was installed.
    ///
    /// - Parameters:
    ///   - install: with its disk, where that is known.
    ///   - id: the new installation's, which is not its own former one.
    func formerSystems(of machine: Machine, besides install: InstallRequest, as id: OperationID) -> FormerSystems {
        var all = FormerSystems()
        let names = DiskNames(machine.observed.inventory?.disks ?? [])
        let target = install.disk.flatMap { names.disk(recordedAs: $0) }
        for found in machine.observed.inventory?.installations ?? [] where found.record.operation != id {
            let record = found.record
            guard let tag = record.tag, markers.isSealed(record) else { continue }
            let index = names.disk(recordedAs: found.disk)
            if let index, let target, names.isOneDisk(index, target) { continue }
            let isOwn = record.machine == machine.id
            if let index, isOwn || (snapshot.machines[record.machine] == nil && names.isOwn(index)) {
                all.retired.append(
                    RetiredSeed(disk: found.disk, machine: record.machine, operation: record.operation, tag: tag, hidesSystem: true))
            } else {
                let why = index.map { names.isOwn($0) ? "another machine's" : names.words(of: $0) } ?? "several disks have that name"
                all.left.append("\(record.operation) of \(record.machine) on \(found.disk) (\(why))")
            }
        }
        for system in [machine.installed, machine.unproved].compactMap(\.self)
        where system.operation != id && !machine.systemIsOn(install, system: system) {
            guard !all.retired.contains(where: { $0.operation == system.operation }), let disk = system.disk?.name ?? system.diskSerial,
                let tag = try? markers.sealed(InstallRecord(of: system, on: machine.id)).tag
            else { continue }
            all.retired.append(RetiredSeed(disk: disk, machine: machine.id, operation: system.operation, tag: tag, hidesSystem: true))
        }
        return all
    }

    /// The installation, with the former ones that its agent has found and that were not known when it was asked for. They are
    /// an event before anything is written to them.
    func namingFormerSystems(_ operation: Model.Operation, on machine: Machine) async throws -> Model.Operation {
        guard case .install(var install) = operation.request, !operation.isDone(.writeSeed) else { return operation }
        // What the agent chose is the target as well.
        install.target = operation.installTarget
        install.disk = install.target?.name
        let found = formerSystems(of: machine, besides: install, as: operation.id).retired
        guard found.contains(where: { !install.names($0) }) else { return operation }
        let changed = try await change(operation.machine) { transition, _ in
            guard transition.operation.id == operation.id else { return }
            transition.retire(found)
        }
        return changed.flatMap { $0.operation.id == operation.id ? $0.operation : nil } ?? operation
    }
}

extension OperationTransition {
    /// The installation also puts these former ones out of force.
    mutating func retire(_ found: [RetiredSeed]) {
        guard case .install(var install) = operation.request else { return }
        let new = found.filter { !install.names($0) }
        guard !new.isEmpty else { return }
        install.retires = (install.retires ?? []) + new
        operation.request = .install(install)
        let disks = new.map { "\($0.operation) on \($0.disk)" }.joined(separator: "; ")
        note(
            "operation.retires", by: "control", "\(operation.id) will put former installations on \(machine.name) out of force: \(disks)",
            EvidenceFacts.bounded(["retires": disks]))
    }
}

extension InstallRequest {
    fileprivate func names(_ seed: RetiredSeed) -> Bool {
        (retires ?? []).contains { $0.machine == seed.machine && $0.operation == seed.operation && $0.tag == seed.tag }
    }

    /// What the installation alters on other disks than its own.
    var retiredLosses: [Consequence.Loss] {
        (retires ?? []).map { seed in
            Consequence.Loss(
                .disk, id: "\(seed.disk) \(seed.operation)",
                "the former installation \(seed.operation) on \(seed.disk): its volume is renamed"
                    + (seed.hidesSystem ? ", and its partition table put out of force" : ""))
        }
    }
}

extension InstallRecord {
    /// What the marker of a recorded system says, word for word.
    fileprivate init(of system: Installation, on machine: MachineID) {
        self.init(
            machine: machine, operation: system.operation, generation: system.generation, image: system.image, digest: system.digest,
            hostname: system.hostname)
        keyVerifiers = system.keyVerifiers
    }
}

extension DiskNames {
    /// Whether two entries are one disk, or its paths.
    fileprivate func isOneDisk(_ one: Int, _ other: Int) -> Bool {
        one == other || !Set(disks[one].worldWideNames).isDisjoint(with: disks[other].worldWideNames)
    }
}
