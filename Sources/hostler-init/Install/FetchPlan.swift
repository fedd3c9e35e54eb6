internal import OCI

/// The HTTP ranges in which an image's chunks are fetched.
///
/// Chunks that are near one another in the blob share a range; the frames of
/// zero runs between them come along, which is cheaper than another request.
struct FetchPlan: Equatable, Sendable {
    struct Piece: Equatable, Sendable {
        /// Positions in ``ChunkIndex/stored``.
        var positions: Range<Int>
        var blobRange: Range<UInt64>
    }

    /// Bytes of the disk whose chunks are written last, so that a half-written disk cannot boot: 1 MiB.
    static let headBytes: UInt64 = 1 << 20
    /// Of the blob in one range.
    static let pieceBytes: UInt64 = 2 << 20
    /// Of chunks in one range: 8 MiB of the disk, so that progress and memory stay even where data compresses well.
    static let pieceChunks = 128
    /// A gap in the blob that is fetched and thrown away.
    static let gapBytes: UInt64 = 32 << 10

    /// All but the head, in disk order.
    let body: [Piece]
    /// The chunks of the disk's first MiB.
    let head: [Piece]

    init(_ index: ChunkIndex) {
        let headEnd = index.stored.firstIndex { $0.diskOffset >= Self.headBytes } ?? index.stored.count
        head = Self.pieces(of: 0..<headEnd, in: index.stored)
        body = Self.pieces(of: headEnd..<index.stored.count, in: index.stored)
    }

    private static func pieces(of positions: Range<Int>, in stored: [ChunkIndex.StoredChunk]) -> [Piece] {
        var pieces: [Piece] = []
        for position in positions {
            let range = stored[position].blobRange
            if let last = pieces.last, last.positions.count < pieceChunks,
                range.lowerBound - last.blobRange.upperBound <= gapBytes,
                range.upperBound - last.blobRange.lowerBound <= pieceBytes
            {
                pieces[pieces.count - 1] = Piece(
                    positions: last.positions.lowerBound..<position + 1,
                    blobRange: last.blobRange.lowerBound..<range.upperBound)
            } else {
                pieces.append(Piece(positions: position..<position + 1, blobRange: range))
            }
        }
        return pieces
    }
}
