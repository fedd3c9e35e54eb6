/// What a disk holds, by reading some of it: the first and the last MiB, the start and the end of its first partitions, and
/// samples of the rest. It reads, and does nothing else.
public struct DiskScan: Sendable, Equatable {
    public struct Item: Sendable, Equatable {
        public var kind: ContentKind
        /// Printable, at most 108 bytes.
        public var label: String?
        /// From 1; nil: on the disk itself.
        public var partition: Int?
    }

    /// At most ``itemLimit``.
    public private(set) var items: [Item] = []
    /// How many partitions the table has.
    public private(set) var partitions = 0

    public static let itemLimit = 32
    /// Partitions that are looked into; that there are others is known from the table.
    static let partitionLimit = 16
    static let edgeBytes: UInt64 = 1 << 20
    /// Where nothing has a known form: places of 4 KiB, evenly over the disk.
    static let sampleCount: UInt64 = 128
    static let sampleBytes: UInt64 = 4096
    /// A disk that fails to read lets each try wait for seconds.
    private static let failureLimit = 3

    /// - Parameters:
    ///   - byteCount: of the disk.
    ///   - blockBytes: its logical block size.
    ///   - read: reads a number of bytes at an offset, or throws where the disk fails.
    public init(byteCount: UInt64, blockBytes: Int, read: (_ offset: UInt64, _ count: Int) throws -> [UInt8]) {
        var failures = 0
        func patiently(_ offset: UInt64, _ count: Int) throws -> [UInt8] {
            guard failures < Self.failureLimit else { throw ScanError.givenUp }
            do {
                let bytes = try read(offset, count)
                guard bytes.count == count else { throw ScanError.short }
                return bytes
            } catch {
                failures += 1
                throw error
            }
        }
        var disk = RegionBytes(byteCount: byteCount)
        disk.take(0..<Self.edgeBytes, patiently)
        disk.take(max(byteCount, Self.edgeBytes) - Self.edgeBytes..<max(byteCount, Self.edgeBytes), patiently)
        Self.takeVMFS(&disk, patiently)
        let table = TableScan(disk, blockBytes: blockBytes)
        partitions = table.count
        let whole = RegionProbe(region: disk).found()
        items = (table.kind(beside: whole.map(\.kind)).map { [Item(kind: $0)] } ?? []) + whole.map { Item(kind: $0.kind, label: $0.label) }
        for partition in table.regions.prefix(Self.partitionLimit) {
            guard partition.start < byteCount else { continue }
            var region = RegionBytes(byteCount: min(partition.byteCount, byteCount - partition.start))
            func inside(_ offset: UInt64, _ count: Int) throws -> [UInt8] { try patiently(partition.start + offset, count) }
            region.take(0..<Self.edgeBytes / 2, inside)
            region.take(region.byteCount - min(region.byteCount, Self.edgeBytes)..<region.byteCount, inside)
            Self.takeVMFS(&region, inside)
            items += RegionProbe(region: region).found().map { Item(kind: $0.kind, label: $0.label, partition: partition.number) }
        }
        if items.isEmpty {
            var hasData = disk.hasData
            let step = byteCount / (Self.sampleCount + 1)
            for place in 1...Self.sampleCount where !hasData && failures < Self.failureLimit {
                var sample = RegionBytes(byteCount: byteCount)
                let start = place * step / Self.sampleBytes * Self.sampleBytes
                sample.take(start..<start + Self.sampleBytes, patiently)
                hasData = sample.hasData
            }
            if hasData { items.append(Item(kind: .unknownData)) }
        }
        if failures > 0 { items.insert(Item(kind: .unreadable), at: 0) }
        items = Array(items.prefix(Self.itemLimit))
    }

    /// Nothing but zeros wherever it was looked, and all of it could be read.
    public var isEmpty: Bool { items.isEmpty }

    private static func takeVMFS(_ region: inout RegionBytes, _ read: (UInt64, Int) throws -> [UInt8]) {
        for start: UInt64 in [1 << 20, 2 << 20] { region.take(start..<start + sampleBytes, read) }
    }

    private enum ScanError: Error {
        case givenUp
        /// Fewer bytes came than were asked for.
        case short
    }
}

/// The partition table of a disk, as far as it can be read, whichever block size it was made for.
struct TableScan {
    struct Region {
        var number: Int
        var start: UInt64
        var byteCount: UInt64
    }

    private(set) var count = 0
    private(set) var regions: [Region] = []
    private let gpt: ContentKind?
    private let disk: RegionBytes

    init(_ disk: RegionBytes, blockBytes: Int) {
        self.disk = disk
        let head = Array(disk.bytes(at: 0, count: Int(min(disk.byteCount, DiskScan.edgeBytes))) ?? [])
        let tailBytes = min(disk.byteCount, DiskScan.edgeBytes)
        let tail = Array(disk.bytes(beforeEnd: tailBytes, count: Int(tailBytes)) ?? [])
        var blockSizes = [blockBytes]
        for other in [512, 4096] where other != blockBytes { blockSizes.append(other) }
        var found: ContentKind?
        var partitions: [Int: GPT.Partition] = [:]
        var size = UInt64(512)
        for bytes in blockSizes where bytes > 0 {
            if let table = try? GPT(parsing: head, blockBytes: bytes) {
                (found, partitions, size) = (.gpt, table.partitions, UInt64(bytes))
                break
            }
            if disk.has(GPT.signature, at: UInt64(bytes)) { found = found ?? .gptDamaged }
            guard found == nil, disk.bytes(beforeEnd: UInt64(bytes), count: 8)?.elementsEqual(GPT.signature) == true else { continue }
            found = .gptBackup
            size = UInt64(bytes)
            // The second copy's own offset is a whole block's where the disk is.
            let offset = disk.byteCount - UInt64(tail.count)
            if offset.isMultiple(of: size) {
                partitions =
                    (try? GPT(parsingBackup: tail, tailOffset: offset, diskBytes: disk.byteCount, blockBytes: bytes))?.partitions ?? [:]
            }
        }
        let record = try? MBR(parsing: head, blockBytes: 512)
        if found == nil, let record, record.isProtective { found = .gptDamaged }
        gpt = found
        if found != nil {
            count = partitions.count
            regions = partitions.sorted { $0.key < $1.key }.compactMap { slot, partition in
                Self.region(slot + 1, partition.firstBlock, partition.lastBlock &- partition.firstBlock &+ 1, size)
            }
        } else if let record {
            let size = blockBytes == 4096 ? UInt64(4096) : 512
            count = record.partitions.count { $0 != nil }
            regions = record.partitions.enumerated().compactMap { slot, partition in
                partition.flatMap { Self.region(slot + 1, UInt64($0.firstBlock), UInt64($0.blockCount), size) }
            }
        }
    }

    /// The item for the partition table, or for boot code without a table, beside the other items.
    func kind(beside others: [ContentKind]) -> ContentKind? {
        if let gpt { return gpt }
        if count > 0 { return .mbr }
        guard disk.has([0x55, 0xaa], at: 510), others.isEmpty, let code = disk.bytes(at: 0, count: 440), code.contains(where: { $0 != 0 })
        else { return nil }
        let grub = Array("GRUB".utf8)
        return code.indices.dropLast(3).contains { code[$0..<$0 + 4].elementsEqual(grub) } ? .grub : .bootCode
    }

    private static func region(_ number: Int, _ first: UInt64, _ blocks: UInt64, _ blockBytes: UInt64) -> Region? {
        let (start, overflow) = first.multipliedReportingOverflow(by: blockBytes)
        let (bytes, more) = blocks.multipliedReportingOverflow(by: blockBytes)
        return overflow || more ? nil : Region(number: number, start: start, byteCount: bytes)
    }
}
