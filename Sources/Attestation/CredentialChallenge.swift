internal import Crypto
internal import CryptoExtras
internal import FoundationEssentials
public import TPM
internal import Wire

/// Why something about a machine's TPM was refused.
public struct AttestationError: Error, Equatable, Sendable, CustomStringConvertible {
    public var description: String
    init(_ description: String) { self.description = description }
}

/// A secret that only the TPM with a given endorsement key can open, and only
/// where the attestation key of a given name is in that same TPM: the other
/// side of `TPM2_ActivateCredential` (Part 1 §24, Part 3 §12.6 `TPM2_MakeCredential`).
public struct CredentialChallenge: Sendable, Equatable {
    /// TPM2B_ID_OBJECT.
    public var credentialBlob: [UInt8]
    /// TPM2B_ENCRYPTED_SECRET.
    public var encryptedSecret: [UInt8]

    /// - Parameters:
    ///   - secret: at most the digest size of the endorsement key's name algorithm.
    ///   - name: of the attestation key.
    ///   - endorsement: a restricted decryption key, RSA-2048 or P-256/P-384.
    public init(secret: [UInt8], for name: [UInt8], endorsement: TPMPublicArea) throws(AttestationError) {
        let hash = endorsement.nameAlgorithm
        guard let digestBytes = hash.digestBytes, hash != .sha1, (1...digestBytes).contains(secret.count) else {
            throw AttestationError("no secret of \(secret.count) bytes for an endorsement key with \(hash)")
        }
        guard let symmetric = endorsement.symmetric, symmetric.algorithm == .aes, symmetric.mode == .cfb,
            [128, 256].contains(symmetric.keyBits), endorsement.attributes.isSuperset(of: [.restricted, .decrypt])
        else { throw AttestationError("that is no endorsement key: it does not protect credentials") }
        let seed: [UInt8]
        switch endorsement.key {
        case .rsa(_, let exponent, let modulus):
            (seed, encryptedSecret) = try Self.rsaSeed(hash, digestBytes, modulus, exponent == 0 ? 65_537 : exponent)
        case .ecc(let curve, let x, let y):
            (seed, encryptedSecret) = try Self.eccSeed(hash, digestBytes, curve, x, y)
        }
        credentialBlob = try Self.seal(secret, name, seed: seed, hash, digestBytes, keyBits: Int(symmetric.keyBits))
    }

    /// Part 1 §24.4: encrypted, then protected by an HMAC that also covers the name.
    private static func seal(
        _ secret: [UInt8], _ name: [UInt8], seed: [UInt8], _ hash: TPMAlgorithm, _ digestBytes: Int, keyBits: Int
    ) throws(AttestationError) -> [UInt8] {
        guard let storage = KeyDerivation.fromKey(hash, key: seed, label: "STORAGE", name, [], bits: keyBits),
            let integrity = KeyDerivation.fromKey(hash, key: seed, label: "INTEGRITY", [], [], bits: digestBytes * 8)
        else { throw AttestationError("\(hash) is no hash for credentials") }
        var inner = ByteWriter()
        inner.writeSized(secret)
        let encrypted: [UInt8]
        do {
            encrypted = Array(
                try AES._CFB.encrypt(inner.bytes, using: SymmetricKey(data: storage), iv: AES._CFB.IV(ivBytes: [UInt8](repeating: 0, count: 16))))
        } catch {
            throw AttestationError("AES-CFB: \(error)")
        }
        guard let outer = TPMHash.hmac(hash, key: integrity, encrypted + name) else {
            throw AttestationError("\(hash) is no hash for credentials")
        }
        var object = ByteWriter()
        object.writeSized(outer)
        object.write(encrypted)
        var sized = ByteWriter()
        sized.writeSized(object.bytes)
        return sized.bytes
    }

    /// Part 1 §B.10.4: the seed, encrypted with OAEP under the label “IDENTITY”.
    private static func rsaSeed(
        _ hash: TPMAlgorithm, _ digestBytes: Int, _ modulus: [UInt8], _ exponent: UInt32
    ) throws(AttestationError) -> (seed: [UInt8], secret: [UInt8]) {
        let seed = random(digestBytes)
        guard let rsa = RSAPublicOperation(modulus: modulus, exponent: exponent),
            let encoded = OAEP.encode(
                seed, label: Array("IDENTITY".utf8) + [0], hash: hash, seed: random(digestBytes), byteCount: rsa.byteCount),
            let encrypted = rsa.apply(encoded)
        else { throw AttestationError("the endorsement key is no RSA key of 2048 to 4096 bits") }
        var writer = ByteWriter()
        writer.writeSized(encrypted)
        return (seed, writer.bytes)
    }

    /// Part 1 §C.6.4: the seed, agreed upon by ECDH with a key made for this once.
    private static func eccSeed(
        _ hash: TPMAlgorithm, _ digestBytes: Int, _ curve: UInt16, _ x: [UInt8], _ y: [UInt8]
    ) throws(AttestationError) -> (seed: [UInt8], secret: [UInt8]) {
        let z: [UInt8]
        let mine: [UInt8]
        let size = curve == 3 ? 32 : 48
        do {
            switch curve {
            case 3:
                let key = P256.KeyAgreement.PrivateKey()
                let theirs = try P256.KeyAgreement.PublicKey(rawRepresentation: padded(x, size) + padded(y, size))
                z = try key.sharedSecretFromKeyAgreement(with: theirs).withUnsafeBytes { Array($0) }
                mine = Array(key.publicKey.rawRepresentation)
            case 4:
                let key = P384.KeyAgreement.PrivateKey()
                let theirs = try P384.KeyAgreement.PublicKey(rawRepresentation: padded(x, size) + padded(y, size))
                z = try key.sharedSecretFromKeyAgreement(with: theirs).withUnsafeBytes { Array($0) }
                mine = Array(key.publicKey.rawRepresentation)
            default: throw AttestationError("curve \(curve) is not known")
            }
        } catch let error as AttestationError {
            throw error
        } catch {
            throw AttestationError("the endorsement key is no point of its curve")
        }
        let mineX = Array(mine.prefix(size))
        guard
            let seed = KeyDerivation.fromExchange(
                hash, z: z, label: "IDENTITY", partyU: mineX, partyV: padded(x, size), bits: digestBytes * 8)
        else { throw AttestationError("\(hash) is no hash for credentials") }
        var point = ByteWriter()
        point.writeSized(mineX)
        point.writeSized(Array(mine.suffix(size)))
        var writer = ByteWriter()
        writer.writeSized(point.bytes)
        return (seed, writer.bytes)
    }

    /// Some TPMs leave leading zeros away.
    private static func padded(_ number: [UInt8], _ count: Int) -> [UInt8] {
        [UInt8](repeating: 0, count: max(0, count - number.count)) + number
    }

    private static func random(_ count: Int) -> [UInt8] {
        SymmetricKey(size: .init(bitCount: count * 8)).withUnsafeBytes { Array($0) }
    }
}
