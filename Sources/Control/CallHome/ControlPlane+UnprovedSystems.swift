internal import Model
internal import Store

// Systems that may run without having proved it: nothing forgets them but what takes their disk.
extension ControlPlane {
    /// The system that the operation of a hold has left on the machine's disk, where the record does not have it yet: an
    /// earlier version did not write it down.
    func systemLeft(by hold: HoldID, on machine: Machine) async throws -> Installation? {
        guard machine.installed == nil, machine.unproved == nil, let id = machine.holds.first(where: { $0.id == hold })?.operation,
            let operation = try await records.get(Model.Operation.self, id: id.rawValue)?.value, operation.isDone(.restart),
            LateProof(machine: machine, operation: operation).superseded(by: try await records.all(Model.Operation.self).map(\.value)) == nil
        else { return nil }
        return operation.installation(hostKeys: [], provedAt: operation.finishedAt ?? now)
    }

    /// Writes down, at the start, what earlier versions did not: the systems on the disks of held machines.
    func recallUnprovedSystems() async throws {
        for machine in snapshot.machines.values where machine.state == .installing && machine.openOperation == nil {
            for hold in machine.holds {
                guard let system = try await systemLeft(by: hold.id, on: machine) else { continue }
                _ = try await edit(machine: machine.id.rawValue, expecting: nil, kind: "machine.system-recalled", by: "control") { machine, _ in
                    machine.unproved = system
                    return "\(machine.name) has the system of \(system.operation) on its disk, which has not proved itself and may run"
                }
                break
            }
        }
    }

    /// That an agent finds the disk of a system that was not proved, and its marker not on it: the system is not there. A disk
    /// that does not show itself says nothing. A marker need not be sealed here, as those of earlier versions are not: it only
    /// keeps what the record has.
    func missing(_ inventory: Inventory, on machine: inout Machine) -> OperationTransition.Happening? {
        guard let system = machine.unproved, shows(inventory, system),
            !inventory.installations.contains(where: { $0.record.operation == system.operation })
        else { return nil }
        machine.unproved = nil
        if machine.state == .running { machine.state = machine.restingState }
        return .init(
            kind: "machine.system-gone", actor: "agent",
            message: "the disk of \(machine.name) does not have the system of \(system.operation) any more, which had not proved itself",
            evidence: ["disk": system.disk?.name ?? system.diskSerial ?? "", "operation": system.operation.rawValue])
    }

    /// Whether the disk of a system is there. A serial number alone is not enough where the record has more.
    private func shows(_ inventory: Inventory, _ system: Installation) -> Bool {
        if let disk = system.disk { return (try? disk.find(among: DiskNames(inventory.disks))) != nil }
        return system.diskSerial.map { serial in inventory.disks.contains { $0.serial == serial } } ?? false
    }
}
