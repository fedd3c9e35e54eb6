internal import Model

extension ControlPlane {
    /// Former installations on other disks of a machine, which a new one puts out of force: those whose markers have our own tag,
    /// and that are of this machine or of one that is in the record no more. Another machine's system may be on a disk that both
    /// of them see: it is left alone.
    func formerSystems(of machine: Machine, besides disk: String?, digest: String?) -> [RetiredSeed]? {
        guard let inventory = machine.observed.inventory, let disk else { return nil }
        let names = DiskNames(inventory.disks)
        let target = names.disk(recordedAs: disk)
        return inventory.installations.compactMap { found in
            let record = found.record
            guard let tag = record.tag, markers.isSealed(record), record.machine == machine.id || snapshot.machines[record.machine] == nil,
                // Others may use what is not inside the machine.
                let index = names.disk(recordedAs: found.disk), index != target, names.isOwn(index)
            else { return nil }
            return RetiredSeed(
                disk: found.disk, machine: record.machine, operation: record.operation, tag: tag, hidesSystem: record.digest == digest)
        }
    }
}
