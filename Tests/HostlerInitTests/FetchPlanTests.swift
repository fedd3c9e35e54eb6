import OCI
import Testing

@testable import hostler_init

@Suite("The ranges in which an image is fetched")
struct FetchPlanTests {
    /// An index whose chunks' kinds are given: frame length of a stored chunk, nil for zeros.
    private func index(_ chunks: [UInt32?]) throws -> ChunkIndex {
        let digest = try #require(Digest(sha256: [UInt8](repeating: 1, count: 32)))
        var stored: [ChunkIndex.StoredChunk] = []
        var zeros: [ChunkIndex.ZeroRun] = []
        var offset: UInt64 = 0
        var number = 0
        while number < chunks.count {
            if let frame = chunks[number] {
                stored.append(.init(number: UInt32(number), frameBytes: frame, blobOffset: offset, digest: digest))
                offset += UInt64(frame)
                number += 1
            } else {
                let end = chunks[number...].firstIndex { $0 != nil } ?? chunks.count
                zeros.append(.init(firstChunk: UInt32(number), chunkCount: UInt32(end - number), blobOffset: offset, frameBytes: 40))
                offset += 40
                number = end
            }
        }
        return try ChunkIndex(
            diskBytes: UInt64(chunks.count) * UInt64(ChunkIndex.chunkBytes), blobBytes: offset, stored: stored, zeroRuns: zeros)
    }

    @Test("every chunk is fetched exactly once, in ranges that hold it and keep to the limits", arguments: 1...20)
    func coversAll(seed: Int) throws {
        var generator = SplitMix64(state: UInt64(seed))
        let chunks: [UInt32?] = (0..<2000).map { _ in
            Bool.random(using: &generator) ? nil : UInt32.random(in: 20...66_000, using: &generator)
        }
        let index = try index(chunks)
        let plan = FetchPlan(index)
        let pieces = plan.head + plan.body
        #expect(pieces.flatMap { Array($0.positions) } == Array(index.stored.indices))
        for piece in pieces {
            #expect(piece.positions.count <= FetchPlan.pieceChunks)
            #expect(piece.blobRange.upperBound - piece.blobRange.lowerBound <= FetchPlan.pieceBytes)
            for position in piece.positions {
                let range = index.stored[position].blobRange
                #expect(piece.blobRange.lowerBound <= range.lowerBound && range.upperBound <= piece.blobRange.upperBound)
            }
        }
    }

    @Test("the first MiB is apart from the rest, so that it can be written last")
    func headIsApart() throws {
        let index = try index([UInt32?](repeating: 1000, count: 64))
        let plan = FetchPlan(index)
        #expect(plan.head.map(\.positions) == [0..<16])
        #expect(plan.body.first?.positions.lowerBound == 16)
    }

    @Test("an image whose first MiB is zero has no head")
    func zeroHead() throws {
        let plan = FetchPlan(try index([UInt32?](repeating: nil, count: 20) + [500]))
        #expect(plan.head.isEmpty)
        #expect(plan.body.map(\.positions) == [0..<1])
    }
}
