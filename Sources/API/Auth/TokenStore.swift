internal import Control
internal import Crypto
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
    private let now: @Sendable () -> Timestamp
    private let cache = Mutex(Cache())
    let lives = TokenLives()

    /// - Parameter now: the wall clock.
    public init(store: any StateStore, now: @escaping @Sendable () -> Timestamp = TokenStore.wallClock) {
        self.store = store
        self.now = now
    }

    public static let wallClock: @Sendable () -> Timestamp = {
        Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000))
    }

    /// Makes the first admin token where there is no token yet, and returns its
    /// clear text; nil where there are tokens.
    public func ensureAdmin() async throws -> String? {
        guard try await store.list(prefix: TokenRecord.prefix, after: nil, limit: 1).values.isEmpty else { return nil }
        return try await create(name: "admin", role: .admin).secret
    }

    func wallClockNow() -> Timestamp { now() }

    /// Makes a token; `secret` is its whole clear text and is not kept.
    public func create(name: String, role: Role, expiresAt: Timestamp? = nil) async throws -> (token: Token, secret: String) {
        let name = try DisplayName(name)
        if let expiresAt, expiresAt <= now() {
            throw Problem("token-expired", status: 422, title: "The token would be over before it begins", detail: "it ends at \(expiresAt)")
        }
        var generator = SystemRandomNumberGenerator()
        let id = TokenID.random(length: 8, using: &generator)
        let secret = Hex.encode((0..<32).map { _ in UInt8.random(in: .min ... .max, using: &generator) })
        let token = Token(id: id, name: name.text, role: role, createdAt: now(), expiresAt: expiresAt)
        let record = TokenRecord(token: token, secretHash: Self.hash(secret))
        try await store.commit([.put(key: Self.key(id), value: try RecordCoding.encode(record), if: .absent)])
        return (token, "hst_\(id)_\(secret)")
    }

    public func list() async throws -> [Token] {
        var tokens: [Token] = []
        var after: String?
        repeat {
            let page = try await store.list(prefix: TokenRecord.prefix, after: after, limit: 500)
            tokens += try page.values.map { try RecordCoding.decode(TokenRecord.self, from: $0).token }
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
        guard let record = try await record(id), Self.equalInConstantTime(Self.hash(String(parts[2])), record.secretHash) else {
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
        guard let stored = try await store.get(Self.key(id)) else { return nil }
        let record = try RecordCoding.decode(TokenRecord.self, from: stored)
        cache.withLock { if $0.isWatching, $0.epoch == epoch { $0.records[id] = record } }
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
    private static func hash(_ secret: String) -> String { Hex.encode(Array(SHA256.hash(data: Data(secret.utf8)))) }

    private static func equalInConstantTime(_ left: String, _ right: String) -> Bool {
        let (left, right) = (Array(left.utf8), Array(right.utf8))
        guard left.count == right.count else { return false }
        return zip(left, right).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }
}
