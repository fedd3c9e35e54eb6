internal import Crypto
public import FoundationEssentials
internal import Glibc
internal import NIOCore
internal import SwiftASN1
internal import Wire
internal import X509

/// The rack's own certificate authority: made at the first start, it signs the
/// API server's certificate and nothing else.
///
/// `ca.pem`, `ca.key`, `server.pem` and `server.key` lie in one directory, the
/// keys readable by their owner only.
public struct CertificateAuthority: Sendable {
    public static let authorityDays = 3650
    public static let serverDays = 397
    /// How far a server certificate is dated back: a first start with a wrong clock must not make one that is refused once
    /// the clock is right.
    static let backdateDays = 30
    /// The CA's certificate is good from 1970 on, since a host without a battery for its clock begins there; and its end is
    /// reckoned from this day (2025-01-01) where the clock says an earlier one.
    static let reckonedFrom = Date(timeIntervalSince1970: 1_735_689_600)

    /// The CA's certificate.
    public let certificatePEM: String
    private let certificate: Certificate
    private let key: P256.Signing.PrivateKey
    private let directory: String

    /// Loads the CA of `directory`, or makes it.
    public static func open(directory: String, now: Date = Date()) throws -> CertificateAuthority {
        try PrivateFile.makeDirectory(directory)
        let certificatePath = "\(directory)/ca.pem"
        let keyPath = "\(directory)/ca.key"
        if FileManager.default.fileExists(atPath: certificatePath) {
            let pem = try String(contentsOfFile: certificatePath, encoding: .utf8)
            let key = try P256.Signing.PrivateKey(pemRepresentation: String(contentsOfFile: keyPath, encoding: .utf8))
            let known = try Certificate(pemEncoded: pem)
            if known.isGood(at: now) {
                return CertificateAuthority(certificatePEM: pem, certificate: known, key: key, directory: directory)
            }
            // Its key and name stay, so that clients with the former certificate go on trusting what it signs once their
            // clock and ours agree with its dates.
            return try make(key, known.subject, in: directory, now: now)
        }
        let subject = try DistinguishedName {
            CommonName("Hostler CA \(Hex.encode((0..<4).map { _ in UInt8.random(in: .min ... .max) }))")
        }
        return try make(P256.Signing.PrivateKey(), subject, in: directory, now: now)
    }

    private static func make(
        _ key: P256.Signing.PrivateKey, _ subject: DistinguishedName, in directory: String, now: Date
    ) throws -> CertificateAuthority {
        let publicKey = Certificate.PublicKey(key.publicKey)
        let certificate = try Certificate(
            version: .v3, serialNumber: .init(), publicKey: publicKey,
            notValidBefore: Date(timeIntervalSince1970: 0),
            notValidAfter: max(now, reckonedFrom).addingTimeInterval(days(authorityDays)),
            issuer: subject, subject: subject, signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                Critical(KeyUsage(keyCertSign: true, cRLSign: true))
                SubjectKeyIdentifier(hash: publicKey)
            }, issuerPrivateKey: .init(key))
        let pem = try certificate.serializeAsPEM().pemString + "\n"
        // The key first: a CA certificate is never there without its key.
        try PrivateFile.write(Array((key.pemRepresentation + "\n").utf8), to: "\(directory)/ca.key")
        try PrivateFile.write(Array(pem.utf8), to: "\(directory)/ca.pem")
        return CertificateAuthority(certificatePEM: pem, certificate: certificate, key: key, directory: directory)
    }

    /// SHA-256 of the CA's certificate, as `sha256:…` in hex.
    public var fingerprint: String { get throws { try Self.fingerprint(ofPEM: certificatePEM) } }

    /// SHA-256 of a certificate in PEM, as `sha256:…` in hex.
    public static func fingerprint(ofPEM pem: String) throws -> String {
        let document = try PEMDocument(pemString: pem)
        return "sha256:" + Hex.encode(SHA256.hash(data: document.derBytes))
    }

    /// From when to when a certificate in PEM is good.
    public static func dates(ofPEM pem: String) throws -> (begins: Date, ends: Date) {
        let certificate = try Certificate(pemEncoded: pem)
        return (certificate.notValidBefore, certificate.notValidAfter)
    }

    /// The server's certificate and key in PEM: those on the disk, or new ones when
    /// a third of their life is left, they are not good now, or a name is missing.
    public func serverCertificate(names: [String], now: Date = Date()) throws -> ServerCertificate {
        let certificatePath = "\(directory)/server.pem"
        let keyPath = "\(directory)/server.key"
        if let pem = try? String(contentsOfFile: certificatePath, encoding: .utf8),
            let keyPEM = try? String(contentsOfFile: keyPath, encoding: .utf8),
            let leaf = try? Certificate(pemEncoded: pem),
            let key = try? P256.Signing.PrivateKey(pemRepresentation: keyPEM),
            Certificate.PublicKey(key.publicKey) == leaf.publicKey, certificate.publicKey.isValidSignature(leaf.signature, for: leaf)
        {
            let current = ServerCertificate(certificatePEM: pem, keyPEM: keyPEM, leaf: leaf)
            let known = try leaf.extensions.subjectAlternativeNames.map { Set($0) } ?? []
            if now < current.renewAt, leaf.isGood(at: now), Set(names.map(Self.generalName)).isSubset(of: known) { return current }
        }
        let made = try makeServerCertificate(names: names, now: now)
        try PrivateFile.write(Array(made.keyPEM.utf8), to: keyPath)
        try PrivateFile.write(Array(made.certificatePEM.utf8), to: certificatePath)
        return made
    }

    private func makeServerCertificate(names: [String], now: Date) throws -> ServerCertificate {
        let serverKey = P256.Signing.PrivateKey()
        let publicKey = Certificate.PublicKey(serverKey.publicKey)
        let end = min(now.addingTimeInterval(Self.days(Self.serverDays)), certificate.notValidAfter)
        let leaf = try Certificate(
            version: .v3, serialNumber: .init(), publicKey: publicKey,
            notValidBefore: max(certificate.notValidBefore, now.addingTimeInterval(-Self.days(Self.backdateDays))),
            notValidAfter: end, issuer: certificate.subject, subject: try DistinguishedName { CommonName("hostler") },
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.notCertificateAuthority)
                Critical(KeyUsage(digitalSignature: true))
                try ExtendedKeyUsage([.serverAuth])
                SubjectAlternativeNames(names.map(Self.generalName))
                SubjectKeyIdentifier(hash: publicKey)
                AuthorityKeyIdentifier(
                    keyIdentifier: SubjectKeyIdentifier(hash: certificate.publicKey).keyIdentifier)
            }, issuerPrivateKey: .init(key))
        return ServerCertificate(
            certificatePEM: try leaf.serializeAsPEM().pemString + "\n", keyPEM: serverKey.pemRepresentation + "\n",
            leaf: leaf)
    }

    private static func generalName(_ name: String) -> GeneralName {
        guard let address = try? SocketAddress(ipAddress: name, port: 0) else { return .dnsName(name) }
        switch address {
        case .v4(let v4):
            return .ipAddress(ASN1OctetString(contentBytes: withUnsafeBytes(of: v4.address.sin_addr) { Array($0)[...] }))
        case .v6(let v6):
            return .ipAddress(ASN1OctetString(contentBytes: withUnsafeBytes(of: v6.address.sin6_addr) { Array($0)[...] }))
        case .unixDomainSocket: return .dnsName(name)
        }
    }

    private static func days(_ count: Int) -> Double { Double(count) * 86_400 }

    /// The names and addresses that this host is reached by.
    public static func namesOfThisHost() -> [String] {
        var buffer = [CChar](repeating: 0, count: 256)
        let host = gethostname(&buffer, 255) == 0 ? String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init), as: UTF8.self) : ""
        let devices = (try? System.enumerateDevices()) ?? []
        let addresses = devices.compactMap { $0.address?.ipAddress }.filter { !$0.hasPrefix("fe80:") }
        let hosts = host.isEmpty || !host.utf8.allSatisfy { $0 < 128 } ? [] : [host]
        return Array(Set(["localhost", "127.0.0.1", "::1"] + hosts + addresses)).sorted()
    }
}

/// A server certificate with its key.
public struct ServerCertificate: Sendable {
    public let certificatePEM: String
    public let keyPEM: String
    /// When a third of its life is left.
    public let renewAt: Date
    /// Before this it is refused.
    public let notBefore: Date
    public let notAfter: Date

    init(certificatePEM: String, keyPEM: String, leaf: Certificate) {
        self.certificatePEM = certificatePEM
        self.keyPEM = keyPEM
        notAfter = leaf.notValidAfter
        notBefore = leaf.notValidBefore
        let life = leaf.notValidAfter.timeIntervalSince(leaf.notValidBefore) - Double(CertificateAuthority.backdateDays) * 86_400
        renewAt = leaf.notValidAfter.addingTimeInterval(-max(0, life) / 3)
    }
}

extension Certificate {
    fileprivate func isGood(at now: Date) -> Bool { notValidBefore <= now && now < notValidAfter }
}
