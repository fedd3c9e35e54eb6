internal import CLinux
internal import Model
internal import Synchronization

/// What the agent says: at once to the console, and in batches to the control plane.
final class AgentLog: Sendable {
    /// Lines kept while the control plane cannot be reached.
    static let lineLimit = 2000
    static let lineBytes = 1000

    private struct State {
        var lines: [LogBatch.Line] = []
        var dropped = 0
    }
    private let state = Mutex(State())

    func callAsFunction(_ text: String) {
        let now = agent_uptime_milliseconds()
        for line in text.split(whereSeparator: \.isNewline) {
            SystemFile.writeAll(2, "[\(Self.seconds(now))] hostler: \(line)\n")
            append(LogBatch.Line(uptimeMilliseconds: now, text: String(line.prefix(Self.lineBytes))))
        }
    }

    /// A named moment of the boot or of the work: from these comes the table of where the seconds went.
    func milestone(_ name: String) { self("milestone \(name)") }

    /// A line of somebody else's, already on the console.
    func append(_ line: LogBatch.Line) {
        state.withLock { state in
            state.lines.append(line)
            if state.lines.count > Self.lineLimit {
                state.lines.removeFirst()
                state.dropped += 1
            }
        }
    }

    /// The oldest lines, which stay until ``forget(_:)``. Says first how many were dropped.
    func oldest(_ limit: Int) -> (batch: LogBatch, taken: Int, dropped: Int) {
        state.withLock { state in
            var lines = Array(state.lines.prefix(limit))
            let taken = lines.count
            if state.dropped > 0, let first = lines.first {
                lines.insert(
                    LogBatch.Line(
                        uptimeMilliseconds: first.uptimeMilliseconds,
                        text: "(\(state.dropped) lines were dropped here: the control plane could not be reached)"),
                    at: 0)
            }
            return (LogBatch(lines: lines), taken, state.dropped)
        }
    }

    /// Takes the lines of an acknowledged batch away.
    func forget(_ batch: (batch: LogBatch, taken: Int, dropped: Int)) {
        state.withLock { state in
            // Lines dropped since were the oldest, so they were in the batch too.
            let droppedSince = state.dropped - batch.dropped
            let gone = min(droppedSince, batch.taken)
            state.lines.removeFirst(min(state.lines.count, batch.taken - gone))
            state.dropped = droppedSince - gone
        }
    }

    private static func seconds(_ milliseconds: Int64) -> String {
        let fraction = String(1000 + milliseconds % 1000).dropFirst()
        let whole = String(milliseconds / 1000)
        return String(repeating: " ", count: max(0, 4 - whole.count)) + "\(whole).\(fraction)"
    }
}
