internal import Crypto
internal import CryptoExtras
internal import FoundationEssentials
internal import TPM

/// Checks a TPM's signature with a public key that it named before.
enum QuoteSignature {
    static func isValid(_ signature: TPMSignature, of message: [UInt8], by key: TPMPublicArea) -> Bool {
        // SHA-1 signatures prove nothing any more.
        guard signature.hash != .sha1 else { return false }
        switch (signature, key.key) {
        case (.rsaSSA(let hash, let bytes), .rsa(_, let exponent, let modulus)):
            return isValidRSA(bytes, hash, message, modulus, exponent, .insecurePKCS1v1_5)
        case (.rsaPSS(let hash, let bytes), .rsa(_, let exponent, let modulus)):
            return isValidRSA(bytes, hash, message, modulus, exponent, .PSS)
        case (.ecdsa(let hash, let r, let s), .ecc(let curve, let x, let y)):
            return isValidECDSA(hash, message, r, s, curve, x, y)
        default: return false
        }
    }

    private static func isValidRSA(
        _ bytes: [UInt8], _ hash: TPMAlgorithm, _ message: [UInt8], _ modulus: [UInt8], _ exponent: UInt32, _ padding: _RSA.Signing.Padding
    ) -> Bool {
        let exponent = exponent == 0 ? 65_537 : exponent
        let exponentBytes: [UInt8] = [24, 16, 8, 0].map { (shift: UInt32) in UInt8(truncatingIfNeeded: exponent >> shift) }
        guard let key = try? _RSA.Signing.PublicKey(n: modulus, e: Array(exponentBytes.drop { $0 == 0 })) else { return false }
        let signature = _RSA.Signing.RSASignature(rawRepresentation: bytes)
        return switch hash {
        case .sha256: key.isValidSignature(signature, for: SHA256.hash(data: message), padding: padding)
        case .sha384: key.isValidSignature(signature, for: SHA384.hash(data: message), padding: padding)
        case .sha512: key.isValidSignature(signature, for: SHA512.hash(data: message), padding: padding)
        default: false
        }
    }

    private static func isValidECDSA(
        _ hash: TPMAlgorithm, _ message: [UInt8], _ r: [UInt8], _ s: [UInt8], _ curve: UInt16, _ x: [UInt8], _ y: [UInt8]
    ) -> Bool {
        func padded(_ number: [UInt8], _ count: Int) -> [UInt8] {
            [UInt8](repeating: 0, count: max(0, count - number.count)) + number
        }
        switch curve {
        case 3:
            guard let key = try? P256.Signing.PublicKey(rawRepresentation: padded(x, 32) + padded(y, 32)),
                let signature = try? P256.Signing.ECDSASignature(rawRepresentation: padded(r, 32) + padded(s, 32))
            else { return false }
            return hash == .sha256 && key.isValidSignature(signature, for: SHA256.hash(data: message))
        case 4:
            guard let key = try? P384.Signing.PublicKey(rawRepresentation: padded(x, 48) + padded(y, 48)),
                let signature = try? P384.Signing.ECDSASignature(rawRepresentation: padded(r, 48) + padded(s, 48))
            else { return false }
            return switch hash {
            case .sha256: key.isValidSignature(signature, for: SHA256.hash(data: message))
            case .sha384: key.isValidSignature(signature, for: SHA384.hash(data: message))
            default: false
            }
        default: return false
        }
    }
}
