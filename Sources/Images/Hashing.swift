internal import Crypto
internal import OCI

/// SHA-256 as our own ``OCI/Digest``, kept apart from Crypto's type of the same name.
struct BlobHasher {
    private var hash = SHA256()

    mutating func update(_ bytes: some Sequence<UInt8>) {
        let used: Void? = bytes.withContiguousStorageIfAvailable {
            hash.update(bufferPointer: UnsafeRawBufferPointer($0))
        }
        if used == nil { hash.update(data: Array(bytes)) }
    }

    mutating func update(_ bytes: UnsafeRawBufferPointer) { hash.update(bufferPointer: bytes) }

    func finish() -> OCI.Digest {
        guard let digest = OCI.Digest(sha256: hash.finalize()) else {
            preconditionFailure("SHA-256 has 32 bytes")
        }
        return digest
    }

    static func digest(_ bytes: [UInt8]) -> OCI.Digest {
        var hasher = BlobHasher()
        hasher.update(bytes)
        return hasher.finish()
    }

    static func digest(_ bytes: UnsafeRawBufferPointer) -> OCI.Digest {
        var hasher = BlobHasher()
        hasher.update(bytes)
        return hasher.finish()
    }
}
