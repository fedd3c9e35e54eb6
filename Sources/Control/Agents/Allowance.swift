internal import Synchronization
public import Model

/// How often something may happen: so many times at once, then once in each interval.
public struct Allowance: Sendable, Equatable {
    public var burst: Int
    public var interval: Duration

    public init(burst: Int, every interval: Duration) {
        self.burst = max(1, burst)
        self.interval = max(.milliseconds(1), interval)
    }

    /// Takes one. `usedUpTo` is when all that was taken would be given back; nil before the first.
    ///
    /// - Returns: whether there was one. A clock that went back gives and takes nothing.
    public func take(_ usedUpTo: inout Timestamp?, at now: Timestamp) -> Bool {
        // A clock that was set back would make everybody wait until it is where it was.
        let latest = now + interval * burst
        let start = max(min(usedUpTo ?? now, latest), now)
        guard start - now <= interval * (burst - 1) else {
            usedUpTo = start
            return false
        }
        usedUpTo = start + interval
        return true
    }
}

/// An ``Allowance`` of each of many.
public final class Allowances<Key: Hashable & Sendable>: Sendable {
    private let limit: Int
    private let used = Mutex<[Key: Timestamp]>([:])

    /// - Parameter limit: how many are remembered; those that have used nothing of late are forgotten first.
    public init(limit: Int) { self.limit = limit }

    /// Whether `key` may once more. One that is new is refused where all room is taken by those that use theirs.
    public func take(_ allowance: Allowance, of key: Key, at now: Timestamp) -> Bool {
        used.withLock { used in
            if used[key] == nil, used.count >= limit {
                used = used.filter { $0.value > now }
                guard used.count < limit else { return false }
            }
            return allowance.take(&used[key], at: now)
        }
    }
}
