public import Model
internal import Store

// Systems on disks that the record lost: it came from a backup.
extension ControlPlane {
    /// Takes an installation that a machine's disk carries back into the record, once after a restore, or where the record of its
    /// operation is lost.
    ///
    /// What an agent reads from a disk is a claim. It counts only where the marker has our own tag, where the record was
    /// restored since the machine was last inspected or it is the lost operation's, and where nothing that the record knows came after it. The system gets
    /// no identity by it: see ``Installation/isAdopted``.
    ///
    /// - Parameter before: what was known of the machine before this inventory.
    func adopt(
        _ inventory: Inventory, into machine: inout Machine, before: ObservedMachine
    ) async throws -> OperationTransition.Happening? {
        let isRestored = isFirstLookSinceRestore(before)
        guard isRestored || machine.lostOperation != nil else { return nil }
        guard machine.installed == nil, machine.openOperation == nil || machine.state == .inspecting else { return nil }
        let own = inventory.installations.filter {
            markers.isSealed($0.record) && isOf(machine, $0.record) && (isRestored || $0.record.operation == machine.lostOperation)
        }
        guard let found = own.max(by: { $0.record.generation < $1.record.generation }) else { return nil }
        guard try await !isSuperseded(found.record, on: machine) else { return nil }
        let names = DiskNames(inventory.disks)
        let disk = names.disk(recordedAs: found.disk)
        machine.installed = Installation(
            operation: found.record.operation, generation: found.record.generation, image: found.record.image,
            digest: found.record.digest, hostname: found.record.hostname,
            diskSerial: disk.flatMap { inventory.disks[$0].serial }, installedAt: now)
        machine.installed?.disk = disk.flatMap { disk in
            names.name(of: disk).map { DiskTarget(inventory.disks[disk], name: $0, isNamed: true) }
        }
        machine.installed?.isAdopted = true
        machine.lostOperation = nil
        // The marker has what checks the system's keys; one of before markers had that may be known by its operation.
        let known = try await records.get(Model.Operation.self, id: found.record.operation.rawValue)?.value
        machine.installed?.keyVerifiers = found.record.keyVerifiers ?? (known?.machine == machine.id ? known?.keyVerifiers : nil)
        // Usually the operation is newer than the backup, and not known. Each installation whose marker has a tag names itself.
        machine.installed?.seedNamesOperation = known.map(\.seedNamesOperation) ?? true
        machine.installed?.bootMark = known?.step(.writeSeed).flatMap { BootMark(evidence: $0.evidence) }
        // The record may be older than the disk: what is asked for next must be newer than what is there.
        machine.generation = max(machine.generation, found.record.generation)
        if machine.openOperation == nil { machine.state = .running }
        return .init(
            kind: "machine.adopted", actor: "control",
            message: "\(machine.name) carries an installation of \(found.record.image) that the record did not know any more; "
                + "it boots its disk, and has no identity until it has shown its key",
            evidence: ["operation": found.record.operation.rawValue, "disk": found.disk])
    }

    private func isFirstLookSinceRestore(_ before: ObservedMachine) -> Bool {
        guard let restoredAt else { return false }
        if let epoch = before.inventoryEpoch { return epoch < restoreEpoch }
        // A record of before tells it by the wall clock alone.
        return before.inventoryAt.map { $0 <= restoredAt } ?? true
    }

    /// A system that was taken back into the record has shown the key that only its own disk has: it is the one that was
    /// installed, and has an identity again.
    public func systemHasShownKey(_ id: MachineID) async throws {
        guard let installed = snapshot.machines[id]?.installed, installed.isAdopted == true else { return }
        _ = try await edit(machine: id.rawValue, expecting: nil, kind: "machine.key-shown", by: "metadata") { machine, _ in
            // Not of another one that has come since.
            if machine.installed?.operation == installed.operation { machine.installed?.isAdopted = nil }
            return "The system of \(machine.name) that was found on its disk has shown its key"
        }
    }

    /// That an agent shows a marker which counts for nothing: it is no system that the record has, nor one that is being
    /// installed. At the first time, not at each boot.
    func ignored(
        _ inventory: Inventory, _ before: Inventory?, on machine: Machine, evidence: [String: String]
    ) -> OperationTransition.Happening? {
        let expected = [machine.installed?.operation, machine.unproved?.operation, machine.openOperation].compactMap { $0 }
        let known = before?.installations ?? []
        let odd = inventory.installations.filter { found in !expected.contains(found.record.operation) && !known.contains(found) }
        guard let first = odd.first else { return nil }
        let isOurs = markers.isSealed(first.record)
        return .init(
            kind: "machine.marker-ignored", actor: "control",
            message: "\(machine.name) shows a disk with an installation that the record does not have; "
                + (isOurs ? "it is from before, and is not taken up" : "the marker is not one that Hostler made, and is not believed"),
            evidence: evidence.merging(
                ["operation": first.record.operation.rawValue, "disk": first.disk, "sealed": "\(isOurs)", "count": "\(odd.count)"]) { $1 })
    }

    /// Whether a marker is of this machine, or of one that the restored record does not know: this may be it.
    private func isOf(_ machine: Machine, _ record: InstallRecord) -> Bool {
        record.machine == machine.id || snapshot.machines[record.machine] == nil
    }

    /// Whether the record knows how the installation ended, other than that the restore cut it short, or knows of work on the
    /// machine's disks that came after it.
    private func isSuperseded(_ record: InstallRecord, on machine: Machine) async throws -> Bool {
        // A machine that was deleted and came back has another id; its operations stay under the former.
        let operations = try await records.all(Model.Operation.self).map(\.value).filter {
            $0.id == record.operation || $0.machine == machine.id || $0.machine == record.machine
        }
        return operations.contains { operation in
            if operation.id == record.operation { return operation.problem?.code != OperationTransition.restoredCode }
            return operation.generation > record.generation && operation.hasTouchedDisks
        }
    }
}

extension Model.Operation {
    /// Whether it has begun to write or wipe a disk.
    fileprivate var hasTouchedDisks: Bool {
        [StepName.writeImage, .wipeDisks].contains { (step($0)?.attempts ?? 0) > 0 }
    }
}
