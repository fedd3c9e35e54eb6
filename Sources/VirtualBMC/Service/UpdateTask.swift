internal import Model

/// A firmware update, which takes its time. Its state follows from the clock.
struct UpdateTask: Hashable, Sendable {
    let id: String
    let imageURI: String
    let startedAt: Timestamp
    let takes: Duration
    /// The firmware that it brings.
    let version: String

    func percent(at now: Timestamp) -> Int {
        let total = takes.milliseconds
        return total <= 0 ? 100 : Int(min(100, max(0, (now - startedAt).milliseconds * 100 / total)))
    }

    func isDone(at now: Timestamp) -> Bool { percent(at: now) >= 100 }
}

extension Duration {
    var milliseconds: Int64 {
        let (seconds, attoseconds) = components
        return seconds * 1000 + attoseconds / 1_000_000_000_000_000
    }
}
