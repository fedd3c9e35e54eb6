internal import Crypto
internal import FoundationEssentials
internal import Model
internal import Store

/// 32 random bytes of the control plane's own, made at the first start.
struct StoredSecret {
    /// What nonces, sessions of agents and tokens of the metadata service are made with, and nothing else. Another one ends
    /// all of these at once.
    static let session = StoredSecret(key: "/secrets/session")
    /// What the markers on disks are tagged with. It outlives a restore: by them systems come back into a restored record.
    static let markers = StoredSecret(key: "/secrets/markers")
    /// Where versions before keys were random kept theirs, of which they derived the keys of installations too.
    static let formerKey = "/secrets/boot"
    private static let byteCount = 32

    let key: String

    /// The store's, made where there is none; `fresh`: made anew in any case.
    ///
    /// One that cannot be read is made anew and noted: without it nothing would boot. What was made with it counts no more.
    func open(in store: any StateStore, fresh: Bool = false, damaged: DamagedRecords = .init()) async throws -> [UInt8] {
        if fresh { return try await replace(in: store) }
        do {
            if let stored = try await store.get(key) { return try checked(stored.value) }
        } catch {
            switch error {
            case .sealed, .corrupt: break
            default: throw error
            }
            let secret = try await replace(in: store)
            damaged.note(key, try await store.currentRevision(), "\(error); another one was made")
            damaged.clear(key)
            return secret
        }
        let secret = Self.random()
        if try await store.commitUnlessConflict([.put(key: key, value: secret, if: .absent)]) != nil { return secret }
        guard let stored = try await store.get(key) else { throw StoreError.unavailable("the secret at \(key) vanished") }
        return try checked(stored.value)
    }

    private func replace(in store: any StateStore) async throws -> [UInt8] {
        let secret = Self.random()
        try await store.commit([.put(key: key, value: secret, if: .none)])
        return secret
    }

    static func check(_ stored: StoredValue) throws { _ = try StoredSecret(key: stored.key).checked(stored.value) }

    static func random() -> [UInt8] { SymmetricKey(size: .bits256).withUnsafeBytes { Array($0) } }

    private func checked(_ secret: [UInt8]) throws(StoreError) -> [UInt8] {
        guard secret.count == Self.byteCount else { throw .corrupt("the record at \(key) has \(secret.count) bytes, not \(Self.byteCount)") }
        return secret
    }
}
