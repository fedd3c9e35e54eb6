internal import Hardware
internal import Model

/// Which entries of a BMC's log are news.
///
/// Pure. Logs are cleared, wrap, count anew and carry clocks that were set since, so neither ids nor times alone tell.
enum LogCatchUp {
    /// More than so many at once are told as a number.
    static let limit = 32

    struct News: Sendable, Equatable {
        /// Oldest first.
        var entries: [HardwareLogEntry]
        /// Older ones that are news too and are not told one by one.
        var left: Int
        /// What is known from now on.
        var mark: HardwareLogMark
    }

    /// - Parameters:
    ///   - entries: newest first, as ``PowerSwitch/log(limit:)`` gives them.
    ///   - mark: nil: the log was never looked at, and what is in it is history.
    static func news(in entries: [HardwareLogEntry], after mark: HardwareLogMark?) -> News {
        let newest = entries.first.map { HardwareLogMark(id: $0.id, time: $0.time) } ?? mark ?? HardwareLogMark()
        guard let mark else { return News(entries: [], left: 0, mark: newest) }
        let fresh = Array(entries.prefix { !isKnown($0, mark) })
        return News(entries: fresh.prefix(limit).reversed(), left: max(0, fresh.count - limit), mark: fresh.isEmpty ? mark : newest)
    }

    /// Whether an event of the stream was told from the log already. One in the second of the log's newest entry is
    /// taken for that entry: if it is another one, the log has it the next time.
    static func isTold(_ event: RedfishEvent, _ mark: HardwareLogMark?) -> Bool {
        guard let marked = BMCClock.time(mark?.time), let time = BMCClock.time(event.time) else { return false }
        return time < marked || time == marked && mark?.id != nil
    }

    private static func isKnown(_ entry: HardwareLogEntry, _ mark: HardwareLogMark) -> Bool {
        if let id = mark.id, entry.id == id, entry.time == mark.time { return true }
        guard let marked = BMCClock.time(mark.time), let time = BMCClock.time(entry.time) else {
            // Without times the order of the ids is all there is.
            return mark.id.map { !isLater(entry.id, than: $0) } ?? false
        }
        guard time == marked else { return time < marked }
        // In the mark's own second: by id, where the mark has one; what came by the stream has none.
        return mark.id.map { !isLater(entry.id, than: $0) } ?? true
    }

    /// Ids are mostly numbers, of one form in one log.
    private static func isLater(_ id: String, than other: String) -> Bool {
        (id.utf8.count, id) > (other.utf8.count, other)
    }
}

/// How many of a BMC's events are recorded: a BMC in a bad mood sends thousands.
struct EventThrottle: Sendable {
    static let eventsPerMinute = 60
    private var minuteStart = Timestamp(milliseconds: 0)
    private var taken = 0
    /// Those that were not recorded since the last that was.
    private(set) var dropped = 0

    mutating func admits(at now: Timestamp) -> Bool {
        if now - minuteStart >= .seconds(60) || now < minuteStart { (minuteStart, taken) = (now, 0) }
        guard taken < Self.eventsPerMinute else {
            dropped += 1
            return false
        }
        taken += 1
        return true
    }

    mutating func takeDropped() -> Int {
        defer { dropped = 0 }
        return dropped
    }
}
