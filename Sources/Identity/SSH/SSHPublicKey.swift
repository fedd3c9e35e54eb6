internal import FoundationEssentials
internal import Wire

/// An SSH public key: its type and its fields (RFC 4253 §6.6), as a line of
/// `authorized_keys` or of a `.pub` file has it.
public struct SSHPublicKey: Sendable, Equatable {
    /// Key types that can be certified, and the fields that follow the type's name in the blob.
    static let fieldCounts: [String: Int] = [
        "ssh-ed25519": 1, "ecdsa-sha2-nistp256": 2, "ecdsa-sha2-nistp384": 2, "ecdsa-sha2-nistp521": 2, "ssh-rsa": 2,
        "sk-ssh-ed25519@openssh.com": 2, "sk-ecdsa-sha2-nistp256@openssh.com": 3,
    ]
    /// In bytes: an RSA key of 16384 bits fits.
    public static let limit = 8 << 10

    public let type: String
    /// The wire form: the type, then its fields.
    public let blob: [UInt8]

    /// From one line: type, base64, and perhaps a comment. Options before the type are not taken.
    public init(_ line: String) throws(SSHFormatError) {
        guard line.utf8.count <= 2 * Self.limit else { throw SSHFormatError("a key of more than \(Self.limit) bytes") }
        let words = line.split(whereSeparator: \.isWhitespace)
        guard words.count >= 2, let data = Data(base64Encoded: String(words[1])) else {
            throw SSHFormatError("not a public key: a type and base64 are expected")
        }
        try self.init(blob: Array(data))
        guard type == words[0] else { throw SSHFormatError("it says \(words[0].prefix(40)) and is \(type)") }
    }

    /// From the wire form. Certificates are not keys.
    public init(blob: [UInt8]) throws(SSHFormatError) {
        guard blob.count <= Self.limit else { throw SSHFormatError("a key of more than \(Self.limit) bytes") }
        var reader = ByteReader(blob)
        type = try reader.readSSHText()
        guard let count = Self.fieldCounts[type] else { throw SSHFormatError("\(type.prefix(60)) keys are not taken") }
        var fields: [ArraySlice<UInt8>] = []
        for _ in 0..<count { fields.append(try reader.readSSH()) }
        guard reader.isAtEnd, fields.allSatisfy({ !$0.isEmpty }) else { throw SSHFormatError("a malformed \(type) key") }
        if type == "ssh-ed25519", fields[0].count != 32 { throw SSHFormatError("a malformed ssh-ed25519 key") }
        if type == "ssh-rsa", fields[1].count < 256 { throw SSHFormatError("an RSA key below 2048 bits") }
        self.blob = blob
    }

    init(ed25519 key: some Sequence<UInt8>) {
        var writer = ByteWriter()
        type = "ssh-ed25519"
        writer.writeSSH(type)
        writer.writeSSH(Array(key))
        blob = writer.bytes
    }

    /// As in a `.pub` file, without comment.
    public var line: String { "\(type) \(Data(blob).base64EncodedString())" }

    /// The blob without the type's name.
    var fields: ArraySlice<UInt8> { blob.dropFirst(4 + type.utf8.count) }

    /// The type of this key's certificates (PROTOCOL.certkeys).
    var certificateType: String {
        type.hasSuffix("@openssh.com") ? String(type.dropLast(12)) + "-cert-v01@openssh.com" : type + "-cert-v01@openssh.com"
    }
}
