internal import Synchronization

/// Counts failed authentications by address, and says how long the next answer
/// to each is held back: nothing for the first three, then 100 ms doubling to 5 s.
final class FailedAttempts: Sendable {
    /// The most addresses remembered; the one with the oldest failure goes first.
    static let maximumAddresses = 4096
    /// After so long without a failure an address starts afresh.
    static let forgetAfter = Duration.seconds(600)

    private struct Entry {
        var count: Int
        var last: ContinuousClock.Instant
    }
    private let entries = Mutex<[String: Entry]>([:])

    /// Notes a failure, and returns how long to wait before it is answered.
    func failed(_ address: String, at now: ContinuousClock.Instant) -> Duration {
        entries.withLock { entries in
            var entry = entries[address] ?? Entry(count: 0, last: now)
            if entry.last.duration(to: now) > Self.forgetAfter { entry.count = 0 }
            entry.count += 1
            entry.last = now
            if entries[address] == nil, entries.count >= Self.maximumAddresses,
                let oldest = entries.min(by: { $0.value.last < $1.value.last })?.key
            {
                entries[oldest] = nil
            }
            entries[address] = entry
            guard entry.count > 3 else { return .zero }
            return min(.seconds(5), .milliseconds(100 << min(entry.count - 4, 6)))
        }
    }

    func succeeded(_ address: String) {
        entries.withLock { $0[address] = nil }
    }

    /// The failures that now count for `address`.
    func count(_ address: String) -> Int { entries.withLock { $0[address]?.count ?? 0 } }
}
