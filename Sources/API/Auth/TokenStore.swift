internal import Control
internal import FoundationEssentials
public import Model
public import Store
internal import Synchronization
internal import Wire

/// The API's tokens, below `/tokens/` in the state store.
///
/// A token reads `hst_<id>_<secret>` with a secret of 256 random bits in hex.
/// Verified tokens are remembered while ``watchChanges()`` runs, which forgets
/// them as soon as their record changes, whoever changed it.
public final class TokenStore: Sendable {
    private struct Cache {
        var records: [TokenID: TokenRecord] = [:]
        /// Counts the invalidations, so that a read that began before one is not kept.
        var epoch = 0
        var isWatching = false
    }

    private let store: any StateStore
    private let local: LocalTokens?
    private let now: @Sendable () -> Timestamp
    private let cache = Mutex(Cache())
    let lives = TokenLives()

    /// - Parameters:
    ///   - local: tokens that the owner of the state directory makes beside the API; nil: there are none.
    ///   - now: the wall clock.
    public init(store: any StateStore, local: LocalTokens? = nil, now: @escaping @Sendable () -> Timestamp = TokenStore.wallClock) {
        self.store = store
        self.local = local
        self.now = now
    }

    public static let wallClock: @Sendable () -> Timestamp = {
        Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000))
    }

    /// Makes an admin's token, unless `known` still is one. `save` gets its clear text before the record has it.
    ///
    /// - Returns: whether one was made.
    public func keepAdmin(_ known: String?, save: (_ secret: String) throws -> Void) async throws -> Bool {
        if let known, let token = try? await verify(known), token.role == .admin, token.expiresAt == nil { return false }
        let (record, secret) = try TokenRecord.make(name: "admin", role: .admin, expiresAt: nil, now: now())
        try save(secret)
        try await put(record)
        return true
    }

    /// Takes in the tokens that were left for the server, at its start.
    ///
    /// - Returns: why some wait on, as on a full disk; nil: none does.
    public func takeLocal() async throws -> StoreError? {
        local?.recover()
        return try await takeWaiting()
    }

    @discardableResult
    private func takeWaiting() async throws -> StoreError? {
        guard let local else { return nil }
        do {
            for id in local.waiting { _ = try await local.take(id, keep: put) }
            return nil
        } catch let error as StoreError where error.isOfTheDisk {
            return error
        }
    }

    func wallClockNow() -> Timestamp { now() }

    /// Makes a token; `secret` is its whole clear text and is not kept.
    public func create(name: String, role: Role, expiresAt: Timestamp? = nil) async throws -> (token: Token, secret: String) {
        let (record, secret) = try TokenRecord.make(name: name, role: role, expiresAt: expiresAt, now: now())
        try await put(record)
        return (record.token, secret)
    }

    private func put(_ record: TokenRecord) async throws {
        try await store.commit([.put(key: Self.key(record.token.id), value: try RecordCoding.encode(record), if: .absent)])
    }

    public func list() async throws -> [Token] {
        try await takeWaiting()
        var tokens: [Token] = []
        var after: String?
        repeat {
            let page = try await store.list(prefix: TokenRecord.prefix, after: after, limit: 500)
            tokens += page.values.compactMap { readable($0)?.token }
            after = page.nextKey
        } while after != nil
        return tokens
    }

    /// Takes a token's power away at once, and ends what it opened. The last admin token that does not end by itself stays.
    public func revoke(_ id: TokenID) async throws {
        let tokens = try await list()
        guard let token = tokens.first(where: { $0.id == id }) else { throw Problem.notFound("token", id.rawValue) }
        try Self.refuseIfLast(token, among: tokens)
        try await store.commit([.delete(key: Self.key(id), if: .none)])
        forget(id)
    }

    /// Throws where without this token nobody could make another.
    static func refuseIfLast(_ token: Token, among tokens: [Token]) throws(Problem) {
        let isReplaced = tokens.contains { $0.role == .admin && $0.id != token.id && $0.expiresAt == nil }
        guard token.role != .admin || token.expiresAt != nil || isReplaced else {
            throw Problem(
                "last-admin-token", status: 409, title: "This is the last admin token that does not end by itself",
                detail: "without one, nobody could make a new token",
                remedy: "Make another first: hostler token create NAME --role admin")
        }
    }

    /// Whose token this is; nil where it is not a valid one.
    public func verify(_ text: String) async throws -> Token? {
        let parts = text.split(separator: "_", omittingEmptySubsequences: false)
        guard text.utf8.count <= 200, parts.count == 3, parts[0] == "hst", parts[2].utf8.count == 64,
            let id = TokenID(rawValue: String(parts[1]))
        else { return nil }
        guard let record = try await record(id), Self.equalInConstantTime(TokenRecord.hash(String(parts[2])), record.secretHash) else {
            return nil
        }
        return isOver(record.token) ? nil : record.token
    }

    /// Forgets remembered tokens whenever their records change. Returns when
    /// cancelled or when the store is closed.
    public func watchChanges() async {
        while !Task.isCancelled {
            do {
                let revision = try await store.currentRevision()
                let changes = try await store.watch(prefix: TokenRecord.prefix, after: revision)
                forgetAll(watching: true)
                for try await batch in changes {
                    for event in batch.events {
                        TokenID(rawValue: String(event.key.dropFirst(TokenRecord.prefix.count))).map(forget)
                    }
                }
                forgetAll(watching: false)
            } catch StoreError.closed {
                return forgetAll(watching: false)
            } catch {
                forgetAll(watching: false)
                try? await Task.sleep(for: .seconds(1))
            }
        }
    }

    private func isOver(_ token: Token) -> Bool { token.expiresAt.map { $0 <= now() } ?? false }

    /// A token as it is now; nil where it was revoked or its time is over.
    func current(_ id: TokenID) async throws -> Token? {
        try await record(id).flatMap { isOver($0.token) ? nil : $0.token }
    }

    private func record(_ id: TokenID) async throws -> TokenRecord? {
        let (known, epoch) = cache.withLock { ($0.records[id], $0.epoch) }
        if let known { return known }
        var stored = try await store.get(Self.key(id))
        if stored == nil, let local, try await local.take(id, keep: put) { stored = try await store.get(Self.key(id)) }
        guard let stored else { return nil }
        // A token whose record cannot be read opens nothing.
        guard let record = readable(stored) else { return nil }
        cache.withLock { if $0.isWatching, $0.epoch == epoch { $0.records[id] = record } }
        return record
    }

    private func readable(_ stored: StoredValue) -> TokenRecord? {
        guard let record = try? RecordCoding.decode(TokenRecord.self, from: stored.value), Self.key(record.token.id) == stored.key else {
            store.damaged?.note(stored.key, stored.modifiedRevision, "it is no token")
            return nil
        }
        store.damaged?.clear(stored.key)
        return record
    }

    private func forget(_ id: TokenID) {
        cache.withLock {
            $0.records[id] = nil
            $0.epoch += 1
        }
        lives.changed(id)
    }

    private func forgetAll(watching: Bool) {
        cache.withLock { $0 = Cache(epoch: $0.epoch + 1, isWatching: watching) }
        lives.allChanged()
    }

    private static func key(_ id: TokenID) -> String { TokenRecord.prefix + id.rawValue }

    private static func equalInConstantTime(_ left: String, _ right: String) -> Bool {
        let (left, right) = (Array(left.utf8), Array(right.utf8))
        guard left.count == right.count else { return false }
        return zip(left, right).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }
}
