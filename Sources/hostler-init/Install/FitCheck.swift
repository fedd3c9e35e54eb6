internal import HostFacts
internal import Model

/// Asks once more, with what the agent measures itself, whether the image fits: before the first byte is written.
enum FitCheck {
    static func check(_ work: InstallWork, _ device: BlockDevice) throws(Problem) {
        try check(work, name: device.name, bytes: device.byteCount, sectorBytes: device.blockBytes, firmware: BootOrder.isUEFI ? .uefi : .bios)
        guard work.seed(sectorBytes: device.blockBytes) != nil else { throw noSeed(device) }
    }

    static func check(
        _ work: InstallWork, name: String, bytes: UInt64, sectorBytes: Int, firmware: FirmwareMode
    ) throws(Problem) {
        guard let facts = work.facts else { return }
        let image = ImageFit.Image(
            name: work.record.image, bytes: work.diskBytes, facts: facts, seedBytes: work.seed(sectorBytes: sectorBytes)?.bytes ?? work.seedBytes)
        let disk = ImageFit.Disk(name: name, bytes: Int64(clamping: bytes), sectorBytes: sectorBytes)
        let host = ImageFit.Host(firmware: firmware, loader: firmware == .uefi ? BootOrder.loaderName : nil)
        if let refusal = ImageFit.refusal(ImageFit.fits(image, on: disk, of: host)) { throw refusal }
    }

    static func noSeed(_ device: BlockDevice) -> Problem {
        Problem(
            "disk-sector-size", status: 409, title: "There is no first-boot data for the disk \(device.name)",
            detail: "Its sectors have \(device.blockBytes) bytes.",
            remedy: "Inspect the machine again, so that the record has its disks, then install again.")
    }
}
