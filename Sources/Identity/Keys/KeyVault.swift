internal import FoundationEssentials
internal import Model
internal import Store

/// A named set of sealed private keys in the store, changed by compare-and-swap,
/// so that any number of servers on one store keep the same keys.
struct KeyVault: Sendable {
    struct Entry: Codable, Sendable {
        var id: String
        var createdAt: Timestamp
        /// AES-GCM: nonce, ciphertext, tag.
        var sealed: Base64Bytes
    }

    /// One key as it is used.
    struct Key: Sendable {
        var id: String
        var createdAt: Timestamp
        /// DER or raw bytes, as the purpose has it.
        var secret: [UInt8]
    }

    /// What is in the store, and the revision that a change builds on.
    struct Content: Sendable {
        var keys: [Key]
        var revision: Revision?
    }

    let store: any StateStore
    let sealing: SealingKey
    let purpose: String

    private var key: String { "/secrets/identity/" + purpose }

    func load() async throws -> Content {
        guard let stored = try await store.get(key) else { return Content(keys: [], revision: nil) }
        let entries: [Entry]
        do {
            entries = try JSONDecoder().decode([Entry].self, from: Data(stored.value))
        } catch {
            store.damaged?.note(key, stored.modifiedRevision, "\(error)")
            throw StoreError.corrupt("the record at \(key) cannot be read: \(error)")
        }
        let keys = try entries.map { entry in
            let sealed = Data(base64Encoded: entry.sealed.text).map { Array($0) } ?? []
            return Key(id: entry.id, createdAt: entry.createdAt, secret: try open(sealed))
        }
        return Content(keys: keys, revision: stored.modifiedRevision)
    }

    private func open(_ sealed: [UInt8]) throws(Problem) -> [UInt8] {
        do {
            return try sealing.open(sealed, for: purpose)
        } catch {
            throw Problem(
                "keys-sealed", status: 503, title: "The stored \(purpose) keys do not open with this server's identity.key",
                detail: "The store came from another server, or identity.key was replaced.",
                remedy: "Put the old identity.key into the state folder, or start once with --new-identity: all keys are then made anew.")
        }
    }

    /// Replaces what `revision` was read of; false where somebody else was quicker.
    func replace(_ keys: [Key], at revision: Revision?) async throws -> Bool {
        let entries = try keys.map { key in
            Entry(
                id: key.id, createdAt: key.createdAt,
                sealed: Base64Bytes(base64: Data(try sealing.seal(key.secret, for: purpose)).base64EncodedString()))
        }
        let encoder = JSONEncoder()
        encoder.userInfo[.timestampsAsMilliseconds] = true
        let value = Array(try encoder.encode(entries))
        do {
            try await store.commit([.put(key: key, value: value, if: revision.map { .revision($0) } ?? .absent)])
            return true
        } catch let error {
            if case .conflict = error { return false }
            throw error
        }
    }

    /// Forgets all keys, readable or not: what follows is as a first start.
    func clear() async throws { try await store.commit([.delete(key: key, if: .none)]) }

    /// The one key of a purpose that has one: the stored, or the one that `make` makes.
    func only(now: Timestamp, make: () throws -> (id: String, secret: [UInt8])) async throws -> Key {
        while true {
            let content = try await load()
            if let key = content.keys.first { return key }
            let made = try make()
            let key = Key(id: made.id, createdAt: now, secret: made.secret)
            if try await replace([key], at: nil) { return key }
        }
    }
}
