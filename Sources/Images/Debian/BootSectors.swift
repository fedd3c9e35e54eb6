internal import Model

/// GRUB's BIOS part as it lies on a disk: `boot.img` in the first sector, `core.img` in the BIOS boot partition, each
/// told where the next one is. What `grub-bios-setup` does, without a block device.
enum BootSectors {
    /// `boot.img` and `core.img` made ready for a core that starts at `coreSector`.
    static func place(boot: [UInt8], core: [UInt8], layout: PartitionLayout) throws(Problem) -> (boot: [UInt8], core: [UInt8]) {
        let room = layout.biosBoot.sectorCount * PartitionLayout.sectorBytes
        guard boot.count == 512, boot[510] == 0x55, boot[511] == 0xAA else { throw invalid("boot.img is no boot sector") }
        guard core.count > 1024, UInt64(core.count) <= room else { throw invalid("core.img has \(core.count) bytes") }
        guard core[blockListSegment] == 0x20, core[blockListSegment + 1] == 0x08 else {
            throw invalid("core.img's block list does not load to segment 0x0820")
        }
        var boot = boot
        var core = core
        let sector = layout.biosBoot.firstSector
        store(sector, in: &boot, at: kernelSector)
        // A jump over a check that real hard disks' BIOSes fail: two NOPs, as grub-bios-setup writes for hard disks.
        boot[driveCheck] = 0x90
        boot[driveCheck + 1] = 0x90
        store(sector + 1, in: &core, at: blockListSector)
        // The rest of the sector is the protective MBR's.
        return (Array(boot.prefix(bootCodeBytes)), core)
    }

    // Offsets of GRUB 2: include/grub/i386/pc/boot.h, and the block list that ends diskboot.img.
    private static let bootCodeBytes = 440
    private static let kernelSector = 0x5C
    private static let driveCheck = 0x66
    private static let blockListSector = 0x1F4
    private static let blockListSegment = 0x1FE

    private static func store(_ value: UInt64, in bytes: inout [UInt8], at offset: Int) {
        for index in 0..<8 { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(index))) }
    }

    private static func invalid(_ why: String) -> Problem {
        Problem("image-bootloader-invalid", status: 500, title: "GRUB's BIOS images are not of the expected form", detail: why)
    }
}
