internal import Model
internal import OCI
internal import Zstandard

/// A raw disk that is read once from its start to its end.
protocol DiskSource {
    /// The next bytes, a whole number of chunks except at the end; nil at the end.
    mutating func next() throws(Problem) -> DiskPiece?
}

enum DiskPiece {
    case data([UInt8])
    /// A hole of the file: that many zeros.
    case zeros(UInt64)
}

/// How much is read and handed to one compressor at a time: 64 chunks, 4 MiB.
let pieceBytes = 64 * ChunkIndex.chunkBytes

/// A raw image file; its holes are not read.
struct RawSource: DiskSource {
    private let file: DiskFile
    private let byteCount: UInt64
    private var offset: UInt64 = 0
    private var data: Range<UInt64>?

    init(_ file: DiskFile) throws(Problem) {
        self.file = file
        byteCount = try file.byteCount()
    }

    mutating func next() throws(Problem) -> DiskPiece? {
        guard offset < byteCount else { return nil }
        let chunkBytes = UInt64(ChunkIndex.chunkBytes)
        if data.map({ $0.upperBound <= offset }) ?? true {
            guard let found = file.nextData(after: offset, end: byteCount) else {
                defer { offset = byteCount }
                return .zeros(byteCount - offset)
            }
            data = found.lowerBound / chunkBytes * chunkBytes..<found.upperBound
            let start = max(offset, found.lowerBound / chunkBytes * chunkBytes)
            if start > offset {
                defer { offset = start }
                return .zeros(start - offset)
            }
        }
        // Up to the end of the chunk in which the data ends.
        let dataEnd = ((data?.upperBound ?? byteCount) + chunkBytes - 1) / chunkBytes * chunkBytes
        let count = min(UInt64(pieceBytes), min(dataEnd, byteCount) - offset)
        let bytes = try file.read(Int(count), at: offset)
        guard UInt64(bytes.count) == count else {
            throw Problem("image-changed", title: "\(file.path) became shorter while it was read")
        }
        offset += count
        return .data(bytes)
    }
}

/// A raw image in zstd frames of any kind.
struct ZstdSource: DiskSource {
    private let file: DiskFile
    private let decompressor: ZstdStreamDecompressor
    private let limitBytes: UInt64
    private var input: [UInt8] = []
    private var consumed = 0
    private var offset: UInt64 = 0
    private var produced: UInt64 = 0
    private var mayHoldMore = false

    init(_ file: DiskFile, limitBytes: UInt64) throws(Problem) {
        self.file = file
        self.limitBytes = limitBytes
        do throws(ZstdError) {
            decompressor = try ZstdStreamDecompressor()
        } catch {
            throw Problem("out-of-memory", status: 500, title: "Could not read \(file.path)", detail: "\(error)")
        }
    }

    mutating func next() throws(Problem) -> DiskPiece? {
        var output = [UInt8](repeating: 0, count: pieceBytes)
        var filled = 0
        while filled < output.count {
            if consumed == input.count, !mayHoldMore {
                input = try file.read(1 << 20, at: offset)
                offset += UInt64(input.count)
                consumed = 0
                if input.isEmpty { break }
            }
            let step = try decompress(into: &output, from: filled)
            consumed += step.consumed
            filled += step.produced
            mayHoldMore = filled == output.count
        }
        produced += UInt64(filled)
        guard produced <= limitBytes else { throw .tooLarge(limitBytes: limitBytes) }
        if filled == 0 {
            guard decompressor.isAtFrameEnd else {
                throw Problem(
                    "image-truncated", title: "\(file.path) ends in the middle of a zstd frame",
                    remedy: "Fetch the file again: it is incomplete.")
            }
            return nil
        }
        output.removeLast(output.count - filled)
        return .data(output)
    }

    private func decompress(
        into output: inout [UInt8], from filled: Int
    ) throws(Problem) -> (consumed: Int, produced: Int) {
        var result: Result<(consumed: Int, produced: Int), ZstdError> = .success((0, 0))
        input.withUnsafeBytes { input in
            output.withUnsafeMutableBytes { output in
                do throws(ZstdError) {
                    result = .success(
                        try decompressor.decompress(
                            UnsafeRawBufferPointer(rebasing: input[consumed...]),
                            into: UnsafeMutableRawBufferPointer(rebasing: output[filled...])))
                } catch {
                    result = .failure(error)
                }
            }
        }
        do throws(ZstdError) {
            return try result.get()
        } catch {
            throw Problem(
                "image-unreadable", title: "\(file.path) is not sound zstd data", detail: "\(error)",
                remedy: "Fetch the file again.")
        }
    }
}

extension Problem {
    static func tooLarge(limitBytes: UInt64) -> Problem {
        Problem("image-too-large", status: 413, title: "The image is larger than the \(limitBytes) bytes allowed")
    }
}
