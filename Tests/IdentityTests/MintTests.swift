import Foundation
import Model
import Store
import Testing

@testable import Identity

@Suite("Minting tokens") struct MintTests {
    @Test("a token names the machine, what runs on it, and whom it is for, and is over in ten minutes")
    func claims() async throws {
        let rig = try Rig()
        let service = try await rig.service()
        let made = try await service.mint(machine: Rig.machine, audience: "https://vault.example")
        let claims = try payload(made.token)
        #expect(claims["iss"] as? String == "https://rack.example:8443")
        #expect(claims["sub"] as? String == "project:red:machine:m-7f3k2q")
        #expect(claims["aud"] as? String == "https://vault.example")
        #expect(claims["iat"] as? Int == 1_800_000_000 && claims["nbf"] as? Int == 1_800_000_000)
        #expect(claims["exp"] as? Int == 1_800_000_600)
        #expect(made.expiresAt == Timestamp(milliseconds: 1_800_000_600_000))
        #expect((claims["jti"] as? String)?.count == 32)
        let ours = claims["hostler"] as? [String: String]
        #expect(
            ours == [
                "machine": "m-7f3k2q", "name": "web-1", "image": "debian-12", "image_digest": "sha256:abcd",
                "installation": "op-12345678", "project": "red", "region": "north", "attestation": "none",
            ])
        let head = try header(made.token)
        #expect(head["alg"] as? String == "RS256")
        #expect(await service.publishedKeys.keys.map(\.kid) == [head["kid"] as? String ?? ""])
    }

    @Test("a token does not outlive the lease") func lease() async throws {
        let rig = try Rig()
        rig.question.withLock { $0.lease = LeaseTerm(id: "l-1", endsAt: rig.now + .seconds(30)) }
        let service = try await rig.service()
        let made = try await service.mint(machine: Rig.machine, audience: "a")
        #expect(made.expiresAt == rig.now + .seconds(30))
        rig.pass(.seconds(30))
        await #expect { _ = try await service.mint(machine: Rig.machine, audience: "a") } throws: { code($0) == "identity-refused" }
    }

    @Test("a project's name cannot pose as another part of the subject") func subject() async throws {
        let rig = try Rig()
        rig.question.withLock { $0.machine?.desired.labels["project"] = "red:machine:m-0000 é" }
        let made = try await rig.service().mint(machine: Rig.machine, audience: "a")
        #expect(try payload(made.token)["sub"] as? String == "project:red%3Amachine%3Am-0000%20%C3%A9:machine:m-7f3k2q")
    }

    @Test("what is no audience or no lifetime is refused", arguments: ["", "a b", "é", "a\n", String(repeating: "a", count: 256)])
    func audiences(_ text: String) async throws {
        let service = try await Rig().service()
        await #expect { _ = try await service.mint(machine: Rig.machine, audience: text) } throws: { code($0) == "audience-invalid" }
        for seconds in [0, 59, 3601, -1] {
            await #expect {
                _ = try await service.mint(machine: Rig.machine, audience: "a", lifetime: .seconds(seconds))
            } throws: { code($0) == "lifetime-invalid" }
        }
    }

    @Test("asking too often is refused, and told once; time brings new tokens") func rate() async throws {
        let rig = try Rig()
        let service = try await rig.service()
        for _ in 0..<MintBudget.burst { _ = try await service.mint(machine: Rig.machine, audience: "a") }
        for _ in 0..<5 {
            await #expect { _ = try await service.mint(machine: Rig.machine, audience: "a") } throws: { code($0) == "identity-rate" }
        }
        rig.pass(MintBudget.interval)
        _ = try await service.mint(machine: Rig.machine, audience: "a")
        await #expect { _ = try await service.mint(machine: Rig.machine, audience: "a") } throws: { code($0) == "identity-rate" }
        #expect(rig.events.withLock { $0.map(\.kind) } == ["identity.issued", "identity.limited"])
        rig.pass(.seconds(3600))
        _ = try await service.mint(machine: Rig.machine, audience: "a")
        #expect(rig.events.withLock { $0.last?.message } == "token for a (21 times since it was last told)")
    }

    @Test("a machine that nobody knows is refused and fills no log") func stranger() async throws {
        let rig = try Rig()
        let service = try await rig.service()
        for _ in 0..<3 {
            await #expect {
                _ = try await service.mint(machine: MachineID(unchecked: "m-0000"), audience: "a")
            } throws: { code($0) == "identity-refused" }
        }
        #expect(rig.events.withLock { $0.isEmpty })
    }

    @Test("another start has the same keys; another sealing key opens none; a theft replaces them") func keys() async throws {
        let rig = try Rig()
        let first = try await rig.service()
        let kids = await first.publishedKeys
        let again = try await rig.service()
        #expect(await again.publishedKeys == kids)
        #expect(again.documentCertificatePEM == first.documentCertificatePEM)

        let stored = try await rig.store.list(prefix: "/secrets/identity/", after: nil, limit: 10).values
        #expect(stored.map(\.key) == ["document", "oidc", "ssh-host", "ssh-user"].map { "/secrets/identity/\($0)" })
        for value in stored { #expect(!String(decoding: value.value, as: UTF8.self).contains("-----BEGIN"), "no key rests as it is") }

        try await first.replaceKeys(by: "test")
        let fresh = await first.publishedKeys
        #expect(fresh.keys.count == 1 && fresh != kids)
        let made = try await first.mint(machine: Rig.machine, audience: "a")
        #expect(try header(made.token)["kid"] as? String == fresh.keys.first?.kid)
    }

    @Test("with another server's identity.key the service says what is wrong") func wrongKey() async throws {
        let rig = try Rig()
        _ = try await rig.service()
        await #expect {
            _ = try await IdentityService(
                issuer: IssuerURL("https://a.example"), region: nil, store: rig.store, sealing: SealingKey(SealingKey.random()),
                surroundings: IdentitySurroundings(
                    question: { _ in IdentityQuestion(machine: nil) }, record: { _, _, _, _, _ in }, now: { rig.now },
                    logger: .init(label: "test")))
        } throws: { code($0) == "keys-sealed" }
    }

    @Test(
        "issuers are https URLs without a slash at the end",
        arguments: [
            ("https://rack.example/", "https://rack.example"), ("https://rack.example:8443/x", "https://rack.example:8443/x"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"), ("ftp://a", nil), ("https://", nil), ("https:///x", nil),
            ("https://a?b", nil), ("https://a b", nil), ("rack", nil), ("", nil), ("h", nil),
        ])
    func issuers(_ text: String, _ wanted: String?) {
        #expect((try? IssuerURL(text))?.text == wanted)
    }
}

func code(_ error: any Error) -> String? { (error as? Problem)?.code }
