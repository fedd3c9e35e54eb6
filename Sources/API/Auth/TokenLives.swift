internal import Model
internal import Store
internal import Synchronization

/// Who waits for the end of which token: the one signal by which everything that a token opened ends with it.
final class TokenLives: Sendable {
    private struct State {
        var waiting: [TokenID: [Int: AsyncStream<Void>.Continuation]] = [:]
        var next = 0
    }
    private let state = Mutex(State())

    fileprivate func add(_ id: TokenID, _ wake: AsyncStream<Void>.Continuation) -> Int {
        state.withLock { state in
            state.next += 1
            state.waiting[id, default: [:]][state.next] = wake
            return state.next
        }
    }

    fileprivate func remove(_ id: TokenID, _ number: Int) {
        state.withLock { state in
            state.waiting[id]?[number] = nil
            if state.waiting[id]?.isEmpty == true { state.waiting[id] = nil }
        }
    }

    /// Whoever waits for this token looks again what has become of it.
    func changed(_ id: TokenID) {
        for wake in state.withLock({ Array(($0.waiting[id] ?? [:]).values) }) { wake.yield() }
    }

    func allChanged() {
        for wake in state.withLock({ $0.waiting.values.flatMap(\.values) }) { wake.yield() }
    }

    var count: Int { state.withLock { $0.waiting.values.reduce(0) { $0 + $1.count } } }
}

extension TokenStore {
    /// Waits until a token has no power any more, or another one than it had: it was revoked, its time is over, its role
    /// was changed. Everything that lasts longer than an answer ends then: watches, consoles, downloads.
    ///
    /// - Returns: false where the task was cancelled before.
    func end(of token: Token) async -> Bool {
        let (wakes, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let number = lives.add(token.id, wake)
        defer { lives.remove(token.id, number) }
        // What happened between its verification and now counts too.
        wake.yield()
        return await withTaskGroup(of: Void.self) { group in
            group.addTask {
                guard let end = token.expiresAt else { return }
                // In pieces: a wall clock may be set.
                while (try? await Task.sleep(for: min(.seconds(60), max(.milliseconds(10), end - self.wallClockNow())))) != nil { wake.yield() }
            }
            defer { group.cancelAll() }
            for await _ in wakes where await !self.isAlive(token) { return true }
            return false
        }
    }

    private func isAlive(_ token: Token) async -> Bool {
        while true {
            do {
                return try await current(token.id)?.role == token.role
            } catch StoreError.closed {
                return false
            } catch {
                // A store that does not answer says nothing against a token.
                guard (try? await Task.sleep(for: .seconds(1))) != nil else { return true }
            }
        }
    }
}
