internal import CZstd

/// Decompresses a stream of any number of concatenated zstd frames, piece by piece.
public final class ZstdStreamDecompressor {
    /// Memory that a frame may ask for as its window: 128 MiB, what `zstd -d` allows too.
    private static let limitWindowLog: Int32 = 27

    private let context: OpaquePointer
    /// Whether the bytes so far end exactly at the end of a frame.
    public private(set) var isAtFrameEnd = true

    public init() throws(ZstdError) {
        guard let context = ZSTD_createDCtx() else { throw .outOfMemory }
        self.context = context
        ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, Self.limitWindowLog)
    }

    deinit { ZSTD_freeDCtx(context) }

    /// Takes some of `input` and fills some of `output`.
    ///
    /// - Returns: how many bytes of each were used. While `output` was filled to its end there may be more to come
    ///   from the same input: call again.
    public func decompress(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) throws(ZstdError) -> (consumed: Int, produced: Int) {
        var source = ZSTD_inBuffer(src: input.baseAddress, size: input.count, pos: 0)
        var target = ZSTD_outBuffer(dst: output.baseAddress, size: output.count, pos: 0)
        let hint = ZSTD_decompressStream(context, &target, &source)
        guard ZSTD_isError(hint) == 0 else { throw .library(String(cString: ZSTD_getErrorName(hint))) }
        // A call that did nothing says how the next frame would begin, not how this one ended.
        if source.pos > 0 || target.pos > 0 { isAtFrameEnd = hint == 0 }
        return (source.pos, target.pos)
    }
}
