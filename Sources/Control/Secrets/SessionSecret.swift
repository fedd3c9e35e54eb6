internal import Crypto
internal import FoundationEssentials
internal import Model
internal import Store

/// What nonces, sessions of agents and tokens of the metadata service are made with: 32 random bytes. Another one ends
/// all of these at once.
enum SessionSecret {
    static let key = "/secrets/session"
    /// Where versions before keys were random kept theirs, of which they derived the keys of installations too.
    static let formerKey = "/secrets/boot"
    private static let byteCount = 32

    /// The store's, made where there is none; `fresh`: made anew in any case.
    static func open(in store: any StateStore, fresh: Bool) async throws -> [UInt8] {
        if fresh {
            let secret = random()
            try await store.commit([.put(key: key, value: secret, if: .none)])
            return secret
        }
        if let stored = try await store.get(key) { return try checked(stored.value) }
        let secret = random()
        if try await store.commitUnlessConflict([.put(key: key, value: secret, if: .absent)]) != nil { return secret }
        guard let stored = try await store.get(key) else { throw StoreError.unavailable("the session secret vanished") }
        return try checked(stored.value)
    }

    static func random() -> [UInt8] { SymmetricKey(size: .bits256).withUnsafeBytes { Array($0) } }

    private static func checked(_ secret: [UInt8]) throws(StoreError) -> [UInt8] {
        guard secret.count == byteCount else { throw .corrupt("the record at \(key) has \(secret.count) bytes, not \(byteCount)") }
        return secret
    }
}
