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
        guard let disk = inventory.disks.first(where: { $0.isNamed(wanted) }) else { return }
        let others = inventory.disks.filter { other in
            !other.removable && !other.isNamed(wanted) && ImageFit.fits(subject, on: other.fitting, of: host).isEmpty
        }
        let reasons = ImageFit.fits(subject, on: disk.fitting, of: host)
        if let refusal = ImageFit.refusal(reasons, others: others.map(\.shownName)) { throw refusal }
    }
}

extension Inventory.DiskFacts {
    fileprivate func isNamed(_ wanted: String) -> Bool { serial == wanted || wwn == wanted }
    fileprivate var shownName: String { serial ?? wwn ?? name }
    fileprivate var fitting: ImageFit.Disk { ImageFit.Disk(name: shownName, bytes: bytes, sectorBytes: logicalBlockBytes) }
}
