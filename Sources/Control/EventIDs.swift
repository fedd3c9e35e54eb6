internal import Model
internal import Synchronization

/// Makes the ids of events: they sort by time, and never repeat within a process.
final class EventIDs: Sendable {
    private let last = Mutex<(milliseconds: Int64, counter: Int)>((0, 0))

    func next(_ now: Timestamp) -> String {
        let (milliseconds, counter) = last.withLock { last in
            last = now.milliseconds > last.milliseconds ? (now.milliseconds, 0) : (last.milliseconds, last.counter + 1)
            return last
        }
        return padded(String(milliseconds, radix: 16), 12) + "-" + padded(String(counter, radix: 16), 4)
    }

    private func padded(_ text: String, _ width: Int) -> String {
        String(repeating: "0", count: max(0, width - text.count)) + text
    }
}
