internal import Model

/// Where the partitions of a bootable image lie: room for GRUB's BIOS part, the ESP, and last the root file system,
/// so that it can grow. In sectors of 512 bytes.
struct PartitionLayout: Sendable, Equatable {
    struct Partition: Sendable, Equatable {
        var firstSector: UInt64
        var sectorCount: UInt64
        var byteOffset: UInt64 { firstSector * PartitionLayout.sectorBytes }
    }

    static let sectorBytes: UInt64 = 512
    static let sectorsPerMiB: UInt64 = 2048

    let totalSectors: UInt64
    let biosBoot = Partition(firstSector: 1 * sectorsPerMiB, sectorCount: 1 * sectorsPerMiB)
    /// 64 MiB: the least that is FAT32 by its cluster count with room to spare.
    let esp = Partition(firstSector: 2 * sectorsPerMiB, sectorCount: 64 * sectorsPerMiB)
    let root: Partition

    /// - Parameter diskBytes: at least 512 MiB, whole MiB.
    init(diskBytes: UInt64) throws(Problem) {
        guard diskBytes % (1 << 20) == 0, diskBytes >= 512 << 20 else {
            throw Problem(
                "image-size-invalid", title: "An image cannot be \(diskBytes) bytes large",
                remedy: "Give a size in whole MiB, 512 MiB or more.")
        }
        totalSectors = diskBytes / Self.sectorBytes
        let first = esp.firstSector + esp.sectorCount
        // The last MiB stays free: the second GPT lies there.
        root = Partition(firstSector: first, sectorCount: totalSectors - Self.sectorsPerMiB - first)
    }

    /// The table in sfdisk's script language.
    func sfdiskScript(uuid: (String) -> String) -> String {
        func line(_ partition: Partition, _ name: String, _ type: String) -> String {
            "start=\(partition.firstSector), size=\(partition.sectorCount), type=\(type), "
                + "uuid=\(uuid("partition \(name)")), name=\(name)\n"
        }
        // UEFI 2.10 §5.3.3 and the Discoverable Partitions Specification.
        return "label: gpt\nlabel-id: \(uuid("disk"))\n"
            + line(biosBoot, "bios", "21686148-6449-6E6F-744E-656564454649")
            + line(esp, "esp", "C12A7328-F81F-11D2-BA4B-00A0C93EC93B")
            + line(root, "root", "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709")
    }
}
