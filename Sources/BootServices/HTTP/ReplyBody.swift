internal import NIOCore

/// What is left to send of a reply's body.
enum ReplyBody {
    case bytes(ByteBuffer)
    case file(OpenFile, Range<Int>)

    /// At most so much is given to the kernel at once. A peer that takes less than this in the server's idle time
    /// (some 6 kB/s for 90 s) is taken for gone; more at once would cut slower ones, less would cost system calls.
    static let pieceBytes = 512 << 10

    /// Takes the next piece off; nil when all is sent.
    mutating func next() -> IOData? {
        switch self {
        case .bytes(var buffer):
            guard let piece = buffer.readSlice(length: min(buffer.readableBytes, Self.pieceBytes)), piece.readableBytes > 0
            else { return nil }
            self = .bytes(buffer)
            return .byteBuffer(piece)
        case .file(let file, let range):
            guard !range.isEmpty else { return nil }
            let end = min(range.lowerBound + Self.pieceBytes, range.upperBound)
            self = .file(file, end..<range.upperBound)
            return .fileRegion(file.region(range.lowerBound..<end))
        }
    }
}
