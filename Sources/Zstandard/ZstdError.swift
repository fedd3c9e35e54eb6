/// Why zstd data could not be made or read.
public enum ZstdError: Error, Equatable, Sendable, CustomStringConvertible {
    /// libzstd had no memory for a context.
    case outOfMemory
    /// The bytes are not exactly one zstd frame.
    case notOneFrame
    /// The frame holds more than the caller allows.
    case outputLimit(bytes: Int)
    /// What libzstd says.
    case library(String)

    public var description: String {
        switch self {
        case .outOfMemory: "no memory for a zstd context"
        case .notOneFrame: "not exactly one zstd frame"
        case .outputLimit(let bytes): "decompresses to more than the \(bytes) bytes allowed"
        case .library(let text): "zstd: \(text)"
        }
    }
}
