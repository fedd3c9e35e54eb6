internal import BlockIO
internal import FoundationEssentials
internal import Glibc
internal import HostFacts
internal import Model

/// The machine's disks, and what Hostler left on them.
enum Disks {
    /// Whole disks as the kernel has them now, in the order of their names.
    static func all() -> [DiskFacts] {
        SystemFile.names(in: "/sys/block").filter(DiskFacts.isDisk).compactMap(facts)
    }

    /// What the kernel says of one disk now.
    static func facts(of name: String) -> DiskFacts? {
        let folder = "/sys/block/\(name)"
        let facts = DiskFacts(name: name, devicePath: SystemFile.link(folder) ?? "", entries: { SystemFile.names(in: "\(folder)/\($0)") }) {
            SystemFile.bytes("\(folder)/\($0)", limit: 4096)
        }
        guard var facts else { return nil }
        if facts.mayBeShared, let device = try? BlockDevice(name, writable: false), (try? NVMeFormat.isPrivate(device)) == true {
            facts.markPrivate()
        }
        return facts
    }

    /// The record of an installation on a disk: in the last 4 KiB of one of its partitions.
    static func record(on disk: DiskFacts) -> InstallRecord? {
        guard let device = try? BlockDevice(disk.name, writable: false) else { return nil }
        return record(on: device)
    }

    static func record(on device: BlockDevice) -> InstallRecord? {
        guard device.byteCount >= UInt64(PartitionTable.headBytes),
            let head = try? device.read(PartitionTable.headBytes, at: 0),
            let table = try? PartitionTable(parsing: head, blockBytes: device.blockBytes)
        else { return nil }
        for end in partitionEnds(table, blockBytes: UInt64(device.blockBytes)) {
            guard end <= device.byteCount, end >= UInt64(InstallMarker.byteCount),
                let bytes = try? device.read(InstallMarker.byteCount, at: end - UInt64(InstallMarker.byteCount)),
                let marker = try? InstallMarker(parsing: bytes),
                let record = try? JSONDecoder().decode(InstallRecord.self, from: Data(marker.payload))
            else { continue }
            return record
        }
        return nil
    }

    /// Where the partitions that may hold a seed end, in bytes; the last on the disk first.
    private static func partitionEnds(_ table: PartitionTable, blockBytes: UInt64) -> [UInt64] {
        let ends: [UInt64] =
            switch table {
            case .gpt(let gpt): gpt.partitions.values.map { ($0.lastBlock &+ 1) &* blockBytes }
            case .mbr(let mbr):
                mbr.partitions.compactMap { $0 }.map { (UInt64($0.firstBlock) + UInt64($0.blockCount)) * blockBytes }
            }
        return ends.sorted(by: >)
    }
}
