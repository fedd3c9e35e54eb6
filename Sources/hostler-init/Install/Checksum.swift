internal import Crypto
internal import NIOCore
internal import OCI

/// swift-crypto has a `Digest` too.
typealias BlobDigest = OCI.Digest

/// SHA-256 over memory, without copying it.
enum Checksum {
    static func sha256(_ bytes: UnsafeRawBufferPointer) -> BlobDigest? {
        var hash = SHA256()
        hash.update(bufferPointer: bytes)
        return BlobDigest(sha256: hash.finalize())
    }

    static func sha256(_ bytes: ByteBuffer) -> BlobDigest? { bytes.withUnsafeReadableBytes { sha256($0) } }
    static func sha256(_ bytes: ArraySlice<UInt8>) -> BlobDigest? { bytes.withUnsafeBytes { sha256($0) } }
}
