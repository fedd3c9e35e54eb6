public import Model
internal import Synchronization

/// Makes the ids of events: they sort in the order in which they are made, whatever the wall clock does meanwhile, and over
/// restarts. An id is milliseconds in twelve hex digits, a dash and a counter in four.
final class EventIDs: Sendable {
    private let last: Mutex<(milliseconds: Int64, counter: Int)>
    private static let counterLimit = 0xffff

    /// - Parameter newest: the id of the newest event that there is.
    init(after newest: String? = nil) {
        let parts = (newest ?? "").split(separator: "-").map { Int64($0, radix: 16) ?? 0 }
        last = Mutex(parts.count == 2 ? (max(0, parts[0]), Int(clamping: max(0, parts[1]))) : (0, 0))
    }

    func next(_ now: Timestamp) -> String {
        let (milliseconds, counter) = last.withLock { last in
            if now.milliseconds > last.milliseconds {
                last = (now.milliseconds, 0)
            } else if last.counter < Self.counterLimit {
                last.counter += 1
            } else {
                // More than the counter holds since the clock was set back.
                last = (last.milliseconds + 1, 0)
            }
            return last
        }
        return Event.idPrefix(milliseconds: milliseconds) + "-" + Event.hex(Int64(counter), digits: 4)
    }
}

extension Event {
    /// What the ids of all events from that number of milliseconds on sort after.
    public static func idPrefix(milliseconds: Int64) -> String { hex(milliseconds, digits: 12) }

    static func hex(_ number: Int64, digits: Int) -> String {
        let text = String(number, radix: 16)
        return String(repeating: "0", count: max(0, digits - text.count)) + text
    }
}
