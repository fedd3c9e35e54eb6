internal import JWTKit
public import Model

/// What a machine's token says (RFC 7519 §4.1), and what Hostler adds.
struct MachineClaims: Codable, Sendable, Equatable {
    var iss: String
    var sub: String
    var aud: String
    /// Seconds since 1970, as are `nbf` and `exp`.
    var iat: Int64
    var nbf: Int64
    var exp: Int64
    var jti: String
    var hostler: HostlerClaims
}

extension MachineClaims: JWTPayload {
    /// Hostler makes these and reads none: relying parties verify them.
    func verify(using algorithm: some JWTAlgorithm) async throws {}
}

/// Hostler's own claims, in one object beside the registered ones.
public struct HostlerClaims: Codable, Sendable, Equatable {
    public var machine: MachineID
    public var name: String
    public var image: String
    /// `sha256:…` of the image's manifest.
    public var imageDigest: String
    /// The operation that installed the system.
    public var installation: OperationID
    public var project: String?
    public var lease: String?
    public var region: String?
    public var attestation: AttestationStanding

    enum CodingKeys: String, CodingKey {
        case machine, name, image, installation, project, lease, region, attestation
        case imageDigest = "image_digest"
    }

    public init(machine: Machine, installed: Installation, region: String?, lease: String?, attestation: AttestationStanding) {
        self.machine = machine.id
        name = machine.name.text
        image = installed.image
        imageDigest = installed.digest
        installation = installed.operation
        project = machine.desired.labels["project"]
        self.lease = lease
        self.region = machine.desired.labels["region"] ?? region
        self.attestation = attestation
    }

    /// `machine:m-7f3k2q`, in a project `project:red:machine:m-7f3k2q`: relying
    /// parties that can compare nothing but the subject can so tell projects apart.
    var subject: String {
        guard let project else { return "machine:\(machine)" }
        return "project:\(Self.escaped(project)):machine:\(machine)"
    }

    /// A project's name as RFC 3986 §2.1 escapes it, so that it cannot pose as another part of the subject.
    private static func escaped(_ text: String) -> String {
        let plain = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~".utf8)
        return text.utf8.map { byte in
            let hex = String(byte, radix: 16, uppercase: true)
            return plain.contains(byte) ? String(UnicodeScalar(byte)) : "%" + (hex.utf8.count == 1 ? "0" : "") + hex
        }.joined()
    }
}
