internal import CLinux
internal import Model
internal import NIOCore
internal import OCI
internal import Synchronization

/// Writes an image to a disk, so that the disk equals it byte for byte.
///
/// The first MiB, which makes a disk bootable, is zeroed first and written
/// last: power may go at any moment, and a half-written disk never boots.
/// What is done is kept in memory, so a cut network costs only the time it is cut.
struct ImageWriter: Sendable {
    /// Ranges asked for at once.
    private static let requestsInFlight = 6
    private static let zeroBytes: UInt64 = 1 << 30

    let work: InstallWork
    let session: Session
    let device: BlockDevice
    let counter: ProgressCounter
    private var log: AgentLog { session.log }

    init(work: InstallWork, session: Session, device: BlockDevice, counter: ProgressCounter) {
        self.work = work
        self.session = session
        self.device = device
        self.counter = counter
    }

    func write() async throws -> [String: String] {
        let begun = agent_uptime_milliseconds()
        let index = try await fetchIndex()
        guard index.diskBytes <= device.byteCount else {
            throw Problem(
                "disk-too-small", status: 409, title: "The image is larger than the disk",
                detail: "\(index.diskBytes) bytes, the disk \(device.name) has \(device.byteCount)")
        }
        counter.set(done: 0, total: Int64(index.dataBytes))
        log.milestone("write-begin")
        try await WorkPool.run { try eraseEnds() }
        try await writeZeros(index)
        let plan = FetchPlan(index)
        let worker = ChunkWorker(index: index, device: device)
        log("\(index.stored.count) chunks in \(plan.body.count + plan.head.count) ranges")
        try await writePieces(plan.body, index: index, worker: worker)
        try await WorkPool.run { try device.flush() }
        try await writePieces(plan.head, index: index, worker: worker)
        try await WorkPool.run {
            try device.flush()
            try? device.rereadPartitions()
        }
        log.milestone("write-end")
        let milliseconds = max(1, agent_uptime_milliseconds() - begun)
        return [
            "bytes": String(index.dataBytes), "diskBytes": String(index.diskBytes), "chunks": String(index.stored.count),
            "digest": work.record.digest, "seconds": Self.tenths(milliseconds / 100),
            "MBps": Self.tenths(Int64(index.dataBytes) / 100 / milliseconds),
        ]
    }

    private func fetchIndex() async throws -> ChunkIndex {
        let bytes = try await session.fetchSource("chunk index") { client throws(TalkError) in
            try await client.fetch(work.indexPath, limit: ChunkIndex.limitBytes)
        }
        let digest = Checksum.sha256(bytes)
        guard let digest, digest == BlobDigest(work.indexDigest) else {
            throw Problem(
                "index-digest-mismatch", status: 502, title: "The image's chunk index is damaged",
                detail: "expected \(work.indexDigest), got \(digest.map(\.description) ?? "nothing")",
                remedy: "Remove the image and add it again.")
        }
        do {
            return try await WorkPool.run { try ChunkIndex(parsing: Array(bytes.readableBytesView)) }
        } catch let error as ChunkIndexError {
            throw Problem(
                "image-invalid", status: 502, title: "The image's chunk index cannot be used", detail: "\(error)",
                remedy: "Build the image again.")
        }
    }

    /// No partition table and no boot code at either end: the disk cannot boot from now on.
    private func eraseEnds() throws {
        let count = min(FetchPlan.headBytes, device.byteCount)
        let zeros = try AlignedBuffer(count: Int(count))
        zeros.bytes.initializeMemory(as: UInt8.self, repeating: 0)
        try device.write(UnsafeRawBufferPointer(zeros.bytes), at: 0)
        try device.write(UnsafeRawBufferPointer(zeros.bytes), at: device.byteCount - count)
        try device.flush()
    }

    /// The image's zeros. Where the device unmaps with a promise of zeros, all the image's room at once; else each run.
    private func writeZeros(_ index: ChunkIndex) async throws {
        if unmapsCheaply {
            do {
                try await forRanges([0..<index.diskBytes]) { try device.punch(at: $0.lowerBound, count: UInt64($0.count)) }
                return
            } catch let error as SystemError {
                log("\(error); writing zeros instead")
            }
        }
        let ranges = index.zeroRuns.map { run in
            let start = UInt64(run.firstChunk) * UInt64(ChunkIndex.chunkBytes)
            return start..<min(index.diskBytes, start + UInt64(run.chunkCount) * UInt64(ChunkIndex.chunkBytes))
        }
        // Written zeros take their time, and are progress.
        let zeroBytes = ranges.reduce(0) { $0 + Int64($1.count) }
        counter.set(done: 0, total: Int64(index.dataBytes) + zeroBytes)
        try await forRanges(ranges) { [counter] range in
            defer { counter.add(Int64(range.count)) }
            // The ioctl wants whole blocks; an image may end within one.
            let whole = UInt64(range.count) / UInt64(device.blockBytes) * UInt64(device.blockBytes)
            if whole > 0 { try device.zeroOut(at: range.lowerBound, count: whole) }
            let rest = Int(UInt64(range.count) - whole)
            if rest > 0 { try device.write([UInt8](repeating: 0, count: rest), at: range.lowerBound + whole) }
        }
    }

    private var unmapsCheaply: Bool {
        func limit(_ name: String) -> UInt64 {
            SystemFile.attribute("/sys/block/\(device.name)/queue/\(name)").flatMap { UInt64($0) } ?? 0
        }
        return limit("discard_max_bytes") > 0 && limit("write_zeroes_max_bytes") > 0
    }

    private func forRanges(
        _ ranges: [Range<UInt64>], _ body: @Sendable @escaping (Range<UInt64>) throws -> Void
    ) async throws {
        for range in ranges {
            for start in stride(from: range.lowerBound, to: range.upperBound, by: Int(Self.zeroBytes)) {
                try Task.checkCancellation()
                let part = start..<min(range.upperBound, start + Self.zeroBytes)
                try await WorkPool.run { try body(part) }
            }
        }
    }

    private func writePieces(_ pieces: [FetchPlan.Piece], index: ChunkIndex, worker: ChunkWorker) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (number, piece) in pieces.enumerated() {
                if number >= Self.requestsInFlight { try await group.next() }
                group.addTask { try await write(piece, index: index, worker: worker) }
            }
            try await group.waitForAll()
        }
    }

    private func write(_ piece: FetchPlan.Piece, index: ChunkIndex, worker: ChunkWorker) async throws {
        for damage in try await fetchAndWrite(piece, worker: worker) {
            let chunk = index.stored[damage.position]
            log("chunk \(chunk.number) came damaged; fetching it once more")
            let again = FetchPlan.Piece(positions: damage.position..<damage.position + 1, blobRange: chunk.blobRange)
            if let second = try await fetchAndWrite(again, worker: worker).first {
                throw Self.problem(chunk, got: second.digest, disk: device.name)
            }
        }
        counter.add(piece.positions.reduce(0) { $0 + Int64(index.byteCount(ofChunk: Int(index.stored[$1].number))) })
    }

    private func fetchAndWrite(_ piece: FetchPlan.Piece, worker: ChunkWorker) async throws -> [ChunkWorker.Damage] {
        let bytes = try await session.fetchSource("image") { client throws(TalkError) in
            try await client.fetch(work.blobPath, range: piece.blobRange)
        }
        return try await WorkPool.run { try worker.write(piece, from: bytes) }
    }

    private static func problem(_ chunk: ChunkIndex.StoredChunk, got: BlobDigest?, disk: String) -> Problem {
        Problem(
            "chunk-digest-mismatch", status: 502, title: "Chunk \(chunk.number) of the image is damaged",
            detail: "At byte \(chunk.diskOffset) of the disk: expected \(chunk.digest), got "
                + "\(got.map(\.description) ?? "bytes that cannot be decompressed"), twice. The disk \(disk) was left unbootable.",
            remedy: "Check the image on the control plane's side, remove it and add it again.")
    }

    /// `123` is `12.3`.
    static func tenths(_ value: Int64) -> String { "\(value / 10).\(value % 10)" }
}
