import OCI
import Testing

/// A small generator, so that a failing run can be repeated from its seed (xorshift64*).
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed | 1 }
    mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 2_685_821_657_736_338_717
    }
}

func digest(_ generator: inout SeededGenerator) -> Digest {
    Digest(sha256: (0..<32).map { _ in UInt8.random(in: 0...255, using: &generator) })!
}

func randomIndex(_ generator: inout SeededGenerator, chunks: Int) throws -> ChunkIndex {
    var stored: [ChunkIndex.StoredChunk] = []
    var runs: [ChunkIndex.ZeroRun] = []
    var blobOffset: UInt64 = 0
    var number = 0
    var mayBeZero = true
    while number < chunks {
        if mayBeZero, Bool.random(using: &generator) {
            let count = Int.random(in: 1...min(5, chunks - number), using: &generator)
            let bytes = UInt64.random(in: 18...90, using: &generator)
            runs.append(
                .init(firstChunk: UInt32(number), chunkCount: UInt32(count), blobOffset: blobOffset, frameBytes: bytes))
            number += count
            blobOffset += bytes
            mayBeZero = false
        } else {
            let bytes = UInt32.random(in: 20...65_824, using: &generator)
            stored.append(
                .init(number: UInt32(number), frameBytes: bytes, blobOffset: blobOffset, digest: digest(&generator)))
            number += 1
            blobOffset += UInt64(bytes)
            mayBeZero = true
        }
    }
    let short = UInt64.random(in: 0..<128, using: &generator) * 512
    return try ChunkIndex(
        diskBytes: UInt64(chunks) * 65_536 - short, blobBytes: blobOffset, stored: stored, zeroRuns: runs)
}

@Suite("The chunk index")
struct ChunkIndexTests {
    @Test("random indexes survive encoding and parsing")
    func roundTrip() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<200 {
            let index = try randomIndex(&generator, chunks: Int.random(in: 1...200, using: &generator))
            #expect(try ChunkIndex(parsing: index.encoded()) == index, "seed \(seed)")
        }
    }

    @Test("every chunk of the disk is found, stored or zero")
    func lookup() throws {
        var generator = SeededGenerator(seed: 7)
        let index = try randomIndex(&generator, chunks: 300)
        var stored = index.stored.makeIterator()
        var next = stored.next()
        for number in 0..<index.chunkCount {
            if let chunk = next, Int(chunk.number) == number {
                #expect(index.location(ofChunk: number) == .stored(chunk))
                next = stored.next()
            } else {
                #expect(index.location(ofChunk: number) == .zeros)
            }
        }
        #expect(next == nil)
        #expect(index.location(ofChunk: 300) == nil)
        #expect(index.location(ofChunk: -1) == nil)
        #expect((0..<300).map { index.byteCount(ofChunk: $0) }.reduce(0, +) == Int(index.diskBytes))
    }

    @Test("stored runs cover each stored chunk once and are contiguous in the blob")
    func runs() throws {
        var generator = SeededGenerator(seed: 9)
        let index = try randomIndex(&generator, chunks: 400)
        let runs = index.storedRuns(maximumChunks: 3)
        #expect(runs.flatMap { Array($0.positions) } == Array(index.stored.indices))
        for run in runs {
            let chunks = index.stored[run.positions]
            #expect(chunks.count <= 3)
            #expect(chunks.reduce(0) { $0 + UInt64($1.frameBytes) } == UInt64(run.blobRange.count))
            #expect(chunks.first?.blobOffset == run.blobRange.lowerBound)
        }
    }

    @Test("an index cut off at any byte is refused")
    func truncation() throws {
        var generator = SeededGenerator(seed: 3)
        let bytes = try randomIndex(&generator, chunks: 12).encoded()
        for count in 0..<bytes.count {
            #expect(throws: ChunkIndexError.self) { try ChunkIndex(parsing: Array(bytes.prefix(count))) }
        }
        #expect(throws: ChunkIndexError.self) { try ChunkIndex(parsing: bytes + [0]) }
    }

    @Test("a flipped bit is refused unless it is in a digest or in what the last chunk's length allows")
    func flips() throws {
        var generator = SeededGenerator(seed: 5)
        let index = try randomIndex(&generator, chunks: 12)
        let bytes = index.encoded()
        let records = 64 + index.zeroRuns.count * 24
        for position in bytes.indices {
            for bit in 0..<8 {
                var flipped = bytes
                flipped[position] ^= 1 << UInt8(bit)
                let isDigest = position >= records && (position - records) % 44 >= 12
                let isDiskBytes = (16..<24).contains(position)
                guard let parsed = try? ChunkIndex(parsing: flipped) else {
                    #expect(!isDigest)
                    continue
                }
                #expect(isDigest || isDiskBytes, "byte \(position)")
                #expect(parsed.chunkCount == index.chunkCount)
            }
        }
    }

    @Test("inconsistent tables are refused, each by its own error")
    func inconsistencies() throws {
        var generator = SeededGenerator(seed: 11)
        let name = digest(&generator)
        func chunk(_ number: UInt32, _ offset: UInt64, _ bytes: UInt32) -> ChunkIndex.StoredChunk {
            .init(number: number, frameBytes: bytes, blobOffset: offset, digest: name)
        }
        #expect(throws: ChunkIndexError.invalidDiskBytes(0)) {
            try ChunkIndex(diskBytes: 0, blobBytes: 0, stored: [], zeroRuns: [])
        }
        #expect(throws: ChunkIndexError.invalidDiskBytes((64 << 40) + 1)) {
            try ChunkIndex(diskBytes: (64 << 40) + 1, blobBytes: 0, stored: [], zeroRuns: [])
        }
        #expect(throws: ChunkIndexError.frameNotContiguous(chunk: 1)) {
            try ChunkIndex(
                diskBytes: 131_072, blobBytes: 200, stored: [chunk(0, 0, 100), chunk(1, 99, 101)], zeroRuns: [])
        }
        #expect(throws: ChunkIndexError.invalidFrameBytes(chunk: 1)) {
            try ChunkIndex(
                diskBytes: 131_072, blobBytes: 150, stored: [chunk(0, 0, 100), chunk(1, 100, 100)], zeroRuns: [])
        }
        #expect(throws: ChunkIndexError.blobBytesMismatch(covered: 100, expected: 101)) {
            try ChunkIndex(diskBytes: 65_536, blobBytes: 101, stored: [chunk(0, 0, 100)], zeroRuns: [])
        }
        #expect(throws: ChunkIndexError.chunkCountMismatch(covered: 1, expected: 2)) {
            try ChunkIndex(diskBytes: 65_537, blobBytes: 100, stored: [chunk(0, 0, 100)], zeroRuns: [])
        }
        #expect(throws: ChunkIndexError.chunkCountMismatch(covered: 4_294_967_295, expected: 1)) {
            try ChunkIndex(
                diskBytes: 1, blobBytes: 1, stored: [],
                zeroRuns: [.init(firstChunk: 0, chunkCount: .max, blobOffset: 0, frameBytes: 1)])
        }
        #expect(throws: ChunkIndexError.invalidZeroRun(1)) {
            try ChunkIndex(
                diskBytes: 131_072, blobBytes: 2, stored: [],
                zeroRuns: [
                    .init(firstChunk: 0, chunkCount: 1, blobOffset: 0, frameBytes: 1),
                    .init(firstChunk: 1, chunkCount: 1, blobOffset: 1, frameBytes: 1),
                ])
        }
    }
}
