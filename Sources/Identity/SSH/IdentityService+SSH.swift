internal import FoundationEssentials
public import Model

// The SSH authority, as the API and the metadata service ask it.
extension IdentityService {
    public var sshAuthorities: SSHAuthorities { ssh.authorities }

    /// A certificate for a person's key. Its key id names who asked, and the server that is logged in to logs it.
    public func sign(_ request: UserCertificateRequest, by actor: String) async throws -> SignedSSHCertificate {
        let now = surroundings.now()
        let signed = try ssh.sign(request, serial: Self.serial(), keyID: actor, now: now)
        try await tellSigned("user", signed, machine: nil, by: actor)
        return signed
    }

    /// A certificate for a host that Hostler does not install.
    public func sign(_ request: HostCertificateRequest, by actor: String) async throws -> SignedSSHCertificate {
        let signed = try ssh.sign(request, serial: Self.serial(), keyID: actor, now: surroundings.now())
        try await tellSigned("host", signed, machine: nil, by: actor)
        return signed
    }

    /// Certificates for the host keys that a machine's installed system proved
    /// itself with. Its private keys never left it.
    public func hostCertificates(of id: MachineID, by actor: String = "machine") async throws -> [SignedSSHCertificate] {
        let now = surroundings.now()
        let machine = try await admitted(id, "SSH host certificates", by: actor, now: now)
        guard let installed = machine.installed, !installed.hostKeys.isEmpty else {
            throw Problem(
                "host-keys-unknown", status: 409, title: "The host keys of \(machine.name.text) are not known",
                detail: "Its proof named none.", remedy: "Install it again with an image whose cloud-init calls home.")
        }
        var names = [id.rawValue, installed.hostname]
        if let address = machine.observed.address { names.append(address.description) }
        return try installed.hostKeys.map { line in
            try ssh.sign(
                HostCertificateRequest(publicKey: line, principals: names), serial: Self.serial(), keyID: id.rawValue, now: now)
        }
    }

    private func tellSigned(_ kind: String, _ signed: SignedSSHCertificate, machine: MachineID?, by actor: String) async throws {
        try await surroundings.record(
            "ssh.certificate-signed", machine, actor, "SSH \(kind) certificate for \(signed.principals.joined(separator: ", "))",
            ["serial": signed.serial, "expires": signed.expiresAt.description])
    }

    private static func serial() -> UInt64 {
        var generator = SystemRandomNumberGenerator()
        return generator.next()
    }
}
