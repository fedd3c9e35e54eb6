internal import Wire

/// The binary form of an index (docs/image-format.md, "The index blob"):
/// a header of 64 bytes, zero-run records of 24 bytes, chunk records of 44 bytes, all integers big-endian.
extension ChunkIndex {
    static let magic = Array("HOSTLIDX".utf8)
    static let version: UInt32 = 1
    static let headerBytes = 64
    static let zeroRunRecordBytes = 24
    static let chunkRecordBytes = 44

    public func encoded() -> [UInt8] {
        var writer = ByteWriter(
            reservingCapacity: Self.headerBytes + zeroRuns.count * Self.zeroRunRecordBytes
                + stored.count * Self.chunkRecordBytes)
        writer.write(Self.magic)
        writer.write(Self.version)
        writer.write(UInt32(Self.chunkBytes))
        writer.write(diskBytes)
        writer.write(blobBytes)
        writer.write(UInt32(zeroRuns.count))
        writer.write(UInt32(stored.count))
        writer.writeZeros(Self.headerBytes - writer.count)
        for run in zeroRuns {
            writer.write(run.firstChunk)
            writer.write(run.chunkCount)
            writer.write(run.blobOffset)
            writer.write(run.frameBytes)
        }
        for chunk in stored {
            writer.write(chunk.blobOffset)
            writer.write(chunk.frameBytes)
            writer.write(chunk.digest.bytes)
        }
        return writer.bytes
    }

    /// Reads and checks an index. The caller has compared its SHA-256 with the manifest's before.
    public init(parsing bytes: [UInt8]) throws(ChunkIndexError) {
        do {
            try self.init(reading: bytes)
        } catch let error as ChunkIndexError {
            throw error
        } catch {
            throw .invalidLength(bytes: bytes.count, expected: UInt64(Self.headerBytes))
        }
    }

    private init(reading bytes: [UInt8]) throws {
        var reader = ByteReader(bytes)
        guard try reader.read(Self.magic.count).elementsEqual(Self.magic) else { throw ChunkIndexError.notAnIndex }
        let version = try reader.readUInt32()
        guard version == Self.version else { throw ChunkIndexError.unsupportedVersion(version) }
        let chunkBytes = try reader.readUInt32()
        guard chunkBytes == UInt32(Self.chunkBytes) else { throw ChunkIndexError.unsupportedChunkBytes(chunkBytes) }
        let diskBytes = try reader.readUInt64()
        guard diskBytes > 0, diskBytes <= Self.limitDiskBytes else { throw ChunkIndexError.invalidDiskBytes(diskBytes) }
        let blobBytes = try reader.readUInt64()
        let runCount = try reader.readUInt32()
        let storedCount = try reader.readUInt32()
        guard try reader.read(Self.headerBytes - reader.offset).allSatisfy({ $0 == 0 }) else {
            throw ChunkIndexError.invalidReserved
        }
        // Before anything is allocated by the counts, they must agree with the bytes that are there.
        let expected =
            UInt64(Self.headerBytes) + UInt64(runCount) * UInt64(Self.zeroRunRecordBytes)
            + UInt64(storedCount) * UInt64(Self.chunkRecordBytes)
        guard UInt64(bytes.count) == expected else {
            throw ChunkIndexError.invalidLength(bytes: bytes.count, expected: expected)
        }
        let zeroRuns = try (0..<Int(runCount)).map { _ in
            ZeroRun(
                firstChunk: try reader.readUInt32(), chunkCount: try reader.readUInt32(),
                blobOffset: try reader.readUInt64(), frameBytes: try reader.readUInt64())
        }
        let stored = try Self.readChunks(Int(storedCount), skipping: zeroRuns, from: &reader)
        try self.init(diskBytes: diskBytes, blobBytes: blobBytes, stored: stored, zeroRuns: zeroRuns)
    }

    /// Chunk records carry no number: they are the chunks that no zero run covers, in order.
    private static func readChunks(
        _ count: Int, skipping zeroRuns: [ZeroRun], from reader: inout ByteReader
    ) throws -> [StoredChunk] {
        var stored: [StoredChunk] = []
        stored.reserveCapacity(count)
        var number: UInt64 = 0
        var run = 0
        for _ in 0..<count {
            while run < zeroRuns.count, UInt64(zeroRuns[run].firstChunk) <= number {
                number = max(number, UInt64(zeroRuns[run].firstChunk) + UInt64(zeroRuns[run].chunkCount))
                run += 1
            }
            guard let number32 = UInt32(exactly: number) else { throw ChunkIndexError.invalidZeroRun(run) }
            let offset = try reader.readUInt64()
            let frameBytes = try reader.readUInt32()
            guard let digest = Digest(sha256: try reader.read(Digest.byteCount)) else { break }
            stored.append(StoredChunk(number: number32, frameBytes: frameBytes, blobOffset: offset, digest: digest))
            number += 1
        }
        return stored
    }
}
