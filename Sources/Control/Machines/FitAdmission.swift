internal import Model

/// Whether an image can start from the disk that was chosen for it: all that is known of both is asked before anything is
/// written down.
enum FitAdmission {
    /// - Parameter request: with the disk pinned, and with its user-data.
    static func check(_ request: InstallRequest, image: InstallableImage, machine: Machine) throws(Problem) {
        guard let facts = image.facts, let inventory = machine.observed.inventory, let wanted = request.disk else { return }
        let subject = ImageFit.Image(
            name: image.name, bytes: image.diskBytes, facts: facts, seedBytes: SeedVolume.expectedBytes(request, of: machine))
        let host = ImageFit.Host(firmware: inventory.firmware.mode, loader: inventory.firmware.loader)
        let names = DiskNames(inventory.disks)
        guard let chosen = try? names.disk(named: wanted) else { return }
        func reasons(_ index: Int) -> [Problem] {
            let disk = names.disks[index]
            let fitting = ImageFit.Disk(name: names.recordName(of: index), bytes: disk.bytes, sectorBytes: disk.logicalBlockBytes)
            return ImageFit.fits(subject, on: fitting, of: host)
        }
        let others = names.disks.indices.filter { $0 != chosen && names.isOwn($0) && reasons($0).isEmpty }
        if let refusal = ImageFit.refusal(reasons(chosen), others: others.map(names.recordName)) { throw refusal }
    }
}
