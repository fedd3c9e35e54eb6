/// Lets so many requests a second pass, and a burst of so many at once.
public struct TokenBucket: Sendable, Equatable {
    public let perSecond: Int
    public let burst: Int
    /// In thousandths of a request.
    private var level: Int
    private var lastMilliseconds: Int64

    public init(perSecond: Int, burst: Int, nowMilliseconds: Int64) {
        self.perSecond = max(1, perSecond)
        self.burst = max(1, burst)
        level = self.burst * 1000
        lastMilliseconds = nowMilliseconds
    }

    /// Whether one more may pass now. A clock that goes back gives nothing.
    public mutating func take(nowMilliseconds now: Int64) -> Bool {
        let passed = min(max(0, now - lastMilliseconds), 3_600_000)
        lastMilliseconds = max(lastMilliseconds, now)
        level = min(burst * 1000, level + Int(passed) * perSecond)
        guard level >= 1000 else { return false }
        level -= 1000
        return true
    }
}
