public import Model

/// Whether a BMC that failed is asked again yet.
///
/// Closed: it is asked. After `threshold` failures in a row it opens: nothing is sent for a pause that doubles
/// each time. Then one question is let through (half-open): its answer closes it, its failure opens it again.
public struct CircuitBreaker: Sendable, Equatable {
    public struct Policy: Sendable, Equatable {
        public var threshold = 3
        public var firstPause: Duration = .seconds(10)
        public var longestPause: Duration = .seconds(600)
        public init() {}
    }

    public enum Change: Sendable, Equatable { case none, opened(until: Timestamp), closed }

    private let policy: Policy
    private var failures = 0
    /// How often it opened without closing between.
    private var openings = 0
    private var openUntil: Timestamp?
    private var isProbing = false

    public init(_ policy: Policy = Policy()) { self.policy = policy }

    public var state: BreakerState { openUntil == nil ? .closed : isProbing ? .halfOpen : .open }
    /// When the next question is let through; nil: at once.
    public var retryAt: Timestamp? { isProbing ? nil : openUntil }

    /// Whether a question may be sent at `now`. What is let through must be followed by
    /// ``succeeded()``, ``failed(at:)`` or ``abandoned()``.
    public mutating func admits(at now: Timestamp) -> Bool {
        guard let openUntil else { return true }
        guard now >= openUntil, !isProbing else { return false }
        isProbing = true
        return true
    }

    public mutating func succeeded() -> Change {
        let wasOpen = openUntil != nil
        self = CircuitBreaker(policy)
        return wasOpen ? .closed : .none
    }

    public mutating func failed(at now: Timestamp) -> Change {
        failures += 1
        guard openUntil != nil || failures >= policy.threshold else { return .none }
        let doublings = min(openings, 16)
        let pause = min(policy.longestPause, policy.firstPause * (1 << doublings))
        openings += 1
        isProbing = false
        let until = now + pause
        openUntil = until
        return .opened(until: until)
    }

    /// The question was given up before an answer came: nothing is known.
    public mutating func abandoned() { isProbing = false }
}
