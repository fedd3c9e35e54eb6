/// Growing pauses between tries: doubled each time up to a limit, and spread
/// so that a rack of agents does not knock all at once.
struct Backoff {
    private let limitMilliseconds: Int
    private let firstMilliseconds: Int
    private(set) var tries = 0

    init(first: Int = 200, limit: Int = 10_000) {
        firstMilliseconds = first
        limitMilliseconds = limit
    }

    /// The next pause: between half of the step and all of it.
    mutating func next(using generator: inout some RandomNumberGenerator) -> Duration {
        let step = min(limitMilliseconds, firstMilliseconds << min(tries, 16))
        tries += 1
        return .milliseconds(Int.random(in: step / 2...step, using: &generator))
    }

    mutating func next() -> Duration {
        var generator = SystemRandomNumberGenerator()
        return next(using: &generator)
    }
}
