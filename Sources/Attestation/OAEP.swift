internal import TPM

/// EME-OAEP encoding with a label (RFC 8017 §7.1.1).
enum OAEP {
    /// The message to encrypt, `byteCount` long; nil where `message` is too long for it.
    /// - Parameter seed: random, as long as the hash's digest.
    static func encode(_ message: [UInt8], label: [UInt8], hash: TPMAlgorithm, seed: [UInt8], byteCount: Int) -> [UInt8]? {
        guard let size = hash.digestBytes, seed.count == size, message.count <= byteCount - 2 * size - 2,
            let labelHash = TPMHash.digest(hash, label)
        else { return nil }
        let padding = [UInt8](repeating: 0, count: byteCount - message.count - 2 * size - 2)
        let block = labelHash + padding + [1] + message
        guard let blockMask = mask(seed, hash, count: block.count) else { return nil }
        let masked = zip(block, blockMask).map { $0 ^ $1 }
        guard let seedMask = mask(masked, hash, count: size) else { return nil }
        return [0] + zip(seed, seedMask).map { $0 ^ $1 } + masked
    }

    /// MGF1 (RFC 8017 §B.2.1).
    private static func mask(_ seed: [UInt8], _ hash: TPMAlgorithm, count: Int) -> [UInt8]? {
        var bytes: [UInt8] = []
        var counter: UInt32 = 0
        while bytes.count < count {
            let suffix = [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: counter >> UInt32($0)) }
            guard let more = TPMHash.digest(hash, seed + suffix) else { return nil }
            bytes += more
            counter += 1
        }
        return Array(bytes.prefix(count))
    }
}
