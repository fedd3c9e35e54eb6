/// How long to wait before a stream that ended is asked for again: longer each time, and never all at once.
public struct Backoff: Sendable, Equatable {
    public var first: Duration
    public var longest: Duration
    private var failures = 0

    public init(first: Duration = .seconds(2), longest: Duration = .seconds(300)) {
        self.first = first
        self.longest = longest
    }

    /// - Parameter fraction: by chance, 0 to 1: half of the pause is taken by it, so that a rack whose power came back
    ///   does not ask in step.
    public mutating func pause(fraction: Double) -> Duration {
        let whole = min(longest, first * (1 << min(failures, 16)))
        failures += 1
        return whole * (0.5 + 0.5 * min(max(fraction, 0), 1))
    }

    /// It worked for a while.
    public mutating func succeeded() { failures = 0 }
}
