import Model
import Synchronization
import Testing

@testable import Hardware

/// The wall clock is set while a BMC is spoken to.
@Suite("A BMC's line, when the clock is set", .timeLimit(.minutes(1))) struct LineClockTests {
    private final class Clocks: Sendable {
        private let state = Mutex((wall: Int64(1_700_000_000_000), steady: Int64(1_700_000_000_000)))
        var wall: Timestamp { Timestamp(milliseconds: state.withLock { $0.wall }) }
        var steady: Timestamp { Timestamp(milliseconds: state.withLock { $0.steady }) }
        func set(by seconds: Int64) { state.withLock { $0.wall += seconds * 1000 } }
        func advance(_ seconds: Int64) {
            state.withLock {
                $0.wall += seconds * 1000
                $0.steady += seconds * 1000
            }
        }
    }

    /// A switch that reads on.
    private struct Steadfast: PowerSwitch {
        let address = "192.0.2.1"
        func readPower() async throws -> PowerReading { PowerReading(state: .on) }
        func request(_ request: PowerRequest) async throws {}
    }

    private func line(_ clocks: Clocks) -> BMCLine {
        BMCLine(id: .init(unchecked: "bmc-0001"), power: Steadfast(), now: { clocks.wall }, steady: { clocks.steady })
    }

    @Test("a clock that was set back a day keeps no question waiting for a day")
    func spacing() async throws {
        let clocks = Clocks()
        let line = line(clocks)
        _ = try await line.readPower()
        clocks.set(by: -86_400)
        let (power, _) = try await line.readPower()
        #expect(power.at == clocks.wall, "people are told the time as the clock has it")
    }

    @Test("a BMC that is left alone is tried again in its time") func breaker() {
        var breaker = CircuitBreaker(CircuitBreaker.Policy())
        var watch = PowerWatch(last: ObservedPower(state: .on, at: .first))
        let clocks = Clocks()
        while case .none = breaker.failed(at: clocks.steady) {}
        clocks.set(by: 86_400)
        let isTried = breaker.admits(at: clocks.steady)
        #expect(!isTried)
        // What we do to the power ourselves is no surprise, and what comes a minute later is, whatever the wall clock says.
        watch.expectChange(until: clocks.steady + .seconds(30))
        let own = watch.read(.off, at: clocks.wall, steady: clocks.steady)
        clocks.set(by: -200_000)
        clocks.advance(60)
        let others = watch.read(.on, at: clocks.wall, steady: clocks.steady)
        #expect(own == nil && others?.to == .on)
    }
}
