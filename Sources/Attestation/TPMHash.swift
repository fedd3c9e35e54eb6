internal import Crypto
public import TPM

/// The hash functions of TPMs.
enum TPMHash {
    /// Nil for an algorithm that is not known here.
    static func digest(_ algorithm: TPMAlgorithm, _ bytes: [UInt8]) -> [UInt8]? {
        switch algorithm {
        case .sha1: Array(Insecure.SHA1.hash(data: bytes))
        case .sha256: Array(SHA256.hash(data: bytes))
        case .sha384: Array(SHA384.hash(data: bytes))
        case .sha512: Array(SHA512.hash(data: bytes))
        default: nil
        }
    }

    static func hmac(_ algorithm: TPMAlgorithm, key: [UInt8], _ bytes: [UInt8]) -> [UInt8]? {
        let key = SymmetricKey(data: key)
        return switch algorithm {
        case .sha256: Array(HMAC<SHA256>.authenticationCode(for: bytes, using: key))
        case .sha384: Array(HMAC<SHA384>.authenticationCode(for: bytes, using: key))
        case .sha512: Array(HMAC<SHA512>.authenticationCode(for: bytes, using: key))
        default: nil
        }
    }
}

extension TPMPublicArea {
    /// The key's name: its name algorithm and the hash of its public area (Part 1 §16). Nil for an unknown algorithm.
    public var name: [UInt8]? {
        guard let hash = TPMHash.digest(nameAlgorithm, serialize()) else { return nil }
        return [UInt8(nameAlgorithm.rawValue >> 8), UInt8(nameAlgorithm.rawValue & 0xff)] + hash
    }
}
