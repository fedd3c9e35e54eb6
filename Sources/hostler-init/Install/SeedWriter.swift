internal import BlockIO
internal import Crypto
internal import FoundationEssentials
internal import Model
internal import NIOCore
internal import OCI
internal import Wire

/// Writes the first-boot data (NoCloud seed) and the record of the installation to the disk's end.
struct SeedWriter: Sendable {
    let work: InstallWork
    let session: Session
    let device: BlockDevice

    func write() async throws -> [String: String] {
        let seed = try await fetchSeed()
        return try await WorkPool.run { try write(seed) }
    }

    private func fetchSeed() async throws -> [UInt8] {
        guard let seed = work.seed(sectorBytes: device.blockBytes) else { throw FitCheck.noSeed(device) }
        let limit = Int(clamping: seed.bytes)
        let bytes = try await session.fetchSource("first-boot data") { client throws(TalkError) in
            try await client.fetch(seed.path, limit: limit)
        }
        let digest = Checksum.sha256(bytes)
        guard bytes.readableBytes == limit, let digest, digest == BlobDigest(seed.digest) else {
            throw Problem(
                "seed-digest-mismatch", status: 502, title: "The first-boot data came damaged",
                detail: "expected \(seed.bytes) bytes of \(seed.digest), got \(bytes.readableBytes) of "
                    + "\(digest.map(\.description) ?? "nothing")",
                remedy: "Install again.")
        }
        return Array(bytes.readableBytesView)
    }

    private func write(_ seed: [UInt8]) throws -> [String: String] {
        let head = try device.read(PartitionTable.headBytes, at: 0)
        let plan = try plan(head: head, seedBytes: UInt64(seed.count))
        var volume = seed
        volume.append(contentsOf: repeatElement(0, count: Int(plan.markerOffset - plan.partitionOffset) - seed.count))
        let marker = try marker().encoded()
        volume += marker
        // The partition before the table that names it: a power cut in between leaves the image as it was.
        try device.write(volume, at: plan.partitionOffset)
        try device.flush()
        for write in plan.writes { try device.write(write.bytes, at: write.offset) }
        try device.flush()
        let back = try device.read(volume.count, at: plan.partitionOffset)
        guard back == volume else { throw readBackProblem("the seed's partition", at: plan.partitionOffset) }
        for write in plan.writes where try device.read(write.bytes.count, at: write.offset) != write.bytes {
            throw readBackProblem("the partition table", at: write.offset)
        }
        try? device.rereadPartitions()
        let retired = try SeedRetirer(orders: work.retires ?? [], machine: work.record.machine, target: device.name).run()
        return [
            "offset": String(plan.partitionOffset), "bytes": String(plan.partitionBytes),
            "digest": Checksum.sha256(back.prefix(seed.count))?.description ?? "",
            "marker": Hex.encode(marker.prefix(BootMark.headBytes)),
        ].merging(retired) { own, _ in own }
    }

    private func plan(head: [UInt8], seedBytes: UInt64) throws -> PartitionTable.SeedPlan {
        do throws(PartitionTableError) {
            return try PartitionTable.planSeedPartition(
                diskBytes: device.byteCount, head: head, seedBytes: seedBytes, unique: try unique(),
                blockBytes: device.blockBytes)
        } catch {
            switch error {
            case .noRoom:
                throw Problem(
                    "seed-no-room", status: 409, title: "There is no room for the first-boot data on \(device.name)",
                    detail: "\(error)", remedy: "Take a disk at least 20 MiB larger than the image.")
            case .noFreeSlot:
                throw Problem(
                    "seed-no-entry", status: 409, title: "The image's partition table has no free entry for the first-boot data",
                    detail: "\(error)", remedy: "Use an edition of the image with a GPT, or with a partition fewer.")
            default:
                throw Problem(
                    "image-invalid", status: 409, title: "The image's partition table cannot be extended",
                    detail: "\(error)", remedy: "Build the image with a GPT or MBR partition table.")
            }
        }
    }

    /// The seed partition's GUID, made of the operation's id: another try finds the partition that the first one made.
    private func unique() throws(PartitionTableError) -> GUID {
        var bytes = Array(SHA256.hash(data: Array("hostler-seed|\(work.record.operation)".utf8)).prefix(16))
        // On the disk the version (4) is in byte 7, the variant (RFC 9562) in byte 8.
        bytes[7] = bytes[7] & 0x0f | 0x40
        bytes[8] = bytes[8] & 0x3f | 0x80
        guard let guid = GUID(diskBytes: bytes) else { throw .noFreeSlot }
        return guid
    }

    private func marker() throws -> InstallMarker {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try InstallMarker(payload: Array(try encoder.encode(work.record)))
    }

    private func readBackProblem(_ what: String, at offset: UInt64) -> Problem {
        Problem(
            "disk-read-back", status: 502, title: "The disk \(device.name) does not keep what is written to it",
            detail: "\(what), at byte \(offset), reads differently from what was written.", remedy: "Replace the disk.")
    }
}
