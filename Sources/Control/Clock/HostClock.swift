internal import FoundationEssentials
internal import Glibc
public import Model

/// The clocks of the host, read together: the wall clock, which people and time services set, and the time since the
/// host's start, which nobody sets. Tests move the two apart.
public struct HostClock: Sendable {
    public struct Reading: Sendable, Equatable {
        public var wall: Timestamp
        /// Since the host's start, its sleep included.
        public var sinceBoot: Duration
        /// Names this start of the host; another has another. Empty: not known.
        public var boot: String

        public init(wall: Timestamp, sinceBoot: Duration, boot: String) {
            self.wall = wall
            self.sinceBoot = sinceBoot
            self.boot = boot
        }
    }

    /// The longest time between two looks at the clock that counts as uptime; nil: all of it counts.
    ///
    /// The clock is looked at twice a second. Between looks that are further apart the program was stopped, or its host
    /// slept, or it was killed and started again: it listened to nobody then.
    public var longestGap: Duration?
    public var read: @Sendable () -> Reading

    /// - Parameter longestGap: see ``longestGap``.
    public init(longestGap: Duration? = .seconds(10), read: @escaping @Sendable () -> Reading) {
        self.longestGap = longestGap
        self.read = read
    }

    /// A wall clock that is never set, and that all other time is read from.
    public init(wall: @escaping @Sendable () -> Timestamp) {
        self.init(longestGap: nil) {
            let now = wall()
            return Reading(wall: now, sinceBoot: .milliseconds(now.milliseconds), boot: "")
        }
    }

    /// This host's: CLOCK_REALTIME, and CLOCK_BOOTTIME with the kernel's boot id.
    public static func system() -> HostClock {
        let text = try? String(contentsOfFile: "/proc/sys/kernel/random/boot_id", encoding: .utf8)
        let boot = String((text ?? "").filter { !$0.isWhitespace }.prefix(64))
        return HostClock {
            // A program that is stopped between the two looks would see a jump that was none.
            var reading = together(boot)
            for _ in 0..<3 where reading.isLate { reading = together(boot) }
            return reading.now
        }
    }

    private static func together(_ boot: String) -> (now: Reading, isLate: Bool) {
        let before = milliseconds(CLOCK_BOOTTIME)
        let wall = milliseconds(CLOCK_REALTIME)
        let after = milliseconds(CLOCK_BOOTTIME)
        return (Reading(wall: Timestamp(milliseconds: wall), sinceBoot: .milliseconds(after), boot: boot), after - before > 100)
    }

    private static func milliseconds(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        // Both clocks are there in every kernel since 2.6.39.
        clock_gettime(clock, &time)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }
}
