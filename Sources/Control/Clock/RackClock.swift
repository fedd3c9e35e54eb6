public import Model
internal import Synchronization

/// The wall clock was set, by a person or a time service.
public struct ClockJump: Codable, Sendable, Equatable {
    /// What the clock would have said.
    public var from: Timestamp
    /// What it said instead.
    public var to: Timestamp
    /// When that was seen, in steady time.
    public var seen: Timestamp

    public init(from: Timestamp, to: Timestamp, seen: Timestamp) {
        self.from = from
        self.to = to
        self.seen = seen
    }

    /// Negative where it was set back.
    public var distance: Duration { to - from }
}

/// What the clocks said last, as the store keeps it: time goes on from here at the next start.
struct ClockMark: Codable, Sendable, Equatable {
    static let key = "/control/clock"

    var wall: Timestamp
    var sinceBootMilliseconds: Int64
    var boot: String
    var steady: Timestamp
    var uptime: Uptime
    /// The last that was seen.
    var jump: ClockJump?
}

/// The time that the control plane works with, of three kinds.
///
/// - Wall time is what people see and say: when something happened, when a machine's lease ends.
/// - Steady time is never set: lives of nonces, tokens of the metadata service and DHCP leases, paces, pauses. It began
///   with the wall clock at the first start, and goes on over restarts.
/// - Uptime is the time that the server listened: how long a step of an operation may be silent.
public final class RackClock: Sendable {
    /// A difference that no leap second and no time service's slewing makes.
    static let jumpThreshold = Duration.seconds(5)
    /// Of two starts of the host only the wall clock tells how far they are apart, and that may be far off.
    static let longestPowerCut = Duration.seconds(400 * 86_400)
    /// Nothing is measured by a number near the last moment that there is.
    static let latestStart = Timestamp(milliseconds: 7_258_118_400_000)  // 2200-01-01

    private struct State {
        var seen: HostClock.Reading
        var steady: Timestamp
        var uptime: Uptime
        var jump: ClockJump?

        func elapsed(_ reading: HostClock.Reading) -> Duration { max(.zero, reading.sinceBoot - seen.sinceBoot) }
    }

    private let host: HostClock
    private let state: Mutex<State>
    /// What the wall clock did between the mark and this start.
    let jumpAtStart: ClockJump?

    /// - Parameter mark: of an earlier start; nil at the first.
    init(_ host: HostClock, after mark: ClockMark? = nil) {
        self.host = host
        let now = host.read()
        guard let mark else {
            jumpAtStart = nil
            state = Mutex(State(seen: now, steady: min(now.wall, Self.latestStart), uptime: Uptime(milliseconds: 0), jump: nil))
            return
        }
        let isSameBoot = !now.boot.isEmpty && now.boot == mark.boot && now.sinceBoot.wholeMilliseconds >= mark.sinceBootMilliseconds
        let away =
            isSameBoot
            ? now.sinceBoot - .milliseconds(mark.sinceBootMilliseconds)
            : min(Self.longestPowerCut, max(.zero, now.wall - mark.wall))
        // Time since the last mark counts as uptime for at most one gap: neither do starts in quick succession keep it
        // from passing, nor does a long absence make it pass.
        let counted = host.longestGap.map { min($0, away) } ?? away
        let steady = mark.steady + away
        let jump = Self.jump(from: isSameBoot ? mark.wall + away : max(mark.wall, now.wall), to: now.wall, steady)
        jumpAtStart = jump
        state = Mutex(State(seen: now, steady: steady, uptime: mark.uptime + counted, jump: jump ?? mark.jump))
    }

    private static func jump(from expected: Timestamp, to wall: Timestamp, _ steady: Timestamp) -> ClockJump? {
        let distance = wall - expected
        guard distance >= jumpThreshold || distance <= .zero - jumpThreshold else { return nil }
        return ClockJump(from: expected, to: wall, seen: steady)
    }

    public var wall: Timestamp { host.read().wall }
    public var steady: Timestamp {
        let now = host.read()
        return state.withLock { $0.steady + $0.elapsed(now) }
    }
    public var uptime: Uptime {
        let now = host.read()
        return state.withLock { $0.uptime + counted($0.elapsed(now)) }
    }

    /// What of a time between two looks is uptime.
    private func counted(_ elapsed: Duration) -> Duration { host.longestGap.map { min($0, elapsed) } ?? elapsed }

    /// The last jump that was seen; nil: none ever was.
    public var lastJump: ClockJump? { state.withLock { $0.jump } }

    /// Looks at the clocks, which is to be done twice a second.
    ///
    /// - Returns: what the wall clock did since the last look, where it was set.
    func look() -> ClockJump? {
        let now = host.read()
        return state.withLock { state in
            let elapsed = state.elapsed(now)
            state.steady = state.steady + elapsed
            state.uptime = state.uptime + counted(elapsed)
            let jump = Self.jump(from: state.seen.wall + elapsed, to: now.wall, state.steady)
            state.seen = now
            if let jump { state.jump = jump }
            return jump
        }
    }

    /// As of the last look.
    var mark: ClockMark {
        state.withLock {
            ClockMark(
                wall: $0.seen.wall, sinceBootMilliseconds: $0.seen.sinceBoot.wholeMilliseconds, boot: $0.seen.boot, steady: $0.steady,
                uptime: $0.uptime, jump: $0.jump)
        }
    }
}
