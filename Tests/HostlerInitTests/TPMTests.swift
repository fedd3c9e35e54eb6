import Attestation
import Crypto
import Foundation
import Glibc
import Model
import TPM
import Testing

@testable import hostler_init

/// A swtpm of the test's own, on a socket in a folder of its own; gone with the value.
final class SimulatedTPM: TPMTransport {
    static let isInstalled = FileManager.default.isExecutableFile(atPath: "/usr/bin/swtpm")
    private let folder: String
    private let process = Process()
    private let fd: Int32

    struct Failure: Error {}

    init() throws {
        folder = "/tmp/hostler-tpm-\(UUID().uuidString.prefix(8))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        process.executableURL = URL(filePath: "/usr/bin/swtpm")
        process.arguments = [
            "socket", "--tpm2", "--tpmstate", "dir=\(folder)", "--server", "type=unixio,path=\(folder)/sock", "--flags",
            "not-need-init,startup-clear",
        ]
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        fd = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array("\(folder)/sock".utf8)) }
        // The socket appears when it listens; until then connecting fails at once.
        for _ in 0..<500 {
            let code = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(fd, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
            }
            if code == 0 { return }
            usleep(10_000)
        }
        throw Failure()
    }

    deinit {
        close(fd)
        // A child inherits that the test's threads take no SIGTERM.
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        try? FileManager.default.removeItem(atPath: folder)
    }

    func exchange(_ command: [UInt8]) throws -> [UInt8] {
        guard write(fd, command, command.count) == command.count else { throw Failure() }
        var response = [UInt8](repeating: 0, count: 4096)
        let count = read(fd, &response, response.count)
        guard count >= 10 else { throw Failure() }
        return Array(response.prefix(count))
    }

    /// TPM2_PCR_Extend of one SHA-256 register (Part 3 §22.2).
    func extend(_ register: UInt32, with digest: [UInt8]) throws {
        let command = TPMCommand(
            code: 0x182, handles: [register], authorizations: [.password], parameters: [0, 0, 0, 1, 0, 0x0b] + digest)
        _ = try TPMResponse(parsing: exchange(command.serialize()), hasHandle: false)
    }
}

@Suite("The agent and its machine's TPM", .enabled(if: SimulatedTPM.isInstalled)) struct TPMTests {
    private func keys(_ enrolment: TPMEnrolment) throws -> (endorsement: TPMPublicArea, attestation: TPMPublicArea) {
        (
            try TPMPublicArea(parsingSized: #require(enrolment.endorsementKey.bytes)),
            try TPMPublicArea(parsingSized: #require(enrolment.attestationKey.bytes))
        )
    }

    @Test("the agent opens our challenge and quotes; the verifier takes it, and names what differs later") func whole() throws {
        let tpm = try SimulatedTPM()
        let registers = Array(0...9) + [14]
        let nonce = Array(SHA256.hash(data: [1]))
        let secret = Array(SHA256.hash(data: [2]))
        func prove() throws -> (proof: TPMProof, key: TPMPublicArea) {
            var prover = try TPMProver(tpm)
            let (endorsement, attestation) = try keys(prover.enrolment)
            let challenge = try CredentialChallenge(secret: secret, for: #require(attestation.name), endorsement: endorsement)
            let proof = try prover.answer(
                TPMChallenge(
                    credentialBlob: Base64Bytes(challenge.credentialBlob), encryptedSecret: Base64Bytes(challenge.encryptedSecret),
                    nonce: Base64Bytes(nonce), registers: registers), log: nil)
            try prover.finish()
            return (proof, attestation)
        }
        func verify(_ proof: TPMProof, _ key: TPMPublicArea, _ policy: PCRPolicy?) throws -> QuoteVerdict {
            QuoteVerifier.verify(
                QuoteEvidence(attest: try #require(proof.attest.bytes), signature: try #require(proof.signature.bytes), bank: bank(proof)),
                key: key, nonce: nonce, policy: policy, registers: registers)
        }
        let (first, key) = try prove()
        #expect(first.secret.bytes == secret)
        #expect(first.registers.count == 11)
        guard case .attested(let facts) = try verify(first, key, nil) else {
            Issue.record("\(try verify(first, key, nil))")
            return
        }
        // The same keys come again from the same seed.
        let (second, again) = try prove()
        #expect(again == key && second.enrolment.endorsementKey == first.enrolment.endorsementKey)
        guard case .attested = try verify(second, again, PCRPolicy(bank: facts.bank)) else {
            Issue.record("the second boot")
            return
        }
        try tpm.extend(4, with: secret)
        let (third, _) = try prove()
        guard case .differs(let differences) = try verify(third, key, PCRPolicy(bank: facts.bank)) else {
            Issue.record("the third boot")
            return
        }
        #expect(differences.map(\.register) == [4])
    }

    private func bank(_ proof: TPMProof) -> PCRBank {
        PCRBank(
            hash: .sha256,
            values: Dictionary(uniqueKeysWithValues: proof.registers.map { (Int($0.key) ?? -1, Array(hex: $0.value)) }))
    }

    @Test("another TPM does not open the challenge, and nothing is left in either") func stranger() throws {
        let mine = try SimulatedTPM()
        let other = try SimulatedTPM()
        let prover = try TPMProver(mine)
        let (endorsement, attestation) = try keys(prover.enrolment)
        let challenge = try CredentialChallenge(secret: [1, 2, 3], for: #require(attestation.name), endorsement: endorsement)
        let message = TPMChallenge(
            credentialBlob: Base64Bytes(challenge.credentialBlob), encryptedSecret: Base64Bytes(challenge.encryptedSecret),
            nonce: Base64Bytes([UInt8](repeating: 1, count: 32)), registers: [0])
        // More often than a TPM has room for sessions.
        for _ in 0..<5 {
            var stranger = try TPMProver(other)
            #expect(throws: TPMRefusal.self) { try stranger.answer(message, log: nil) }
            try stranger.finish()
        }
    }

    @Test("the RSA endorsement key opens a challenge too, and an index that is not there is none") func rsa() throws {
        var client = TPMClient(try SimulatedTPM())
        #expect(try client.read(index: TPMTemplates.rsaCertificate) == nil)
        let endorsement = try client.createPrimary(TPMTemplates.rsaEndorsement)
        let attestation = try client.createPrimary(TPMTemplates.attestation)
        let name = try #require(TPMPublicArea(parsingSized: attestation.area).name)
        let challenge = try CredentialChallenge(secret: [7, 7, 7], for: name, endorsement: TPMPublicArea(parsingSized: endorsement.area))
        let opened = try client.activate(
            attestationKey: attestation.handle, endorsementKey: endorsement.handle, credentialBlob: challenge.credentialBlob,
            encryptedSecret: challenge.encryptedSecret, nonce: [UInt8](repeating: 3, count: 16))
        #expect(opened == [7, 7, 7])
    }

    @Test("a response cut off at any byte is refused") func truncated() throws {
        let tpm = try SimulatedTPM()
        let command = TPMCommand(code: 0x17e, parameters: PCRSelection(banks: [.init(hash: .sha256, registers: [0])]).serialize())
        let response = try tpm.exchange(command.serialize())
        _ = try TPMResponse(parsing: response, hasHandle: false)
        for count in 0..<response.count {
            #expect(throws: TPMFormatError.self) { try TPMResponse(parsing: Array(response.prefix(count)), hasHandle: false) }
        }
    }
}

extension [UInt8] {
    fileprivate init(hex text: String) {
        let digits = Array<UInt8>(text.utf8)
        self = stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(String(decoding: digits[$0...$0 + 1], as: UTF8.self), radix: 16) ?? 0 }
    }
}
