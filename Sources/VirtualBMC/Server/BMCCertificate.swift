internal import Crypto
public import FoundationEssentials
internal import NIOCore
internal import NIOSSL
internal import SwiftASN1
internal import Wire
internal import X509

/// A certificate that a BMC signed itself, with its key.
public struct BMCCertificate: Codable, Hashable, Sendable {
    /// As on a BMC that left the factory and was forgotten.
    public static let days = 3650

    public let certificatePEM: String
    public let keyPEM: String

    /// - Parameter address: what it is reached by, a number.
    public init(name: String, address: String, now: Date = Date()) throws {
        let key = P256.Signing.PrivateKey()
        let publicKey = Certificate.PublicKey(key.publicKey)
        let subject = try DistinguishedName {
            OrganizationName("Hostler virtual BMC")
            CommonName(name)
        }
        let certificate = try Certificate(
            version: .v3, serialNumber: .init(), publicKey: publicKey, notValidBefore: now.addingTimeInterval(-3600),
            notValidAfter: now.addingTimeInterval(Double(Self.days) * 86_400), issuer: subject, subject: subject,
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: nil))
                Critical(KeyUsage(digitalSignature: true, keyCertSign: true))
                try ExtendedKeyUsage([.serverAuth])
                SubjectAlternativeNames([Self.generalName(address)])
                SubjectKeyIdentifier(hash: publicKey)
            }, issuerPrivateKey: .init(key))
        certificatePEM = try certificate.serializeAsPEM().pemString + "\n"
        keyPEM = key.pemRepresentation + "\n"
    }

    /// SHA-256 of the certificate, as `sha256:…` in hex.
    public var fingerprint: String {
        get throws { "sha256:" + Hex.encode(SHA256.hash(data: try PEMDocument(pemString: certificatePEM).derBytes)) }
    }

    func context() throws -> NIOSSLContext {
        let chain = try NIOSSLCertificate.fromPEMBytes(Array(certificatePEM.utf8)).map {
            NIOSSLCertificateSource.certificate($0)
        }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain,
            privateKey: .privateKey(try NIOSSLPrivateKey(bytes: Array(keyPEM.utf8), format: .pem)))
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["http/1.1"]
        return try NIOSSLContext(configuration: configuration)
    }

    private static func generalName(_ name: String) -> GeneralName {
        guard case .v4(let address)? = try? SocketAddress(ipAddress: name, port: 0) else { return .dnsName(name) }
        let octets = withUnsafeBytes(of: address.address.sin_addr) { Array($0) }
        return .ipAddress(ASN1OctetString(contentBytes: octets[...]))
    }
}
