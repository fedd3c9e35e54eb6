internal import FoundationEssentials
public import Model
internal import Wire

/// What an SSH certificate says, before it is signed (OpenSSH, PROTOCOL.certkeys).
public struct SSHCertificate: Sendable, Equatable {
    public enum Kind: UInt32, Sendable { case user = 1, host = 2 }

    public var key: SSHPublicKey
    public var kind: Kind
    public var serial: UInt64
    /// What the server's log says of who came.
    public var keyID: String
    /// User names, or host names.
    public var principals: [String]
    public var validAfter: Timestamp
    public var validBefore: Timestamp
    /// As `force-command` and `source-address`: a server that does not know one refuses the certificate.
    public var criticalOptions: [String: String]
    /// Permissions, without values.
    public var extensions: [String]

    /// What a person who logs in may do: all that OpenSSH grants without a certificate.
    public static let usualExtensions = [
        "permit-X11-forwarding", "permit-agent-forwarding", "permit-port-forwarding", "permit-pty", "permit-user-rc",
    ]

    public init(
        key: SSHPublicKey, kind: Kind, serial: UInt64, keyID: String, principals: [String], validAfter: Timestamp,
        validBefore: Timestamp, criticalOptions: [String: String] = [:], extensions: [String] = []
    ) {
        self.key = key
        self.kind = kind
        self.serial = serial
        self.keyID = keyID
        self.principals = principals
        self.validAfter = validAfter
        self.validBefore = validBefore
        self.criticalOptions = criticalOptions
        self.extensions = extensions
    }

    /// The bytes that the authority signs: all but the signature.
    func body(nonce: [UInt8], authority: SSHPublicKey) -> [UInt8] {
        var writer = ByteWriter()
        writer.writeSSH(key.certificateType)
        writer.writeSSH(nonce)
        writer.write(key.fields)
        writer.write(serial)
        writer.write(kind.rawValue)
        writer.writeSSH(keyID)
        var names = ByteWriter()
        for principal in principals { names.writeSSH(principal) }
        writer.writeSSH(names.bytes)
        writer.write(UInt64(max(0, validAfter.milliseconds / 1000)))
        writer.write(UInt64(max(0, validBefore.milliseconds / 1000)))
        // Names must stand in lexical order; a value is a string within a string.
        var options = ByteWriter()
        for (name, value) in criticalOptions.sorted(by: { $0.key < $1.key }) {
            options.writeSSH(name)
            var inner = ByteWriter()
            inner.writeSSH(value)
            options.writeSSH(inner.bytes)
        }
        writer.writeSSH(options.bytes)
        var permissions = ByteWriter()
        for name in extensions.sorted() {
            permissions.writeSSH(name)
            permissions.writeSSH([])
        }
        writer.writeSSH(permissions.bytes)
        writer.writeSSH([])
        writer.writeSSH(authority.blob)
        return writer.bytes
    }
}
