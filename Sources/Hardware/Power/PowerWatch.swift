public import Model

/// Notices a power state that changed though nobody here changed it.
public struct PowerWatch: Sendable, Equatable {
    public struct Flip: Sendable, Equatable {
        public var from: PowerState
        public var to: PowerState
        /// When the older state was last seen.
        public var since: Timestamp
    }

    public private(set) var last: ObservedPower?
    /// In the time that the caller measures by.
    private var quietUntil: Timestamp?

    public init(last: ObservedPower? = nil) { self.last = last }

    /// We act on the power ourselves: what changes until `end` is ours.
    public mutating func expectChange(until end: Timestamp) { quietUntil = end }

    /// Our own action came to its end with this state.
    public mutating func settled(_ state: PowerState, at now: Timestamp) {
        last = ObservedPower(state: state, at: now)
        quietUntil = nil
    }

    /// A state was read; returns the flip if it is one. Transitional and unknown states are none.
    ///
    /// - Parameter steady: the time that `expectChange(until:)` is of; nil: that of `now`.
    public mutating func read(_ state: PowerState, at now: Timestamp, steady: Timestamp? = nil) -> Flip? {
        guard state == .on || state == .off else { return nil }
        defer { last = ObservedPower(state: state, at: now) }
        if let quietUntil, steady ?? now < quietUntil { return nil }
        quietUntil = nil
        guard let last, last.state != state, last.state == .on || last.state == .off else { return nil }
        return Flip(from: last.state, to: state, since: last.at)
    }
}
