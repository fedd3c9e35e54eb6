import Crypto
import CryptoExtras
import Foundation
import TPM
import Testing

@testable import Attestation

@Suite("Verifying quotes") struct VerifierTests {
    let all = Array(0..<8)

    private func verify(
        _ evidence: QuoteEvidence, key: TPMPublicArea? = nil, nonce: [UInt8] = CapturedQuote.nonce, policy: PCRPolicy? = nil
    ) throws -> QuoteVerdict {
        QuoteVerifier.verify(evidence, key: try key ?? CapturedQuote.area(), nonce: nonce, policy: policy, registers: all)
    }

    private func reason(_ verdict: QuoteVerdict) -> String {
        switch verdict {
        case .attested: "attested"
        case .refused(let why): why
        case .differs(let differences): differences.map(\.description).joined(separator: "; ")
        }
    }

    @Test("a real TPM's quote is taken on trust at first, and fits the policy that is made of it") func trust() throws {
        guard case .attested(let facts) = try verify(CapturedQuote.evidence) else {
            Issue.record("refused")
            return
        }
        #expect(facts.bank == CapturedQuote.bank)
        let again = try verify(CapturedQuote.evidence, policy: PCRPolicy(bank: facts.bank, log: facts.log))
        #expect(reason(again) == "attested")
    }

    @Test("the event log leads to the registers that were quoted") func replay() throws {
        let bank = try #require(PCRBank(replaying: EventLog(parsing: CapturedQuote.log), hash: .sha256))
        for register in all { #expect(bank.values[register] == CapturedQuote.bank.values[register]) }
        #expect(bank.values[17] == [UInt8](repeating: 0xff, count: 32))
        #expect(try PCRBank(replaying: EventLog(parsing: CapturedQuote.log), hash: .sha384) == nil)
    }

    @Test("one changed bit anywhere in quote, signature or key is refused") func tampered() throws {
        for index in CapturedQuote.attest.indices {
            var evidence = CapturedQuote.evidence
            evidence.attest[index] ^= 1
            guard case .refused = try verify(evidence) else {
                Issue.record("byte \(index) of the quote")
                continue
            }
        }
        for index in CapturedQuote.signature.indices {
            var evidence = CapturedQuote.evidence
            evidence.signature[index] ^= 1
            guard case .refused = try verify(evidence) else {
                Issue.record("byte \(index) of the signature")
                continue
            }
        }
    }

    @Test("an old nonce, a short one, and none are refused") func nonces() throws {
        for nonce in [[], [UInt8](repeating: 1, count: 32), Array(CapturedQuote.nonce.prefix(15))] {
            #expect(reason(try verify(CapturedQuote.evidence, nonce: nonce)).contains("nonce"))
        }
    }

    @Test(
        "a key that is not bound to its TPM, or that also decrypts or signs anything, attests nothing",
        arguments: [
            TPMPublicArea.Attributes.fixedTPM, .fixedParent, .sensitiveDataOrigin, .restricted, .sign,
        ])
    func keys(_ missing: TPMPublicArea.Attributes) throws {
        var key = try CapturedQuote.area()
        key.attributes.remove(missing)
        #expect(reason(try verify(CapturedQuote.evidence, key: key)).contains("no attestation key"))
        key = try CapturedQuote.area()
        key.attributes.insert(.decrypt)
        #expect(reason(try verify(CapturedQuote.evidence, key: key)).contains("no attestation key"))
    }

    @Test("register values that were not signed, too few of them, or of another bank are refused") func values() throws {
        var evidence = CapturedQuote.evidence
        evidence.bank.values[4]?[0] ^= 1
        #expect(reason(try verify(evidence)) == "the register values are not those that the TPM signed")
        evidence = CapturedQuote.evidence
        evidence.bank.values[7] = nil
        #expect(reason(try verify(evidence)).contains("other registers"))
        let policy = PCRPolicy(bank: PCRBank(hash: .sha256, values: [14: [UInt8](repeating: 0, count: 32)]))
        #expect(reason(try verify(CapturedQuote.evidence, policy: policy)) == "PCR 14 is not in the quote")
        let other = PCRPolicy(bank: PCRBank(hash: .sha384, values: [0: [UInt8](repeating: 0, count: 48)]))
        #expect(reason(try verify(CapturedQuote.evidence, policy: other)).contains("the policy is for sha384"))
    }

    @Test("a machine that booted something else is told by the register and the measurement that changed") func differs() throws {
        let now = try EventLog(parsing: CapturedQuote.log)
        // The policy's boot had another kernel: its last measurement differs.
        var bytes = CapturedQuote.log
        let digest = now.events[10].digests[.sha256] ?? []
        let place = try #require((0..<bytes.count).last { Array(bytes[$0...].prefix(32)) == digest })
        bytes[place] ^= 1
        let before = try EventLog(parsing: bytes)
        var bank = try #require(PCRBank(replaying: before, hash: .sha256))
        bank.values = bank.values.filter { $0.key < 8 }
        let verdict = try verify(CapturedQuote.evidence, policy: PCRPolicy(bank: bank, log: before))
        guard case .differs(let differences) = verdict else {
            Issue.record("got \(verdict)")
            return
        }
        #expect(differences.map(\.register) == [4])
        #expect(differences.first?.why == "measurement 3 changed: UEFI boot program")
    }

    @Test("RSA quotes are verified in both schemes", arguments: [false, true]) func rsa(_ isPSS: Bool) throws {
        let secret = try _RSA.Signing.PrivateKey(keySize: .bits2048)
        let key = TPMPublicArea(
            nameAlgorithm: .sha256, attributes: try CapturedQuote.area().attributes, authPolicy: [], symmetric: nil,
            scheme: .init(algorithm: isPSS ? .rsaPSS : .rsaSSA, hash: .sha256),
            key: .rsa(keyBits: 2048, exponent: 0, modulus: Array(try secret.publicKey.getKeyPrimitives().modulus)))
        var evidence = CapturedQuote.evidence
        let bytes = Array(
            try secret.signature(
                for: SHA256.hash(data: evidence.attest), padding: isPSS ? .PSS : .insecurePKCS1v1_5
            ).rawRepresentation)
        evidence.signature = (isPSS ? TPMSignature.rsaPSS(hash: .sha256, signature: bytes) : .rsaSSA(hash: .sha256, signature: bytes)).serialize()
        #expect(reason(try verify(evidence, key: key)) == "attested")
        evidence.signature = (isPSS ? TPMSignature.rsaSSA(hash: .sha256, signature: bytes) : .rsaPSS(hash: .sha256, signature: bytes)).serialize()
        #expect(reason(try verify(evidence, key: key)).contains("not signed"))
    }
}

@Suite("Challenges to a TPM") struct ChallengeTests {
    @Test("the bare RSA operation undoes a signature, as the crypto library made it") func publicOperation() throws {
        for size in [_RSA.Signing.KeySize.bits2048, .bits3072] {
            let key = try _RSA.Signing.PrivateKey(keySize: size)
            let numbers = try key.publicKey.getKeyPrimitives()
            let rsa = try #require(RSAPublicOperation(modulus: Array(numbers.modulus), exponent: 65_537))
            let signature = try key.signature(for: SHA256.hash(data: [1, 2, 3]), padding: .insecurePKCS1v1_5)
            let message = try #require(rsa.apply(Array(signature.rawRepresentation)))
            // EMSA-PKCS1-v1_5 (RFC 8017 §9.2).
            #expect(message.starts(with: [0, 1, 0xff]) && Array(message.suffix(32)) == Array(SHA256.hash(data: [1, 2, 3])))
            #expect(rsa.apply(Array(numbers.modulus)) == nil)
        }
        #expect(RSAPublicOperation(modulus: [UInt8](repeating: 0xff, count: 128), exponent: 65_537) == nil)
    }

    @Test("OAEP without a label is what the crypto library decrypts") func oaep() throws {
        let key = try _RSA.Encryption.PrivateKey(keySize: .bits2048)
        let numbers = try _RSA.Signing.PublicKey(derRepresentation: key.publicKey.derRepresentation).getKeyPrimitives()
        let rsa = try #require(RSAPublicOperation(modulus: Array(numbers.modulus), exponent: 65_537))
        let seed = [UInt8](repeating: 7, count: 32)
        let encoded = try #require(OAEP.encode([1, 2, 3], label: [], hash: .sha256, seed: seed, byteCount: 256))
        let encrypted = try #require(rsa.apply(encoded))
        #expect(Array(try key.decrypt(encrypted, padding: .PKCS1_OAEP_SHA256)) == [1, 2, 3])
        #expect(OAEP.encode([UInt8](repeating: 1, count: 191), label: [], hash: .sha256, seed: seed, byteCount: 256) == nil)
    }

    @Test("no challenge is made for a key that protects no credentials, or a secret that does not fit") func refused() throws {
        let signing = try CapturedQuote.area()
        #expect(throws: AttestationError.self) { try CredentialChallenge(secret: [1], for: [0, 11], endorsement: signing) }
        var endorsement = signing
        endorsement.attributes = [.restricted, .decrypt, .fixedTPM, .fixedParent]
        endorsement.symmetric = .init(algorithm: .aes, keyBits: 128, mode: .cfb)
        _ = try CredentialChallenge(secret: [UInt8](repeating: 1, count: 32), for: [0, 11], endorsement: endorsement)
        for secret in [[], [UInt8](repeating: 1, count: 33)] {
            #expect(throws: AttestationError.self) { try CredentialChallenge(secret: secret, for: [0, 11], endorsement: endorsement) }
        }
        endorsement.key = .ecc(curve: 3, x: [UInt8](repeating: 1, count: 32), y: [UInt8](repeating: 1, count: 32))
        #expect(throws: AttestationError.self) { try CredentialChallenge(secret: [1], for: [0, 11], endorsement: endorsement) }
    }
}
