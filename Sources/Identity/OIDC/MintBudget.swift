public import Model

/// How many tokens a machine may ask for: a burst, and then one now and then.
/// A pure bucket for each machine.
public struct MintBudget: Sendable {
    /// Enough for the services of one machine to start at once.
    public static let burst = 20
    /// One token more for every so long.
    public static let interval: Duration = .seconds(5)
    private var buckets: [MachineID: (tokens: Int, since: Timestamp)] = [:]

    public init() {}

    /// Takes one; or the time until there is one, rounded up to whole seconds.
    public mutating func take(_ machine: MachineID, now: Timestamp) -> Duration? {
        let intervalMilliseconds = Self.interval.wholeMilliseconds
        var bucket = buckets[machine] ?? (Self.burst, now)
        let gained = max(0, now.milliseconds - bucket.since.milliseconds) / intervalMilliseconds
        if gained > 0 || now < bucket.since {
            bucket.tokens = min(Self.burst, bucket.tokens + Int(clamping: gained))
            bucket.since = now < bucket.since ? now : bucket.since + .milliseconds(gained * intervalMilliseconds)
        }
        if bucket.tokens == Self.burst { bucket.since = now }
        defer { buckets[machine] = bucket }
        guard bucket.tokens > 0 else {
            let left = intervalMilliseconds - (now.milliseconds - bucket.since.milliseconds)
            return .seconds((left + 999) / 1000)
        }
        bucket.tokens -= 1
        return nil
    }

    /// Forgets machines whose bucket is full by now.
    public mutating func tidy(now: Timestamp) {
        let full = Self.interval * Self.burst
        buckets = buckets.filter { $0.value.since + full > now }
    }
}
