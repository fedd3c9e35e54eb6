internal import Hummingbird
public import Identity
internal import Model

/// The SSH certificate authority.
enum SSHAuthorityRoutes {
    static let routes: [Route] = [
        Route(
            method: .get, path: "/v1/ssh-ca", name: "getSSHAuthorities",
            summary: "The public keys of the user and the host authority", access: .role(.viewer), reply: .json("SSHAuthorities")
        ) { call in try .json(call.issuer.sshAuthorities) },
        Route(
            method: .post, path: "/v1/ssh-ca/user-certificates", name: "signSSHUserKey",
            summary: "Sign a person's SSH key", access: .role(.operator), body: "UserCertificateRequest",
            reply: .json("SSHCertificate", status: .created)
        ) { call in
            try .json(await call.issuer.sign(call.body(UserCertificateRequest.self), by: call.actor), status: .created)
        },
        Route(
            method: .post, path: "/v1/ssh-ca/host-certificates", name: "signSSHHostKey",
            summary: "Sign the SSH key of a host that Hostler does not install", access: .role(.admin),
            body: "HostCertificateRequest", reply: .json("SSHCertificate", status: .created)
        ) { call in
            try .json(await call.issuer.sign(call.body(HostCertificateRequest.self), by: call.actor), status: .created)
        },
        Route(
            method: .post, path: "/v1/machines/{machine}/ssh-host-certificates", name: "signMachineHostKeys",
            summary: "Sign the host keys that a machine proved itself with", access: .role(.operator),
            reply: .json("SSHCertificates", status: .created)
        ) { call in
            let machine = try await call.server.control.machine(named: call.path("machine")).value
            let items = try await call.issuer.hostCertificates(of: machine.id, by: call.actor)
            return try .json(SSHCertificateList(items: items), status: .created)
        },
    ]
}

public struct SSHCertificateList: Codable, Sendable {
    public var items: [SignedSSHCertificate]
}

extension UserCertificateRequest: RequestBodyForm {
    static let fields = ["publicKey", "principals", "lifetimeSeconds", "sourceAddresses", "forceCommand"]
}
extension HostCertificateRequest: RequestBodyForm { static let fields = ["publicKey", "principals", "lifetimeSeconds"] }
