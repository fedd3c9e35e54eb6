internal import Crypto
internal import FoundationEssentials
internal import X509

extension CertificateAuthority {
    /// Whether a CA's certificate and key, both in PEM, belong together.
    public static func isPair(certificate: [UInt8], key: [UInt8]) -> Bool {
        guard let certificate = try? Certificate(pemEncoded: String(decoding: certificate, as: UTF8.self)),
            let key = try? P256.Signing.PrivateKey(pemRepresentation: String(decoding: key, as: UTF8.self))
        else { return false }
        return Certificate.PublicKey(key.publicKey) == certificate.publicKey
    }
}
