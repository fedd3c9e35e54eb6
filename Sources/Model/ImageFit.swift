/// Whether an image can be installed on a disk, and would start there. Asked when an installation is asked for, and again by
/// the agent, with what it measures itself, before the first byte is written.
public enum ImageFit {
    /// The disk as far as it matters here.
    public struct Disk: Sendable, Equatable {
        /// How people name it.
        public var name: String
        public var bytes: Int64
        /// Of its logical sectors.
        public var sectorBytes: Int
        public init(name: String, bytes: Int64, sectorBytes: Int) {
            self.name = name
            self.bytes = bytes
            self.sectorBytes = sectorBytes
        }
    }

    /// The machine as far as it matters here.
    public struct Host: Sendable, Equatable {
        public var firmware: FirmwareMode?
        /// What its UEFI starts, as `BOOTX64.EFI`; nil: not known.
        public var loader: String?
        public init(firmware: FirmwareMode?, loader: String?) {
            self.firmware = firmware
            self.loader = loader
        }
    }

    /// The image as far as it matters here.
    public struct Image: Sendable, Equatable {
        public var name: String
        public var bytes: Int64
        public var facts: ImageFacts
        /// The length of the first-boot data that goes with it.
        public var seedBytes: Int64
        public init(name: String, bytes: Int64, facts: ImageFacts, seedBytes: Int64) {
            self.name = name
            self.bytes = bytes
            self.facts = facts
            self.seedBytes = seedBytes
        }
    }

    /// The sectors that first-boot data can be written in.
    public static let sectorSizes = [512, 4096]
    private static let mebibyte: Int64 = 1 << 20
    /// An MBR counts sectors with 32 bits.
    private static let addressableSectors = Int64(UInt32.max)

    /// Everything that is against it, each with its remedy; empty: it fits.
    public static func fits(_ image: Image, on disk: Disk, of host: Host) -> [Problem] {
        sectors(image, disk, host) + room(image, disk) + start(image, host)
    }

    /// The reasons as one problem: the first gives the code. Nil where there are none.
    /// - Parameter others: disks of the same machine that would do.
    public static func refusal(_ reasons: [Problem], others: [String] = []) -> Problem? {
        guard var problem = reasons.first else { return nil }
        for other in reasons.dropFirst() {
            problem.detail = [problem.detail, "Also: \(other.title). \(other.detail ?? "")"].compactMap { $0 }.joined(separator: " ")
            if let remedy = other.remedy, problem.remedy?.contains(remedy) != true {
                problem.remedy = [problem.remedy, remedy].compactMap { $0 }.joined(separator: " ")
            }
        }
        if !others.isEmpty {
            problem.remedy = [problem.remedy, "It fits on: \(others.joined(separator: ", ")) (--disk)."].compactMap { $0 }.joined(separator: " ")
        }
        return problem
    }

    /// The size of the smallest disk with room for the image's partitions and the first-boot data behind them.
    public static func diskBytesNeeded(_ image: Image) -> Int64 {
        let partition = wholeMebibytes(image.seedBytes + 4096)
        let start = max(mebibyte, wholeMebibytes(image.facts.endBytes))
        return max(image.bytes, start + partition + image.facts.tailBytes)
    }

    /// A seed's partition begins at a whole MiB, and is whole MiB long: see `PartitionTable.planSeedPartition`.
    private static func wholeMebibytes(_ bytes: Int64) -> Int64 {
        // Sizes are at most 2^60: the sum cannot overflow.
        (min(max(bytes, 0), 1 << 60) + mebibyte - 1) / mebibyte * mebibyte
    }

    // MARK: Parts

    private static func sectors(_ image: Image, _ disk: Disk, _ host: Host) -> [Problem] {
        let facts = image.facts
        var reasons: [Problem] = []
        if !sectorSizes.contains(disk.sectorBytes) {
            reasons.append(
                problem(
                    "disk-sector-size", "The disk \(disk.name) has sectors of \(disk.sectorBytes) bytes",
                    detail: "Images and first-boot data are made for sectors of 512 or 4096 bytes.",
                    remedy: "Format the disk to sectors of 512 or 4096 bytes (nvme format, sg_format), or use another."))
        } else if facts.scheme != .none, facts.sectorBytes != disk.sectorBytes {
            reasons.append(
                problem(
                    "image-sector-size",
                    "Image \(image.name) was made for sectors of \(facts.sectorBytes) bytes, and the disk \(disk.name) has sectors of "
                        + "\(disk.sectorBytes)",
                    detail: "Its partition table (\(facts.scheme.rawValue.uppercased())) and its file systems count in sectors: on this disk "
                        + "neither firmware nor kernel would find them.",
                    remedy: "Import the edition of the image for sectors of \(disk.sectorBytes) bytes"
                        + (disk.sectorBytes == 4096 ? " (4Kn)" : "") + ", or use a disk with sectors of \(facts.sectorBytes) bytes."))
        }
        if host.firmware == .bios, disk.sectorBytes > 512 {
            reasons.append(
                problem(
                    "disk-sector-bios", "A BIOS cannot start the disk \(disk.name): its sectors have \(disk.sectorBytes) bytes",
                    detail: "A BIOS reads sectors of 512 bytes only.",
                    remedy: "Switch the machine's firmware to UEFI, or use a disk with sectors of 512 bytes."))
        }
        return reasons
    }

    private static func room(_ image: Image, _ disk: Disk) -> [Problem] {
        let facts = image.facts
        guard facts.scheme != .none else {
            return [
                problem(
                    "image-unpartitioned", "Image \(image.name) has no partition table that can be read",
                    detail: "First-boot data needs a partition of its own on the disk.",
                    remedy: "Import a disk image with a GPT or MBR, not that of a single file system.")
            ]
        }
        guard image.bytes <= disk.bytes else {
            return [
                problem(
                    "image-too-large", "Image \(image.name) (\(image.bytes) bytes) is larger than the disk \(disk.name) (\(disk.bytes) bytes)",
                    detail: nil, remedy: "Use a smaller image or a larger disk.")
            ]
        }
        guard facts.hasFreeEntry else {
            return [
                problem(
                    "seed-no-entry", "Image \(image.name) has no free entry in its partition table for the first-boot data",
                    detail: facts.scheme == .mbr
                        ? "An MBR has four, and the image uses all of them." : "Every entry of its GPT is in use.",
                    remedy: "A larger disk does not help: import an edition of the image with "
                        + (facts.scheme == .mbr ? "a GPT, or with three primary partitions at most." : "a free entry in its GPT."))
            ]
        }
        let needed = diskBytesNeeded(image)
        guard needed <= disk.bytes else {
            return [
                problem(
                    "seed-no-room", "There is no room for the first-boot data behind image \(image.name) on the disk \(disk.name)",
                    detail: "Its partitions end at byte \(facts.endBytes), the first-boot data has \(image.seedBytes) bytes; with both the disk "
                        + "needs \(needed) bytes, and it has \(disk.bytes).",
                    remedy: "Use a disk of \(needed) bytes or more, or an image whose last partition ends "
                        + "\(wholeMebibytes(needed - disk.bytes) / mebibyte) MiB earlier.")
            ]
        }
        let addressable = addressableSectors * Int64(min(disk.sectorBytes, 4096))
        guard facts.scheme != .mbr || needed <= addressable else {
            return [
                problem(
                    "seed-no-room", "The MBR of image \(image.name) cannot address a partition behind its last one",
                    detail: "An MBR ends at \(addressable) bytes, and the image's partitions at \(facts.endBytes).",
                    remedy: "Import an edition of the image with a GPT.")
            ]
        }
        return []
    }

    private static func start(_ image: Image, _ host: Host) -> [Problem] {
        let facts = image.facts
        guard let firmware = host.firmware, facts.scheme != .none else { return [] }
        guard facts.firmware.contains(firmware) else { return [foreignFirmware(image, firmware)] }
        if firmware == .uefi, let loader = host.loader, !facts.loaders.isEmpty, !facts.loaders.contains(loader) {
            return [
                problem(
                    "image-architecture", "Image \(image.name) was made for another kind of processor",
                    detail: "The machine's firmware starts \\EFI\\BOOT\\\(loader); the image has \(facts.loaders.joined(separator: ", ")).",
                    remedy: "Import the edition of the image for this machine's processor.")
            ]
        }
        return []
    }

    private static func foreignFirmware(_ image: Image, _ firmware: FirmwareMode) -> Problem {
        let name = firmware == .uefi ? "UEFI" : "BIOS"
        let other = firmware == .uefi ? "BIOS" : "UEFI"
        let missing =
            firmware == .uefi
            ? "It has no EFI system partition with a loader in \\EFI\\BOOT." : "It has no boot code in its first sector."
        let hasOther = !image.facts.firmware.isEmpty
        return problem(
            "image-firmware",
            hasOther
                ? "Image \(image.name) starts by \(other) only, and the machine starts by \(name)"
                : "Image \(image.name) has nothing that firmware can start",
            detail: missing,
            remedy: (hasOther ? "Switch the machine's firmware to \(other) and inspect it again, or import" : "Import")
                + " an image that starts by \(name).")
    }

    private static func problem(_ code: String, _ title: String, detail: String?, remedy: String) -> Problem {
        Problem(code, status: 422, title: title, detail: detail, remedy: remedy)
    }
}
