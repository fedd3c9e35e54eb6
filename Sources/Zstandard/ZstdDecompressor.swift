internal import CZstd

/// Decompresses single zstd frames (RFC 8878), reusing one context.
///
/// Not for use by two threads at once: give each worker its own.
public final class ZstdDecompressor {
    private let context: OpaquePointer

    public init() throws(ZstdError) {
        guard let context = ZSTD_createDCtx() else { throw .outOfMemory }
        self.context = context
    }

    deinit { ZSTD_freeDCtx(context) }

    /// Decompresses exactly one frame straight into `output`, whose size is the hard limit.
    ///
    /// - Returns: how many bytes were written. On an error the contents of `output` are undefined.
    public func decompress(
        _ frame: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) throws(ZstdError) -> Int {
        guard ZSTD_findFrameCompressedSize(frame.baseAddress, frame.count) == frame.count else { throw .notOneFrame }
        // Where the frame says how much it holds, an excess is refused before any work is done.
        // ZSTD_CONTENTSIZE_UNKNOWN and _ERROR, which Swift cannot import, are 2^64-1 and 2^64-2.
        let declared = ZSTD_getFrameContentSize(frame.baseAddress, frame.count)
        if declared < UInt64.max - 1, declared > UInt64(output.count) { throw .outputLimit(bytes: output.count) }
        let written = ZSTD_decompressDCtx(
            context, output.baseAddress, output.count, frame.baseAddress, frame.count)
        guard ZSTD_isError(written) == 0 else {
            let text = String(cString: ZSTD_getErrorName(written))
            throw text.hasPrefix("Destination buffer") ? .outputLimit(bytes: output.count) : .library(text)
        }
        return written
    }

    /// Decompresses exactly one frame of at most `limit` bytes of content.
    public func decompress(_ frame: [UInt8], limit: Int) throws(ZstdError) -> [UInt8] {
        try decompress(frame[...], limit: limit)
    }

    /// Decompresses exactly one frame of at most `limit` bytes of content.
    public func decompress(_ frame: ArraySlice<UInt8>, limit: Int) throws(ZstdError) -> [UInt8] {
        var result: Result<Int, ZstdError> = .success(0)
        let bytes = [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
            frame.withUnsafeBytes { frame in
                do throws(ZstdError) {
                    count = try decompress(frame, into: UnsafeMutableRawBufferPointer(buffer))
                    result = .success(count)
                } catch {
                    result = .failure(error)
                }
            }
        }
        _ = try result.get()
        return bytes
    }
}
