internal import Crypto
internal import CryptoExtras
public import FoundationEssentials
internal import SwiftASN1
public import TPM
internal import X509

/// Whom an operator believes about TPMs: the certificates of makers' authorities.
///
/// A TPM carries its own certificate only, not those between it and its maker's
/// root, so every certificate here is believed by itself: roots and the
/// authorities below them are put in alike.
public struct EndorsementRoots: Sendable {
    private let authorities: [Certificate]

    /// From a PEM file's text with one certificate or more.
    public init(pem text: String) throws(AttestationError) {
        do {
            authorities = try PEMDocument.parseMultiple(pemString: text).filter { $0.discriminator == "CERTIFICATE" }.map {
                try Certificate(derEncoded: $0.derBytes)
            }
        } catch {
            throw AttestationError("the makers' certificates cannot be read: \(error)")
        }
        guard !authorities.isEmpty else { throw AttestationError("there is no certificate among the makers'") }
    }

    /// Checks that `certificate` is an endorsement key certificate (TCG EK Credential Profile 2.5 §3.2) of `key`,
    /// signed by one of these authorities and valid at `now`. Returns who signed it.
    public func check(_ certificate: [UInt8], of key: TPMPublicArea, now: Date) throws(AttestationError) -> String {
        let leaf: Certificate
        do {
            leaf = try Certificate(derEncoded: certificate)
        } catch {
            throw AttestationError("the TPM's certificate cannot be read: \(error)")
        }
        guard Self.isOf(key, leaf.publicKey) else { throw AttestationError("the TPM's certificate is of another key") }
        guard leaf.notValidBefore <= now, now <= leaf.notValidAfter else {
            throw AttestationError("the TPM's certificate is not valid now")
        }
        let signer = authorities.first { authority in
            authority.subject == leaf.issuer && authority.notValidBefore <= now && now <= authority.notValidAfter
                && Self.isAuthority(authority) && authority.publicKey.isValidSignature(leaf.signature, for: leaf)
        }
        guard let signer else { throw AttestationError("the TPM's certificate is signed by “\(leaf.issuer)”, whom nobody here vouches for") }
        return "\(signer.subject)"
    }

    private static func isAuthority(_ certificate: Certificate) -> Bool {
        guard let constraints = try? certificate.extensions.basicConstraints, case .isCertificateAuthority = constraints else { return false }
        return true
    }

    private static func isOf(_ area: TPMPublicArea, _ key: Certificate.PublicKey) -> Bool {
        switch area.key {
        case .rsa(_, _, let modulus):
            guard let numbers = try? _RSA.Signing.PublicKey(key)?.getKeyPrimitives() else { return false }
            return Array(numbers.modulus.drop { $0 == 0 }) == Array(modulus.drop { $0 == 0 })
        case .ecc(3, let x, let y):
            return P256.Signing.PublicKey(key).map { Array($0.rawRepresentation) } == padded(x, 32) + padded(y, 32)
        case .ecc(4, let x, let y):
            return P384.Signing.PublicKey(key).map { Array($0.rawRepresentation) } == padded(x, 48) + padded(y, 48)
        case .ecc: return false
        }
    }

    private static func padded(_ number: [UInt8], _ count: Int) -> [UInt8] {
        [UInt8](repeating: 0, count: max(0, count - number.count)) + number
    }
}
