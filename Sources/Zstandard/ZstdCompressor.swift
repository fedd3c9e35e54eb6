internal import CZstd

/// Compresses buffers into single zstd frames, reusing one context.
///
/// The frames declare their content size and carry no zstd checksum: what we store has a SHA-256 beside it.
/// Not for use by two threads at once: give each worker its own.
public final class ZstdCompressor {
    private let context: OpaquePointer

    /// - Parameter level: 1 (fast) to 19 (small).
    public init(level: Int = 3) throws(ZstdError) {
        guard let context = ZSTD_createCCtx() else { throw .outOfMemory }
        self.context = context
        ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, Int32(clamping: level))
        ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 1)
        ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 0)
    }

    deinit { ZSTD_freeCCtx(context) }

    /// The longest frame that `count` bytes can become.
    public static func limitFrameBytes(for count: Int) -> Int { ZSTD_compressBound(count) }

    /// Compresses `content` into one frame at the start of `output`, which has ``limitFrameBytes(for:)`` bytes.
    ///
    /// - Returns: the length of the frame in bytes.
    public func compress(
        _ content: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) throws(ZstdError) -> Int {
        let written = ZSTD_compress2(context, output.baseAddress, output.count, content.baseAddress, content.count)
        guard ZSTD_isError(written) == 0 else { throw .library(String(cString: ZSTD_getErrorName(written))) }
        return written
    }

    public func compress(_ content: [UInt8]) throws(ZstdError) -> [UInt8] {
        var result: Result<Int, ZstdError> = .success(0)
        let frame = [UInt8](unsafeUninitializedCapacity: Self.limitFrameBytes(for: content.count)) { buffer, count in
            content.withUnsafeBytes { content in
                do throws(ZstdError) {
                    count = try compress(content, into: UnsafeMutableRawBufferPointer(buffer))
                    result = .success(count)
                } catch {
                    result = .failure(error)
                }
            }
        }
        _ = try result.get()
        return frame
    }
}
