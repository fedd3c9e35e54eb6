import Crypto
import CryptoExtras
import Foundation
import Model
import TPM
import Wire

@testable import Attestation
@testable import Control

/// A TPM in a few lines: an endorsement key that opens challenges, an attestation key that signs quotes.
/// (The real ones, swtpm's, are asked in HostlerInitTests and scripts/attestation-judges.sh.)
struct PlayedTPM {
    private let endorsement = P256.KeyAgreement.PrivateKey()
    private let attestation = P256.Signing.PrivateKey()
    var registers: [Int: [UInt8]] = Dictionary(uniqueKeysWithValues: (Array(0...9) + [14]).map { ($0, [UInt8](repeating: 0, count: 32)) })

    private var endorsementArea: TPMPublicArea {
        let point = Array(endorsement.publicKey.rawRepresentation)
        var area = TPMTemplates.eccEndorsement
        area.key = .ecc(curve: 3, x: Array(point.prefix(32)), y: Array(point.suffix(32)))
        return area
    }

    private var attestationArea: TPMPublicArea {
        let point = Array(attestation.publicKey.rawRepresentation)
        var area = TPMTemplates.attestation
        area.key = .ecc(curve: 3, x: Array(point.prefix(32)), y: Array(point.suffix(32)))
        return area
    }

    var enrolment: TPMEnrolment {
        TPMEnrolment(
            endorsementKey: Base64Bytes(of: endorsementArea.serializeSized()),
            attestationKey: Base64Bytes(of: attestationArea.serializeSized()), endorsementCertificate: nil)
    }

    /// TPM2_ActivateCredential (Part 1 §24), for ``CredentialChallenge`` with a P-256 endorsement key.
    func open(_ challenge: TPMChallenge) throws -> [UInt8] {
        let point = (challenge.encryptedSecret.decoded ?? []).dropFirst(2)
        let x = Array(point.dropFirst(2).prefix(32))
        let theirs = try P256.KeyAgreement.PublicKey(rawRepresentation: x + Array(point.suffix(32)))
        let z = try endorsement.sharedSecretFromKeyAgreement(with: theirs).withUnsafeBytes { Array($0) }
        let mine = Array(endorsement.publicKey.rawRepresentation.prefix(32))
        let seed = KeyDerivation.fromExchange(.sha256, z: z, label: "IDENTITY", partyU: x, partyV: mine, bits: 256) ?? []
        let key = KeyDerivation.fromKey(.sha256, key: seed, label: "STORAGE", attestationArea.name ?? [], [], bits: 128) ?? []
        let encrypted = (challenge.credentialBlob.decoded ?? []).dropFirst(4 + 32)
        let plain = try AES._CFB.decrypt(
            Array(encrypted), using: SymmetricKey(data: key), iv: AES._CFB.IV(ivBytes: [UInt8](repeating: 0, count: 16)))
        return Array(plain.dropFirst(2))
    }

    func proof(_ challenge: TPMChallenge, secret: [UInt8]? = nil, nonce: [UInt8]? = nil) throws -> TPMProof {
        let values = challenge.registers.flatMap { registers[$0] ?? [] }
        let quote = TPMQuote.made(
            nonce: nonce ?? challenge.nonce.decoded ?? [], registers: challenge.registers, digest: Array(SHA256.hash(data: values)))
        let signature = Array(try attestation.signature(for: SHA256.hash(data: quote)).rawRepresentation)
        return TPMProof(
            enrolment: enrolment, secret: Base64Bytes(of: try secret ?? open(challenge)), attest: Base64Bytes(of: quote),
            signature: Base64Bytes(of: TPMSignature.ecdsa(hash: .sha256, r: Array(signature.prefix(32)), s: Array(signature.suffix(32))).serialize()),
            registers: Dictionary(uniqueKeysWithValues: registers.map { (String($0.key), Hex.encode($0.value)) }), log: nil)
    }
}

extension TPMQuote {
    /// TPMS_ATTEST (Part 2 §10.12.8) as a TPM would write it.
    static func made(nonce: [UInt8], registers: [Int], digest: [UInt8]) -> [UInt8] {
        var writer = ByteWriter()
        writer.write(UInt32(0xff54_4347))
        writer.write(UInt16(0x8018))
        writer.writeSized([])
        writer.writeSized(nonce)
        writer.writeZeros(8)
        writer.write(UInt32(7))
        writer.write(UInt32(0))
        writer.write(UInt8(1))
        writer.writeZeros(8)
        writer.write(PCRSelection(banks: [.init(hash: .sha256, registers: registers)]).serialize())
        writer.writeSized(digest)
        return writer.bytes
    }
}
