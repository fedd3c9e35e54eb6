internal import Hummingbird
internal import Identity
internal import Model

/// The issuer of machine identities: what relying parties read, and what operators may ask of it.
enum IdentityRoutes {
    static let routes: [Route] = [
        Route(
            method: .get, path: "/.well-known/openid-configuration", name: "getOpenIDConfiguration",
            summary: "Where relying parties find what verifies machines' tokens", access: .open, reply: .json("OpenIDConfiguration")
        ) { call in try published(call.issuer.discovery) },
        Route(
            method: .get, path: "/.well-known/jwks.json", name: "getKeySet",
            summary: "The public keys of machines' tokens", access: .open, reply: .json("JSONWebKeySet")
        ) { call in try published(await call.issuer.publishedKeys) },
        Route(
            method: .get, path: "/v1/identity/document-certificate", name: "getDocumentCertificate",
            summary: "The certificate that instance identity documents are signed with", access: .open,
            reply: .init(status: .ok, schema: nil, contentType: "application/x-pem-file")
        ) { call in
            Response(
                status: .ok, headers: [.contentType: "application/x-pem-file"],
                body: .init(byteBuffer: .init(string: try call.issuer.documentCertificatePEM)))
        },
        Route(
            method: .post, path: "/v1/identity/replace-keys", name: "replaceIdentityKeys",
            summary: "After a theft: make all signing keys anew; every token that is out is void", access: .role(.admin),
            reply: .none,
            foresee: { call in
                let keys = try await call.issuer.publishedKeys.keys.map(\.kid).joined(separator: " ")
                return .naming(
                    .replaceKeys, target: "identity", name: "the issuer",
                    losses: [
                        .init(
                            .keys, id: keys,
                            "all keys that sign machines' tokens and documents: every token and document that is out becomes void at once")
                    ])
            }
        ) { call in
            try await call.issuer.replaceKeys(by: call.actor)
            return .nothing
        },
        Route(
            method: .post, path: "/v1/machines/{machine}/identity-token", name: "mintIdentityToken",
            summary: "A token as the machine would get it, for tests and bootstrap", access: .role(.operator),
            body: "WorkloadTokenRequest", reply: .json("WorkloadToken", status: .created)
        ) { call in
            let request = try await call.body(WorkloadTokenRequest.self)
            let machine = try await call.server.control.machine(named: call.path("machine")).value
            let token = try await call.issuer.mint(
                machine: machine.id, audience: request.audience, lifetime: request.lifetimeSeconds.map { .seconds($0) },
                by: call.actor)
            return try .json(token, status: .created)
        },
        Route(
            method: .post, path: "/v1/machines/{machine}/attestation/accept", name: "acceptMachineBoot",
            summary: "Take the machine's last boot as what it should be", access: .role(.operator), reply: .json("Machine")
        ) { call in try .json(await call.server.control.acceptBoot(machine: call.path("machine"), by: call.actor)) },
        Route(
            method: .delete, path: "/v1/machines/{machine}/attestation", name: "forgetMachineTPM",
            summary: "Forget the machine's TPM, as after its board was replaced", access: .role(.admin), reply: .json("Machine"),
            foresee: { try await $0.consequence(of: .forgetTPM) }
        ) { call in
            try .json(await call.server.control.forgetTPM(machine: call.path("machine"), by: call.actor, agreement: call.agreement))
        },
        Route(
            method: .put, path: "/v1/machines/{machine}/attestation/rule", name: "setAttestationRule",
            summary: "Say whether the machine must prove its boots, whatever its networks say", access: .role(.admin),
            body: "AttestationRuleRequest", reply: .json("Machine")
        ) { call in
            let request = try await call.body(AttestationRuleRequest.self)
            return try .json(await call.server.control.setAttestationRule(request.rule, machine: call.path("machine"), by: call.actor))
        },
    ]

    /// An hour is far less than a key is published before it signs.
    private static func published(_ value: some Encodable) throws -> Response {
        var response = try Response.json(value)
        response.headers[.cacheControl] = "public, max-age=3600"
        return response
    }
}

extension Call {
    var issuer: IdentityService {
        get throws(Problem) {
            guard let identity = server.identity else {
                throw Problem(
                    "identity-unavailable", status: 503, title: "This server issues no identities now",
                    detail: "its keys could not be opened when it started", remedy: "Its log says why.")
            }
            return identity
        }
    }
}

struct WorkloadTokenRequest: RequestBodyForm {
    static let fields = ["audience", "lifetimeSeconds"]
    var audience: String
    var lifetimeSeconds: Int?
}

struct AttestationRuleRequest: RequestBodyForm {
    static let fields = ["rule"]
    var rule: AttestationRule
}
