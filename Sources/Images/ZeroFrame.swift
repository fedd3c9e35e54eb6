/// The zstd frame for a run of zeros, of any length in a few bytes (RFC 8878 §3.1.1).
///
/// libzstd would need the zeros to make it; here it is written out: a header with the content size and a window of
/// 128 KiB, then one RLE block of 4 bytes for each 128 KiB.
enum ZeroFrame {
    private static let blockBytes: UInt64 = 128 << 10

    static func encoded(byteCount: UInt64) -> [UInt8] {
        precondition(byteCount > 0)
        // Magic; 8-byte content size and no single segment; window 2^(10+7).
        var frame: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd, 0xc0, 0x38]
        frame += withUnsafeBytes(of: byteCount.littleEndian) { Array($0) }
        var left = byteCount
        while left > 0 {
            let size = min(left, blockBytes)
            left -= size
            // Bit 0: last block; bits 1 and 2: type 1, RLE; then the size.
            let header = UInt32(size) << 3 | 1 << 1 | (left == 0 ? 1 : 0)
            frame += withUnsafeBytes(of: header.littleEndian) { Array($0.prefix(3)) }
            frame.append(0)
        }
        return frame
    }
}
