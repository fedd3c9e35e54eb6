import Control
import Model
import Synchronization

/// A host's two clocks, which move apart only when told.
final class TwoClocks: Sendable {
    private struct State {
        var wall: Int64
        var sinceBoot: Int64 = 3_600_000
        var boot = 1
    }
    private let state: Mutex<State>

    init(_ wall: Timestamp = Timestamp(milliseconds: 1_700_000_000_000)) { state = Mutex(State(wall: wall.milliseconds)) }

    var wall: Timestamp { state.withLock { Timestamp(milliseconds: $0.wall) } }

    /// Time passes.
    func advance(_ duration: Duration) {
        state.withLock {
            $0.wall += duration.wholeMilliseconds
            $0.sinceBoot += duration.wholeMilliseconds
        }
    }

    /// Somebody sets the wall clock.
    func set(by duration: Duration) { state.withLock { $0.wall += duration.wholeMilliseconds } }

    /// The host is off for so long, and starts again.
    func reboot(off duration: Duration) {
        state.withLock {
            $0.wall += duration.wholeMilliseconds
            $0.sinceBoot = 5_000
            $0.boot += 1
        }
    }

    var host: HostClock {
        HostClock {
            self.state.withLock {
                HostClock.Reading(wall: Timestamp(milliseconds: $0.wall), sinceBoot: .milliseconds($0.sinceBoot), boot: "boot-\($0.boot)")
            }
        }
    }
}
