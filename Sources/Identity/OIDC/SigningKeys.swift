internal import Crypto
internal import CryptoExtras
internal import FoundationEssentials
internal import JWTKit
internal import Model

/// The issuer's signing keys: RSA-2048 for RS256, the one algorithm that
/// OpenID Connect Core §15.1 makes every relying party know.
actor SigningKeys {
    private struct Loaded {
        var key: KeyVault.Key
        var published: PublishedKeys.Key
        var collection: JWTKeyCollection
    }

    private let vault: KeyVault
    private let schedule: KeySchedule
    private var ring = KeyRing()
    private var loaded: [String: Loaded] = [:]

    init(vault: KeyVault, schedule: KeySchedule) {
        self.vault = vault
        self.schedule = schedule
    }

    /// Does what the ring says is due: makes and drops keys. Returns until when nothing is.
    func keep(now: Timestamp) async throws -> Timestamp {
        while true {
            let content = try await vault.load()
            try await take(content.keys)
            var keys = content.keys
            switch ring.action(at: now, schedule) {
            case .rest(let until): return until
            case .make:
                let key = try _RSA.Signing.PrivateKey(keySize: .bits2048)
                let id = try Self.publish(key.publicKey).kid
                ring.add(id, at: now)
                guard let entry = ring.entries.last else { continue }
                keys.append(KeyVault.Key(id: id, createdAt: entry.createdAt, secret: Array(key.derRepresentation)))
            case .drop(let id): keys.removeAll { $0.id == id }
            }
            // Where another server was quicker, what it did is read in the next round.
            _ = try await vault.replace(keys, at: content.revision)
        }
    }

    /// Forgets every key at once: all tokens that are out stop being valid.
    func replaceAll(now: Timestamp) async throws {
        try await vault.clear()
        _ = try await keep(now: now)
    }

    var published: PublishedKeys { PublishedKeys(keys: ring.entries.compactMap { loaded[$0.id]?.published }) }

    /// The token, signed with the key whose turn it is.
    func sign(_ claims: MachineClaims, now: Timestamp) async throws -> String {
        guard let entry = ring.signer(at: now, schedule), let key = loaded[entry.id] else {
            throw Problem("identity-starting", status: 503, title: "The issuer has no key yet", remedy: "Ask again in a second.")
        }
        return try await key.collection.sign(claims, kid: JWKIdentifier(string: entry.id))
    }

    private func take(_ keys: [KeyVault.Key]) async throws {
        var fresh = KeyRing()
        var known: [String: Loaded] = [:]
        for key in keys {
            fresh.add(key.id, at: key.createdAt)
            known[key.id] = if let old = loaded[key.id] { old } else { try await Self.load(key) }
        }
        ring = fresh
        loaded = known
    }

    private static func load(_ key: KeyVault.Key) async throws -> Loaded {
        let secret = try _RSA.Signing.PrivateKey(derRepresentation: key.secret)
        let collection = JWTKeyCollection()
        await collection.add(
            rsa: try Insecure.RSA.PrivateKey(backing: secret), digestAlgorithm: .sha256, kid: JWKIdentifier(string: key.id))
        return Loaded(key: key, published: try publish(secret.publicKey), collection: collection)
    }

    /// The key id is the key's thumbprint (RFC 7638 §3).
    private static func publish(_ key: _RSA.Signing.PublicKey) throws -> PublishedKeys.Key {
        let numbers = try key.getKeyPrimitives()
        let n = base64URL(numbers.modulus)
        let e = base64URL(numbers.publicExponent)
        let thumbprint = SHA256.hash(data: Array(#"{"e":"\#(e)","kty":"RSA","n":"\#(n)"}"#.utf8))
        return PublishedKeys.Key(kty: "RSA", use: "sig", alg: "RS256", kid: base64URL(thumbprint), n: n, e: e)
    }

    /// Without padding (RFC 7515 §2).
    private static func base64URL(_ bytes: some Sequence<UInt8>) -> String {
        Data(bytes).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }
}
