internal import Model

extension Schemas {
    /// What relying parties read, and what operators ask of the issuer.
    static let identity: [String: JSONValue] = [
        "OpenIDConfiguration": object([
            "issuer": text, "jwks_uri": text, "response_types_supported": list(text), "subject_types_supported": list(text),
            "id_token_signing_alg_values_supported": list(text), "claims_supported": list(text), "scopes_supported": list(text),
        ]),
        "JSONWebKeySet": object([
            "keys": list(object(["kty": text, "use": text, "alg": text, "kid": text, "n": text, "e": text]))
        ]),
        "Attestation": object(
            ["endorsementKey": text, "attestationKey": text, "enrolledAt": time, "standing": words(AttestationStanding.self)],
            optional: [
                "endorsementCertificate": text, "policy": textMap, "boot": text, "judgedAt": time,
                "problem": reference("ProblemRecord"), "registers": textMap, "resetCount": integer,
                "isProven": boolean,
            ]),
        "AttestationRuleRequest": object(["rule": words(AttestationRule.self)]),
        "WorkloadTokenRequest": object(["audience": text], optional: ["lifetimeSeconds": integer]),
        "SSHAuthorities": object(["user": text, "host": text]),
        "UserCertificateRequest": object(
            ["publicKey": text, "principals": list(text)],
            optional: ["lifetimeSeconds": integer, "sourceAddresses": list(text), "forceCommand": text]),
        "HostCertificateRequest": object(["publicKey": text, "principals": list(text)], optional: ["lifetimeSeconds": integer]),
        "SSHCertificate": object([
            "certificate": text, "serial": text, "keyID": text, "principals": list(text), "expiresAt": time,
        ]),
        "SSHCertificates": object(["items": list(reference("SSHCertificate"))]),
        "WorkloadToken": object(["token": text, "audience": text, "expiresAt": time]),
    ]
}
