public import Logging
public import Model

/// A ``StateStore`` whose secrets rest sealed in another one: each with its own key bound to it, so that none can be put
/// in another's place. Who reads and writes through it sees them as they are.
public final class SealedStore: StateStore {
    private let base: any StateStore
    private let key: SealingKey
    private let found = DamagedRecords()
    public var damaged: DamagedRecords? { found }

    /// Of a store in which no unsealed secret is.
    public init(_ base: any StateStore, key: SealingKey) {
        self.base = base
        self.key = key
    }

    public func get(_ key: String) async throws(StoreError) -> StoredValue? {
        guard let stored = try await base.get(key) else { return nil }
        return try opened(stored)
    }

    public func list(prefix: String, after: String?, limit: Int) async throws(StoreError) -> Listing {
        var listing = try await base.list(prefix: prefix, after: after, limit: limit)
        // One that does not open must not hide the others; it is noted.
        listing.values = listing.values.compactMap { try? opened($0) }
        return listing
    }

    @discardableResult
    public func commit(_ mutations: [Mutation]) async throws(StoreError) -> Revision {
        var sealed = mutations
        for (index, mutation) in mutations.enumerated() {
            guard case .put(let name, let value, let precondition) = mutation, SecretKeys.contains(name) else { continue }
            guard value.count <= StoreLimits.valueBytes - SealedValue.overheadBytes else {
                throw .valueTooLarge(key: name, bytes: value.count, limit: StoreLimits.valueBytes - SealedValue.overheadBytes)
            }
            sealed[index] = .put(key: name, value: try SealedValue.seal(value, at: name, with: key), if: precondition)
        }
        return try await base.commit(sealed)
    }

    public func watch(prefix: String, after: Revision) async throws(StoreError) -> AsyncThrowingStream<WatchBatch, any Error> {
        // No watch shows a secret.
        try await base.watch(prefix: prefix, after: after)
    }

    public func watch(
        prefix: String, after: Revision, buffer: WatchBuffer
    ) async throws(StoreError) -> AsyncThrowingStream<WatchBatch, any Error> {
        try await base.watch(prefix: prefix, after: after, buffer: buffer)
    }

    public func currentRevision() async throws(StoreError) -> Revision { try await base.currentRevision() }
    public func compact(before: Revision) async throws(StoreError) { try await base.compact(before: before) }
    public func close() async throws(StoreError) { try await base.close() }

    private func opened(_ stored: StoredValue) throws(StoreError) -> StoredValue {
        guard SecretKeys.contains(stored.key) else { return stored }
        var opened = stored
        do {
            opened.value = try SealedValue.open(stored.value, at: stored.key, with: key)
        } catch {
            found.note(stored.key, stored.modifiedRevision, error.description)
            throw error
        }
        found.clear(stored.key)
        return opened
    }
}

extension SealedStore {
    /// A page of secrets while they are looked through: few, since each may be as large as a value can be.
    private static let pageLimit = 20

    /// Opens the secrets of `base` with the key in `file`, which is made where nothing was sealed yet.
    ///
    /// What a version before secrets were sealed wrote is sealed now, and its readable remains are overwritten. A kill in
    /// between costs nothing: the next opening does the rest.
    public static func open(_ base: SQLiteStore, keyFile file: KeyFile, logger: Logger) async throws -> SealedStore {
        let isErased = try await base.isErased()
        let found = try file.sealingKey()
        var unsealed: [StoredValue] = []
        var foreign: [StoredValue] = []
        var hasOwn = false
        try await forEachPage(of: base) { secrets in
            for stored in secrets {
                guard SealedValue.isSealed(stored.value) else {
                    unsealed.append(stored)
                    continue
                }
                guard let found else { throw missing(file) }
                if SealedValue.isSealed(stored.value, with: found) { hasOwn = true } else { foreign.append(stored) }
            }
        }
        // One that does not fit, beside others that do, is damaged. Where none does, the key is another one.
        guard foreign.isEmpty || hasOwn else { throw wrong(file) }
        let key: SealingKey
        if let found {
            key = found
        } else {
            // Nothing is sealed: this is the first start, or the first one of a version that seals.
            let bytes = SealingKey.random()
            try file.make(bytes)
            key = try SealingKey(bytes)
        }
        let store = SealedStore(base, key: key)
        // Only an older version left secrets so; in a record of this one somebody else wrote it, or it is damaged. It is not believed.
        for stored in foreign + (isErased ? unsealed : []) {
            store.found.note(stored.key, stored.modifiedRevision, StoreError.sealed(stored.key).description)
        }
        if !isErased, !unsealed.isEmpty {
            try await forEachPage(of: base) { secrets in
                let plain = secrets.filter { !SealedValue.isSealed($0.value) }
                try await store.commit(plain.map { .put(key: $0.key, value: $0.value, if: .revision($0.modifiedRevision)) })
            }
        }
        if !isErased {
            logger.notice("the secrets of an older version are sealed; the database is written anew, so that none is left readable")
            try await eraseRemains(of: base, logger)
        }
        return store
    }

    private static func eraseRemains(of base: SQLiteStore, _ logger: Logger) async throws(StoreError) {
        do {
            try await base.eraseRemains()
        } catch {
            guard case .diskFull(let why) = error else { throw error }
            logger.error("readable remains of secrets stay in the database until the next start", metadata: ["error": "\(why)"])
        }
    }

    private static func forEachPage(of base: SQLiteStore, _ body: ([StoredValue]) async throws -> Void) async throws {
        var after: String?
        repeat {
            let page = try await base.list(prefix: SecretKeys.prefix, after: after, limit: pageLimit)
            try await body(page.values)
            after = page.nextKey
        } while after != nil
    }

    /// Whether a secret of a backup can be read by a server with this key.
    public static func opens(_ value: [UInt8], at name: String, with key: SealingKey?) -> Bool {
        guard SealedValue.isSealed(value) else { return true }
        guard let key else { return false }
        return (try? SealedValue.open(value, at: name, with: key)) != nil
    }

    /// Whether a value is sealed at all, with whatever key.
    public static func isSealed(_ value: [UInt8]) -> Bool { SealedValue.isSealed(value) }

    /// Whether a secret was sealed, and not with this key.
    public static func isOfAnotherKey(_ value: [UInt8], than key: SealingKey) -> Bool {
        SealedValue.isSealed(value) && !SealedValue.isSealed(value, with: key)
    }

    /// What a sealed value holds; nil where it does not open.
    public static func open(_ value: [UInt8], at name: String, with key: SealingKey) -> [UInt8]? {
        try? SealedValue.open(value, at: name, with: key)
    }

    public static func missing(_ file: KeyFile) -> Problem {
        Problem(
            "seal-key-missing", status: 500, title: "\(file.path) is missing, and the record has secrets that were sealed with it",
            detail: "Without it they cannot be read, and a new key would not open them.", remedy: remedy)
    }

    public static func wrong(_ file: KeyFile) -> Problem {
        Problem(
            "seal-key-wrong", status: 500, title: "The record's secrets were not sealed with \(file.path)",
            detail: "The database, or the key file, is another server's or another time's.", remedy: remedy)
    }

    private static let remedy = """
        Put the key file back, or restore a backup that has it: hostler restore FILE --passphrase-file FILE. Where it is lost for \
        good: hostler backup --offline FILE, then hostler restore FILE, which leaves out what cannot be opened and says what that is.
        """
}
