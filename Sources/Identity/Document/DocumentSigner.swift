internal import Crypto
internal import CryptoExtras
internal import FoundationEssentials
internal import Model
internal import SwiftASN1
internal import X509

/// Signs instance identity documents in the two forms that EC2's readers know.
///
/// Its key lives long: readers pin the certificate, as they do with EC2's.
struct DocumentSigner: Sendable {
    static let certificateDays = 3650
    /// The id of keys whose certificate is good from 1970 on. That of the keys of before begins when they were made, and stays
    /// as it is, since readers have pinned it.
    private static let datedBack = "document-1970"
    private let key: _RSA.Signing.PrivateKey
    private let certificate: Certificate
    let certificatePEM: String

    static func open(_ vault: KeyVault, now: Timestamp) async throws -> DocumentSigner {
        let stored = try await vault.only(now: now) {
            let key = try _RSA.Signing.PrivateKey(keySize: .bits2048)
            return (Self.datedBack, Array(key.derRepresentation))
        }
        return try DocumentSigner(stored)
    }

    /// The certificate is made of the key and the time of its making alone, so every server makes the same names of it.
    private init(_ stored: KeyVault.Key) throws {
        key = try _RSA.Signing.PrivateKey(derRepresentation: stored.secret)
        var made = Date(timeIntervalSince1970: Double(stored.createdAt.milliseconds / 1000))
        var begins = made.addingTimeInterval(-3600)
        if stored.id == Self.datedBack {
            // A host without a battery for its clock begins in 1970, and one whose clock was ahead makes no less of a certificate.
            begins = Date(timeIntervalSince1970: 0)
            made = max(made, Date(timeIntervalSince1970: 1_735_689_600))  // 2025-01-01
        }
        let publicKey = Certificate.PublicKey(key.publicKey)
        let subject = try DistinguishedName { CommonName("Hostler instance identity") }
        // The serial number is the key's own: it may not change with the server's restarts.
        let serial = SHA256.hash(data: key.publicKey.derRepresentation).prefix(16)
        certificate = try Certificate(
            version: .v3, serialNumber: .init(bytes: [0x40] + serial.dropFirst()), publicKey: publicKey,
            notValidBefore: begins,
            notValidAfter: made.addingTimeInterval(Double(Self.certificateDays) * 86_400), issuer: subject, subject: subject,
            signatureAlgorithm: .sha256WithRSAEncryption,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.notCertificateAuthority)
                Critical(KeyUsage(digitalSignature: true))
                SubjectKeyIdentifier(hash: publicKey)
            }, issuerPrivateKey: .init(key))
        certificatePEM = try certificate.serializeAsPEM().pemString + "\n"
    }

    func sign(_ document: [UInt8]) throws -> DocumentSignatures {
        let signature = try key.signature(for: document, padding: .insecurePKCS1v1_5)
        let message = SignedDataMessage(content: document, certificate: certificate, signature: Array(signature.rawRepresentation))
        return DocumentSignatures(
            signature: Self.lines(signature.rawRepresentation, of: 76), pkcs7: Self.lines(try message.derBytes(), of: 64))
    }

    private static func lines(_ bytes: some Sequence<UInt8>, of width: Int) -> String {
        let text = Array(Data(bytes).base64EncodedString().utf8)
        return stride(from: 0, to: text.count, by: width)
            .map { String(decoding: text[$0..<min($0 + width, text.count)], as: UTF8.self) }.joined(separator: "\n")
    }
}
