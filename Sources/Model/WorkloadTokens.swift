/// Gives machines what they prove themselves with to others: the seam between
/// who issues identity and the metadata service that hands it to the machine.
///
/// Who asks has been established by the caller: nothing here looks at an
/// address or a session. Whether the machine may have an identity now is
/// decided here, anew at each call.
public protocol WorkloadTokens: Sendable {
    /// A signed token that names `machine` to `audience`.
    ///
    /// Throws a `Problem`: `identity-refused` (403), `audience-invalid` (400), `identity-rate` (429).
    func mint(machine: MachineID, audience: String, lifetime: Duration?) async throws -> WorkloadToken

    /// The two signatures of an EC2-like instance identity document of `machine`.
    func sign(document: [UInt8], of machine: MachineID) async throws -> DocumentSignatures

    /// SSH certificates for the host keys that the machine's system proved itself with, one line each.
    func sshHostCertificates(of machine: MachineID) async throws -> [String]
}

extension WorkloadTokens {
    /// A token of the usual lifetime.
    public func mint(machine: MachineID, audience: String) async throws -> WorkloadToken {
        try await mint(machine: machine, audience: audience, lifetime: nil)
    }
}

/// A JSON Web Token (RFC 7519) that a machine shows to a relying party.
public struct WorkloadToken: Codable, Sendable, Equatable {
    /// JWS compact serialization (RFC 7515 §3.1).
    public var token: String
    public var audience: String
    public var expiresAt: Timestamp

    public init(token: String, audience: String, expiresAt: Timestamp) {
        self.token = token
        self.audience = audience
        self.expiresAt = expiresAt
    }
}

/// What EC2 serves beside `dynamic/instance-identity/document`.
public struct DocumentSignatures: Codable, Sendable, Equatable {
    /// RSA PKCS #1 v1.5 over SHA-256 of the document, base64 in lines of 76.
    public var signature: String
    /// CMS SignedData (RFC 5652 §5.1) with the document inside, base64 in lines of 64, without PEM's armour.
    public var pkcs7: String

    public init(signature: String, pkcs7: String) {
        self.signature = signature
        self.pkcs7 = pkcs7
    }
}
