internal import Glibc
internal import HostFacts
internal import Model

/// The disks that are there at one moment, by the names that the control plane has for them too.
struct FoundDisks: Sendable {
    let disks: [DiskFacts]
    let names: DiskNames

    init(_ disks: [DiskFacts]) {
        self.disks = disks
        names = DiskNames(disks.map { Inventory.DiskFacts($0) })
    }

    static func now() -> FoundDisks { FoundDisks(Disks.all()) }

    /// The disks that these targets mean, all of them, or the first reason why one of them is not to be written.
    func find(_ targets: [DiskTarget]) throws(DiskTargetError) -> [Found] {
        var found: [Found] = []
        for target in targets {
            let index = try target.find(among: names)
            guard !found.contains(where: { $0.index == index }) else { continue }
            found.append(Found(index: index, disk: disks[index], name: names.name(of: index) ?? target.name))
        }
        return found
    }

    struct Found: Sendable {
        let index: Int
        let disk: DiskFacts
        /// What it alone answers to.
        let name: String
    }
}

extension DiskTargetError {
    /// Whether a slow controller may still show the disk. More disks do not make an ambiguity go away.
    var mayPass: Bool {
        if case .name(.notFound) = self { true } else { false }
    }
}

extension BlockDevice {
    /// Opens a disk for writing, and looks at it once more: a disk may have been pulled, and another put in its place under
    /// the same `/dev` name, since it was found. While it is open its name is not given away.
    static func unused(_ disk: DiskFacts) throws -> BlockDevice {
        let device: BlockDevice
        do {
            device = try unused(disk.name)
        } catch {
            throw Problem(
                "disk-busy", status: 409, title: "The disk \(disk.name) cannot be written to", detail: "\(error)",
                remedy: "See the machine's agent log for what uses it.")
        }
        let now = Disks.facts(of: disk.name)
        guard now == disk, device.number == SystemFile.attribute("/sys/block/\(disk.name)/dev") else {
            throw Problem(
                "disk-changed", status: 409, title: "The disk \(disk.name) was exchanged a moment ago",
                detail: "It was \(Self.words(disk)), now it is \(now.map(Self.words) ?? "gone"). Nothing was written.",
                remedy: "Look at the machine's disks: hostler machine show. Ask again if they are the right ones.")
        }
        return device
    }

    private static func words(_ disk: DiskFacts) -> String {
        [disk.model, disk.serial.map { "serial \($0)" }, disk.wwn.map { "WWN \($0)" }, "\(disk.sizeBytes) bytes"].compactMap { $0 }
            .joined(separator: ", ")
    }

    /// `major:minor` of the device that is open.
    private var number: String? {
        withDescriptor { fd in
            var status = stat()
            guard fstat(fd, &status) == 0 else { return nil }
            let device = UInt64(status.st_rdev)
            let major = device >> 8 & 0xfff | device >> 32 & 0xffff_f000
            let minor = device & 0xff | device >> 12 & 0xffff_ff00
            return "\(major):\(minor)"
        }
    }
}
