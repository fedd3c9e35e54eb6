internal import Model
internal import Synchronization
internal import Wire

/// How often a port that nobody knows was sent into the agent of late without its machine having said hello. One that cannot
/// start the agent, or not reach this server from it, is somebody's machine that would start for ever.
final class InspectionTries: Sendable {
    /// Then its own disk has its turn.
    static let limit = 2
    static let window = Duration.seconds(3600)
    /// As many ports as the newest boots are kept of; whoever makes up more is sent away like one that has had its tries.
    private static let portLimit = 8192
    private let state = Mutex(State())

    private struct State {
        var tries: [MACAddress: (count: Int, since: Timestamp)] = [:]
        /// When those whose window is over were forgotten last.
        var swept = Timestamp(milliseconds: 0)

        /// Whether there is room for one more port.
        mutating func hasRoom(at now: Timestamp) -> Bool {
            if tries.count < InspectionTries.portLimit { return true }
            if swept <= now, now - swept < .seconds(60) { return false }
            swept = now
            tries = tries.filter { InspectionTries.isRecent($0.value.since, now) }
            return tries.count < InspectionTries.portLimit
        }
    }

    func note(_ mac: MACAddress, at now: Timestamp) {
        state.withLock {
            if let known = $0.tries[mac], Self.isRecent(known.since, now) {
                $0.tries[mac] = (known.count + 1, known.since)
            } else if $0.tries[mac] != nil || $0.hasRoom(at: now) {
                $0.tries[mac] = (1, now)
            }
        }
    }

    /// It has said hello.
    func forget(_ mac: MACAddress) { state.withLock { $0.tries[mac] = nil } }

    func count(of mac: MACAddress, at now: Timestamp) -> Int {
        state.withLock {
            if let known = $0.tries[mac] { return Self.isRecent(known.since, now) ? known.count : 0 }
            return $0.hasRoom(at: now) ? 0 : Self.limit
        }
    }

    /// A clock that was set back ends a window, too.
    private static func isRecent(_ since: Timestamp, _ now: Timestamp) -> Bool { since <= now && now - since < window }
}
