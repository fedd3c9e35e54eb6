import Foundation
import Identity
import Logging
import Model
import Store
import Synchronization
import Testing

@testable import API

@Suite("The routes of the issuer") struct IdentityRouteTests {
    private static func issuer(_ store: MemoryStore) async throws -> IdentityService {
        let now = Timestamp(milliseconds: 1_800_000_000_000)
        return try await IdentityService(
            issuer: IssuerURL("https://rack.example"), region: nil, store: store, sealing: SealingKey(SealingKey.random()),
            surroundings: IdentitySurroundings(
                question: { id in
                    var machine = Machine(id: id, name: (try? DisplayName("web-1")).unsafelyUnwrapped, interfaces: [], now: now)
                    machine.state = .running
                    machine.installed = Installation(
                        operation: OperationID(unchecked: "op-0000"), generation: 1, image: "i", digest: "d", hostname: "web-1",
                        diskSerial: nil, installedAt: now, hostKeys: [Self.key])
                    return IdentityQuestion(machine: machine)
                },
                record: { _, _, _, _, _ in }, now: { now }, logger: Logger(label: "test")))
    }

    private static let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJ"

    @Test("relying parties need no token, and what they get is of the documented form and may be kept for an hour")
    func open() async throws {
        try await Rack.with(identity: Self.issuer) { rack in
            for (path, schema) in [("/.well-known/openid-configuration", "OpenIDConfiguration"), ("/.well-known/jwks.json", "JSONWebKeySet")] {
                let answer = try await rack.send(.GET, path, as: nil)
                #expect(answer.status == 200 && answer.headers.first(name: "cache-control") == "public, max-age=3600")
                let faults = SchemaCheck.faults(try answer.json, Schemas.reference(schema), at: "$")
                #expect(faults.isEmpty, "\(faults)")
            }
            #expect(try await rack.send(.GET, "/v1/identity/document-certificate", as: nil).text.hasPrefix("-----BEGIN CERTIFICATE"))
        }
    }

    @Test("operators mint and sign, viewers do not; only an admin replaces keys and vouches for other hosts") func roles() async throws {
        try await Rack.with(identity: Self.issuer) { rack in
            try await rack.machine("one")
            let user = #"{"publicKey":"\#(Self.key)","principals":["ann"]}"#
            let calls: [(String, String?, Role, String?)] = [
                ("/v1/machines/one/identity-token", #"{"audience":"a"}"#, .operator, "WorkloadToken"),
                ("/v1/ssh-ca/user-certificates", user, .operator, "SSHCertificate"),
                ("/v1/machines/one/ssh-host-certificates", nil, .operator, "SSHCertificates"),
                ("/v1/ssh-ca/host-certificates", user, .admin, "SSHCertificate"),
                ("/v1/identity/replace-keys", nil, .admin, nil),
            ]
            for (path, body, needed, schema) in calls {
                for role in Role.allCases where role < needed {
                    #expect(try await rack.send(.POST, path, as: role, body: body).code == "role-too-low", "\(path) as \(role)")
                }
                let answer =
                    if schema == nil { try await rack.sendAgreed(.POST, path, as: needed, body: body) } else {
                        try await rack.send(.POST, path, as: needed, body: body)
                    }
                #expect(answer.status == (schema == nil ? 204 : 201), "\(path): \(answer.text)")
                guard let schema else { continue }
                let faults = SchemaCheck.faults(try answer.json, Schemas.reference(schema), at: "$")
                #expect(faults.isEmpty, "\(path): \(faults)")
            }
            #expect(try await rack.send(.GET, "/v1/ssh-ca", as: .viewer).status == 200)
            let mistyped = try await rack.send(.POST, "/v1/machines/one/identity-token", body: #"{"audiense":"a"}"#)
            #expect(mistyped.code == "field-unknown")
        }
    }

    @Test("without keys the routes say that nothing is issued") func unavailable() async throws {
        try await Rack.with { rack in
            let answer = try await rack.send(.GET, "/.well-known/jwks.json", as: nil)
            #expect(answer.status == 503 && answer.code == "identity-unavailable")
        }
    }
}
