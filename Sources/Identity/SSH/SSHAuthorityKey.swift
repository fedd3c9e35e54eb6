internal import Crypto
internal import FoundationEssentials
internal import Wire

/// An Ed25519 key that signs SSH certificates.
struct SSHAuthorityKey: Sendable {
    private let secret: Curve25519.Signing.PrivateKey
    let publicKey: SSHPublicKey

    /// `secret`: the 32 bytes of an Ed25519 seed (RFC 8032 §5.1.5).
    init(_ secret: [UInt8]) throws {
        self.secret = try Curve25519.Signing.PrivateKey(rawRepresentation: secret)
        publicKey = SSHPublicKey(ed25519: self.secret.publicKey.rawRepresentation)
    }

    static func random() -> [UInt8] { Array(Curve25519.Signing.PrivateKey().rawRepresentation) }

    /// The certificate as a line of a `-cert.pub` file.
    func sign(_ certificate: SSHCertificate) throws -> String {
        let nonce = SymmetricKey(size: .bits256).withUnsafeBytes { Array($0) }
        let body = certificate.body(nonce: nonce, authority: publicKey)
        var signature = ByteWriter()
        signature.writeSSH("ssh-ed25519")
        signature.writeSSH(Array(try secret.signature(for: body)))
        var whole = ByteWriter()
        whole.write(body)
        whole.writeSSH(signature.bytes)
        return "\(certificate.key.certificateType) \(Data(whole.bytes).base64EncodedString())"
    }
}
