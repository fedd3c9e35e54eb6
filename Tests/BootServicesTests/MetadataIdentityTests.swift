import Control
import Foundation
import Identity
import Logging
import Model
import Store
import Synchronization
import Testing
import Wire

@testable import BootServices

@Suite("Identities at the metadata service")
final class MetadataIdentityTests: Sendable {
    /// Whether the gate sees the machine's system as one that proved itself.
    private let isUp = Mutex(false)

    private func issuer(_ control: ControlPlane, _ store: any StateStore) async throws -> IdentityService {
        try await IdentityService(
            issuer: IssuerURL("https://rack.example:8443"), region: "south", store: store, sealing: SealingKey(SealingKey.random()),
            surroundings: IdentitySurroundings(
                question: { [self] id in
                    var machine = control.snapshot.machines[id]
                    guard isUp.withLock({ $0 }) else { return IdentityQuestion(machine: machine) }
                    machine?.state = .running
                    machine?.openOperation = nil
                    machine?.installed = Installation(
                        operation: OperationID(unchecked: "op-12345678"), generation: 1, image: "debian-12", digest: "sha256:abcd",
                        hostname: "web-1", diskSerial: nil, installedAt: control.now)
                    return IdentityQuestion(machine: machine)
                },
                record: { _, _, _, _, _ in }, now: { control.now }, logger: Logger(label: "test")))
    }

    @Test("a machine has its token and its document's signatures by its key, and only while the issuer's gate lets it")
    func identities() async throws {
        try await MetadataRack.with(issuer: issuer) { rack in
            let id = try rack.machine(2).id
            let key = try await rack.key(2)
            let client = try RawClient(from: "127.0.0.2", port: rack.port)
            let token = "/k/\(key)/hostler/v1/token?audience=https://vault.example"
            // An agent is no system of ours: it has no identity.
            #expect(client.get(token).status == 403)
            isUp.withLock { $0 = true }
            let answer = client.get(token)
            #expect(answer.status == 200)
            let given = try #require(try JSONSerialization.jsonObject(with: Data(answer.body.utf8)) as? [String: Any])
            let parts = try #require(given["token"] as? String).split(separator: ".")
            #expect(parts.count == 3 && given["audience"] as? String == "https://vault.example")
            let claims = try #require(parts.dropFirst().first).replacing("-", with: "+").replacing("_", with: "/")
            let padded = claims + String(repeating: "=", count: (4 - claims.count % 4) % 4)
            #expect(String(decoding: try #require(Data(base64Encoded: String(padded))), as: UTF8.self).contains(id.rawValue))

            let folder = "/k/\(key)/latest/dynamic/instance-identity"
            #expect(client.get(folder + "/document").status == 200)
            for name in ["signature", "pkcs7"] {
                let signed = client.get("\(folder)/\(name)")
                #expect(signed.status == 200 && Data(base64Encoded: signed.body, options: .ignoreUnknownCharacters)?.isEmpty == false)
            }
            // Another machine has none with that key, nor without one; and without an audience there is no token.
            let other = try RawClient(from: "127.0.0.3", port: rack.port)
            #expect(other.get(token).status != 200)
            #expect(other.get("/hostler/v1/token?audience=a").status != 200)
            #expect(client.get("/k/\(key)/hostler/v1/token").status == 400)
            isUp.withLock { $0 = false }
            #expect(client.get(token).status == 403)
        }
    }

    @Test("a machine that asks where proof is wanted has none without it, though the issuer's gate would let it")
    func unproved() async throws {
        isUp.withLock { $0 = true }
        try await MetadataRack.with(attested: true, issuer: issuer) { rack in
            let key = try await rack.key(2)
            let client = try RawClient(from: "127.0.0.2", port: rack.port)
            for path in ["hostler/v1/token?audience=a", "hostler/v1/ssh-host-certificates", "latest/dynamic/instance-identity/pkcs7"] {
                #expect(client.get("/k/\(key)/\(path)").status == 403, "\(path)")
            }
        }
    }

    @Test("where nothing issues identities there are none")
    func none() async throws {
        try await MetadataRack.with { rack in
            let key = try await rack.key(2)
            #expect(try RawClient(from: "127.0.0.2", port: rack.port).get("/k/\(key)/hostler/v1/token?audience=a").status == 404)
        }
    }
}
