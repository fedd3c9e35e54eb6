internal import BlockIO
internal import FoundationEssentials
internal import HostFacts
internal import Model

/// Puts the first-boot data of former installations on the machine's other disks out of force.
///
/// A disk is touched only where its marker is, word for word, one that the control plane has named and found to be its own.
struct SeedRetirer {
    let orders: [RetiredSeed]
    let machine: MachineID
    /// The kernel's name of the disk that is being installed.
    let target: String

    /// What was done, as evidence.
    func run() throws -> [String: String] {
        guard !orders.isEmpty else { return [:] }
        var evidence: [String: String] = [:]
        let found = FoundDisks.now()
        for index in Self.candidates(found.names, target: target) {
            let disk = found.disks[index]
            guard let reader = try? BlockDevice(disk.name, writable: false), let former = try? Self.find(orders, on: reader),
                Self.isAllowed(former.order, for: machine, onOwnDisk: found.names.isOwn(index))
            else { continue }
            evidence["retired:\(found.names.recordName(of: index))"] = try retire(former, on: disk)
        }
        return evidence
    }

    /// All disks but the target, by whichever of its paths.
    static func candidates(_ names: DiskNames, target: String) -> [Int] {
        let taken = Set(names.disks.filter { $0.name == target }.flatMap(\.worldWideNames))
        return names.disks.indices.filter { names.disks[$0].name != target && taken.isDisjoint(with: names.disks[$0].worldWideNames) }
    }

    /// Others may use what is not inside the machine: there only the machine's own former system is put out of force.
    static func isAllowed(_ order: RetiredSeed, for machine: MachineID, onOwnDisk isOwn: Bool) -> Bool { isOwn || order.machine == machine }

    struct Found {
        let order: RetiredSeed
        let table: PartitionTable
        /// The seed's, in bytes.
        let partition: Range<UInt64>
    }

    private static func find(_ orders: [RetiredSeed], on device: BlockDevice) throws -> Found? {
        let head = try device.read(Int(min(UInt64(PartitionTable.headBytes), device.byteCount)), at: 0)
        return try find(orders, head: head, blockBytes: device.blockBytes, diskBytes: device.byteCount) { try device.read($0, at: $1) }
    }

    /// - Parameter read: exactly so many bytes of the disk from an offset on.
    static func find(
        _ orders: [RetiredSeed], head: [UInt8], blockBytes: Int, diskBytes: UInt64, read: SeedRetirement.Read
    ) throws -> Found? {
        let table = try PartitionTable(parsing: head, blockBytes: blockBytes)
        for partition in table.partitionRanges where partition.upperBound <= diskBytes && partition.count > UInt64(InstallMarker.byteCount) {
            guard let bytes = try? read(InstallMarker.byteCount, partition.upperBound - UInt64(InstallMarker.byteCount)),
                let marker = try? InstallMarker(parsing: bytes),
                let record = try? JSONDecoder().decode(InstallRecord.self, from: Data(marker.payload)),
                let order = orders.first(where: { $0.isOf(record) })
            else { continue }
            return Found(order: order, table: table, partition: partition)
        }
        return nil
    }

    private func retire(_ found: Found, on disk: DiskFacts) throws -> String {
        let name = disk.name
        do {
            let device = try BlockDevice.unused(disk)
            let read: SeedRetirement.Read = { try device.read($0, at: $1) }
            let writes =
                found.order.hidesSystem
                ? try SeedRetirement.system(found.partition, table: found.table, read: read)
                : try SeedRetirement.seed(found.partition, read: read)
            for write in writes {
                try device.write(write.bytes, at: write.offset)
                // Each before the next: a power cut leaves what another try finds.
                try device.flush()
            }
            for write in writes where try device.read(write.bytes.count, at: write.offset) != write.bytes {
                throw SystemError("\(name) reads differently from what was written at \(write.offset)", errno: 5)
            }
            try? device.rereadPartitions()
            return "\(found.order.operation): \(SeedRetirement.words(writes, seed: found.partition))"
        } catch {
            throw Problem(
                "seed-not-retired", status: 409, title: "The former installation on the disk \(name) could not be put out of force",
                detail: "\(found.order.operation) on \(found.order.disk): \(error)",
                remedy: "Wipe that disk or take it out, then install again: with two, the new system may take the other's first-boot data.")
        }
    }
}
