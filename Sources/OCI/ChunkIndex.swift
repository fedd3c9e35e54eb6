/// Where each 64 KiB chunk of a disk lies in its blob, and what its SHA-256 is.
///
/// docs/image-format.md specifies the bytes. A value of this type has been
/// checked as a whole: the frames of stored chunks and of zero runs follow one
/// another without gap or overlap, in disk order, from byte 0 of the blob to
/// its end, and together cover every chunk of the disk exactly once.
public struct ChunkIndex: Hashable, Sendable {
    /// Bytes of the disk in one chunk; only the disk's last chunk may be shorter.
    public static let chunkBytes = 65_536
    /// The largest disk that can be described: 64 TiB, so a chunk number fits 32 bits.
    public static let limitDiskBytes: UInt64 = 64 << 40
    /// The longest frame of a stored chunk. zstd needs at most 65,824 bytes for 64 KiB (its compressBound).
    public static let limitFrameBytes = 66_560
    /// The longest index that a reader needs to take: 1 GiB, some 24 million stored chunks or 1.5 TB of data.
    public static let limitBytes = 1 << 30

    /// A chunk whose frame is stored in the blob.
    public struct StoredChunk: Hashable, Sendable {
        /// Its number: its first byte on the disk is `number × 65,536`.
        public let number: UInt32
        /// Length in bytes of its zstd frame.
        public let frameBytes: UInt32
        /// Where its zstd frame begins in the blob.
        public let blobOffset: UInt64
        /// SHA-256 of the chunk's bytes as they are on the disk.
        public let digest: Digest

        public init(number: UInt32, frameBytes: UInt32, blobOffset: UInt64, digest: Digest) {
            self.number = number
            self.frameBytes = frameBytes
            self.blobOffset = blobOffset
            self.digest = digest
        }

        public var diskOffset: UInt64 { UInt64(number) * UInt64(ChunkIndex.chunkBytes) }
        public var blobRange: Range<UInt64> { blobOffset..<blobOffset + UInt64(frameBytes) }
    }

    /// Chunks that are all zeros. The blob has one frame for them, so that it is a whole `.raw.zst`, which no reader
    /// of the index needs.
    public struct ZeroRun: Hashable, Sendable {
        public let firstChunk: UInt32
        public let chunkCount: UInt32
        public let blobOffset: UInt64
        public let frameBytes: UInt64

        public init(firstChunk: UInt32, chunkCount: UInt32, blobOffset: UInt64, frameBytes: UInt64) {
            self.firstChunk = firstChunk
            self.chunkCount = chunkCount
            self.blobOffset = blobOffset
            self.frameBytes = frameBytes
        }
    }

    /// Stored chunks that follow one another both on the disk and in the blob: one HTTP range fetches them.
    public struct StoredRun: Hashable, Sendable {
        /// Positions in ``ChunkIndex/stored``.
        public let positions: Range<Int>
        public let blobRange: Range<UInt64>
    }

    public enum Location: Hashable, Sendable {
        case zeros
        case stored(StoredChunk)
    }

    /// Size of the disk in bytes, at least 1.
    public let diskBytes: UInt64
    /// Size of the blob in bytes.
    public let blobBytes: UInt64
    /// The stored chunks in disk order.
    public let stored: [StoredChunk]
    /// The zero runs in disk order; two never touch.
    public let zeroRuns: [ZeroRun]

    /// Checks everything, and throws what is inconsistent.
    public init(diskBytes: UInt64, blobBytes: UInt64, stored: [StoredChunk], zeroRuns: [ZeroRun]) throws(ChunkIndexError) {
        self.diskBytes = diskBytes
        self.blobBytes = blobBytes
        self.stored = stored
        self.zeroRuns = zeroRuns
        try check()
    }

    /// How many chunks the disk has, the short last one included.
    public var chunkCount: Int { Self.chunkCount(diskBytes: diskBytes) }

    public static func chunkCount(diskBytes: UInt64) -> Int {
        Int((diskBytes + UInt64(chunkBytes) - 1) / UInt64(chunkBytes))
    }

    /// Bytes of the disk in chunk `number`: 65,536 but for the last one; 0 beyond the disk.
    public func byteCount(ofChunk number: Int) -> Int {
        guard number >= 0, number < chunkCount else { return 0 }
        return Int(min(UInt64(Self.chunkBytes), diskBytes - UInt64(number) * UInt64(Self.chunkBytes)))
    }

    /// Bytes of the disk that are in stored chunks.
    public var dataBytes: UInt64 {
        guard let last = stored.last else { return 0 }
        return UInt64(stored.count - 1) * UInt64(Self.chunkBytes) + UInt64(byteCount(ofChunk: Int(last.number)))
    }

    /// Where chunk `number` is, nil beyond the disk. Binary search.
    public func location(ofChunk number: Int) -> Location? {
        guard number >= 0, number < chunkCount else { return nil }
        var low = 0
        var high = stored.count
        while low < high {
            let middle = (low + high) / 2
            if Int(stored[middle].number) < number { low = middle + 1 } else { high = middle }
        }
        guard low < stored.count, Int(stored[low].number) == number else { return .zeros }
        return .stored(stored[low])
    }

    /// The stored chunks in runs of at most `maximumChunks`, in disk order.
    public func storedRuns(maximumChunks: Int) -> [StoredRun] {
        precondition(maximumChunks > 0)
        var runs: [StoredRun] = []
        var start = 0
        for position in stored.indices {
            let isLast = position + 1 == stored.count
            if !isLast, stored[position + 1].number == stored[position].number + 1,
                position + 1 - start < maximumChunks
            {
                continue
            }
            runs.append(
                StoredRun(
                    positions: start..<position + 1,
                    blobRange: stored[start].blobOffset..<stored[position].blobRange.upperBound))
            start = position + 1
        }
        return runs
    }

    private func check() throws(ChunkIndexError) {
        guard diskBytes > 0, diskBytes <= Self.limitDiskBytes else { throw .invalidDiskBytes(diskBytes) }
        let chunkCount = UInt64(self.chunkCount)
        var nextChunk: UInt64 = 0
        var nextByte: UInt64 = 0
        var position = 0
        var run = 0
        var previousWasZeros = false
        while position < stored.count || run < zeroRuns.count {
            if run < zeroRuns.count, UInt64(zeroRuns[run].firstChunk) == nextChunk {
                let zeros = zeroRuns[run]
                guard zeros.chunkCount > 0, !previousWasZeros else { throw .invalidZeroRun(run) }
                guard zeros.blobOffset == nextByte else { throw .frameNotContiguous(chunk: nextChunk) }
                guard zeros.frameBytes > 0, zeros.frameBytes <= blobBytes - nextByte else {
                    throw .invalidFrameBytes(chunk: nextChunk)
                }
                nextChunk += UInt64(zeros.chunkCount)
                nextByte += zeros.frameBytes
                run += 1
                previousWasZeros = true
            } else {
                guard position < stored.count else { throw .invalidZeroRun(run) }
                let chunk = stored[position]
                guard UInt64(chunk.number) == nextChunk, chunk.blobOffset == nextByte else {
                    throw .frameNotContiguous(chunk: nextChunk)
                }
                guard chunk.frameBytes > 0, Int(chunk.frameBytes) <= Self.limitFrameBytes,
                    UInt64(chunk.frameBytes) <= blobBytes - nextByte
                else { throw .invalidFrameBytes(chunk: nextChunk) }
                nextChunk += 1
                nextByte += UInt64(chunk.frameBytes)
                position += 1
                previousWasZeros = false
            }
            guard nextChunk <= chunkCount else { throw .chunkCountMismatch(covered: nextChunk, expected: chunkCount) }
        }
        guard nextChunk == chunkCount else { throw .chunkCountMismatch(covered: nextChunk, expected: chunkCount) }
        guard nextByte == blobBytes else { throw .blobBytesMismatch(covered: nextByte, expected: blobBytes) }
    }
}

/// Why an index cannot be used.
public enum ChunkIndexError: Error, Equatable, Sendable {
    case notAnIndex
    case unsupportedVersion(UInt32)
    case unsupportedChunkBytes(UInt32)
    case invalidReserved
    case invalidLength(bytes: Int, expected: UInt64)
    case invalidDiskBytes(UInt64)
    case invalidZeroRun(Int)
    case frameNotContiguous(chunk: UInt64)
    case invalidFrameBytes(chunk: UInt64)
    case chunkCountMismatch(covered: UInt64, expected: UInt64)
    case blobBytesMismatch(covered: UInt64, expected: UInt64)
}
