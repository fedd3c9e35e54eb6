public import NIOCore
public import NetBoot

/// Where a TFTP server's files come from.
public protocol TFTPFileSource: Sendable {
    /// The file at `path`, which is relative, without `..`, as `TFTPPath` makes it.
    ///
    /// - Throws: `TFTPFileError` for what the client is to be told; any other
    ///   error goes to the log, and the client hears of an internal error.
    func open(_ path: String, from client: SocketAddress) async throws -> TFTPFile
}

/// Why a file is not served, in the words that the client gets.
public struct TFTPFileError: Error, Equatable, Sendable {
    public let code: TFTPErrorCode
    public let message: String

    public init(code: TFTPErrorCode, message: String) {
        self.code = code
        self.message = message
    }

    public static func notFound(_ path: String) -> TFTPFileError {
        TFTPFileError(code: .fileNotFound, message: "no such file: \(path)")
    }
}

/// An open file: its size, and how to get at its bytes.
public struct TFTPFile: Sendable {
    public let bytes: UInt64
    private let append: @Sendable (Range<UInt64>, inout ByteBuffer) throws -> Void

    /// - Parameter append: writes exactly the bytes of a range to a buffer. It is called on an event loop, so
    ///   it must not block for long: memory, or a file that is in the page cache.
    public init(bytes: UInt64, append: @escaping @Sendable (Range<UInt64>, inout ByteBuffer) throws -> Void) {
        self.bytes = bytes
        self.append = append
    }

    /// A file in memory; its storage is shared by all transfers.
    public init(_ content: ByteBuffer) {
        self.init(bytes: UInt64(content.readableBytes)) { range, buffer in
            guard
                let slice = content.getSlice(
                    at: content.readerIndex + Int(range.lowerBound), length: Int(range.upperBound - range.lowerBound))
            else { throw TFTPFileError(code: .notDefined, message: "read past the end") }
            buffer.writeImmutableBuffer(slice)
        }
    }

    /// Writes the bytes of `range` to `buffer`, or throws; never fewer.
    func write(_ range: Range<UInt64>, to buffer: inout ByteBuffer) throws {
        let before = buffer.readableBytes
        try append(range, &buffer)
        guard UInt64(buffer.readableBytes - before) == range.upperBound - range.lowerBound else {
            throw TFTPFileError(code: .notDefined, message: "the file was cut while it was read")
        }
    }
}
