import Model
import Testing

@testable import Hardware

/// Seconds from the start of a transcript.
func at(_ seconds: Double) -> Timestamp { Timestamp(milliseconds: Int64(seconds * 1000)) }

@Suite("Power that is proved") struct PowerPursuitTests {
    private func policy(_ deadline: Int = 60) -> PowerPursuit.Policy {
        var policy = PowerPursuit.Policy()
        policy.deadline = .seconds(deadline)
        return policy
    }

    @Test("on is asked once, and proved by reading it") func on() throws {
        var pursuit = PowerPursuit(.on, address: "b", at: at(0), policy: policy())
        #expect(pursuit.begin() == .read)
        #expect(pursuit.read(.init(state: .off), at: at(0.1)) == .request(.on))
        #expect(pursuit.requested(nil, at: at(0.2)) == .pause(.seconds(1)))
        #expect(pursuit.paused() == .read)
        #expect(pursuit.read(.init(state: .turningOn), at: at(1.2)) == .pause(.seconds(1)))
        guard case .proved(let proof) = pursuit.read(.init(state: .on), at: at(2.3)) else { throw Failure() }
        #expect(proof.requests == 1 && proof.state == .on)
        #expect(proof.evidence == ["+0.1 s  read: off", "+0.1 s  asked: on", "+0.2 s  it said OK", "+1.2 s  read: turning-on", "+2.3 s  read: on"])
    }

    @Test("nothing is asked of a machine that is on already") func alreadyOn() throws {
        var pursuit = PowerPursuit(.on, address: "b", at: at(0), policy: policy())
        guard case .proved(let proof) = pursuit.read(.init(state: .on), at: at(0.1)) else { throw Failure() }
        #expect(proof.requests == 0)
    }

    @Test("a BMC that says OK and does nothing is asked again, and at the deadline it is told as not proved") func liar() throws {
        var pursuit = PowerPursuit(.on, address: "10.0.0.4", at: at(0), policy: policy(50))
        #expect(pursuit.read(.init(state: .off), at: at(0)) == .request(.on))
        _ = pursuit.requested(nil, at: at(0))
        #expect(pursuit.read(.init(state: .off), at: at(19)) == .pause(.seconds(1)))
        #expect(pursuit.read(.init(state: .off), at: at(21)) == .request(.on))
        _ = pursuit.requested(nil, at: at(21))
        guard case .failed(let problem) = pursuit.read(.init(state: .off), at: at(50)) else { throw Failure() }
        #expect(problem.code == "power-not-proved")
        #expect(problem.title == "“on” was asked of 10.0.0.4 and did not happen within 50 s")
        #expect(problem.detail?.hasPrefix("It still reads “off”.\n+0.0 s  read: off\n+0.0 s  asked: on\n+0.0 s  it said OK") == true)
    }

    @Test("a refusal is no end: what is read decides") func refusal() throws {
        var pursuit = PowerPursuit(.off, address: "b", at: at(0), policy: policy())
        #expect(pursuit.read(.init(state: .on), at: at(0)) == .request(.off))
        #expect(pursuit.requested(.bmc("error", "no"), at: at(1)) == .pause(.seconds(1)))
        guard case .proved = pursuit.read(.init(state: .off), at: at(2)) else { throw Failure() }
    }

    @Test("a refused password ends it at once") func unauthorised() throws {
        var pursuit = PowerPursuit(.off, address: "b", at: at(0), policy: policy())
        let problem = Problem.bmcUnauthorised("b", said: nil)
        #expect(pursuit.readFailed(problem, at: at(0)) == .failed(problem))
    }

    @Test("a cycle is off, seen to be off, then on") func cycle() throws {
        var pursuit = PowerPursuit(.cycle, address: "b", at: at(0), policy: policy())
        #expect(pursuit.read(.init(state: .on), at: at(0)) == .request(.off))
        _ = pursuit.requested(nil, at: at(0))
        #expect(pursuit.read(.init(state: .on), at: at(1)) == .pause(.seconds(1)))
        #expect(pursuit.read(.init(state: .off), at: at(2)) == .request(.on))
        _ = pursuit.requested(nil, at: at(2))
        guard case .proved(let proof) = pursuit.read(.init(state: .on), at: at(4)) else { throw Failure() }
        #expect(proof.requests == 2)
    }

    @Test("a restart is proved by the BMC's own mark, and is asked only once") func restart() throws {
        var pursuit = PowerPursuit(.restart, address: "b", at: at(0), policy: policy(30))
        #expect(pursuit.read(.init(state: .on, bootMark: "08:00"), at: at(0)) == .request(.restart))
        _ = pursuit.requested(nil, at: at(0))
        #expect(pursuit.read(.init(state: .on, bootMark: "08:00"), at: at(25)) == .pause(.seconds(1)))
        guard case .proved = pursuit.read(.init(state: .on, bootMark: "09:00"), at: at(26)) else { throw Failure() }
    }

    @Test("a restart that left no trace is not claimed") func restartUnseen() throws {
        var pursuit = PowerPursuit(.restart, address: "b", at: at(0), policy: policy(30))
        _ = pursuit.read(.init(state: .on), at: at(0))
        _ = pursuit.requested(nil, at: at(0))
        guard case .failed(let problem) = pursuit.read(.init(state: .on), at: at(31)) else { throw Failure() }
        #expect(problem.code == "power-not-proved")
    }

    @Test("a machine that is off is not restarted") func restartOff() throws {
        var pursuit = PowerPursuit(.restart, address: "b", at: at(0), policy: policy())
        guard case .failed(let problem) = pursuit.read(.init(state: .off), at: at(0)) else { throw Failure() }
        #expect(problem.code == "bmc-power-is-off")
    }

    @Test("a shutdown that is not heeded becomes off where that is allowed") func forced() throws {
        var rules = policy()
        rules.forceAfter = .seconds(30)
        var pursuit = PowerPursuit(.shutdown, address: "b", at: at(0), policy: rules)
        #expect(pursuit.read(.init(state: .on), at: at(0)) == .request(.shutdown))
        _ = pursuit.requested(nil, at: at(0))
        #expect(pursuit.read(.init(state: .on), at: at(31)) == .request(.off))
    }

    @Test("evidence is bounded and keeps its first line") func evidence() throws {
        var pursuit = PowerPursuit(.on, address: "b", at: at(0), policy: policy(1000))
        _ = pursuit.read(.init(state: .off), at: at(0))
        for second in 1..<200 { _ = pursuit.readFailed(.bmc("silent", "nothing"), at: at(Double(second))) }
        guard case .failed(let problem) = pursuit.readFailed(.bmc("silent", "nothing"), at: at(1000)) else { throw Failure() }
        let lines = problem.detail?.split(separator: "\n") ?? []
        #expect(lines.count == PowerPursuit.evidenceLimit + 1)
        #expect(lines.dropFirst().first == "+0.0 s  read: off")
    }
}

struct Failure: Error {}

@Suite("The breaker") struct CircuitBreakerTests {
    @Test("three failures open it, each opening doubles the pause, an answer closes it") func transcript() {
        var breaker = CircuitBreaker()
        for second in 0..<2 {
            #expect(breaker.admits(at: at(Double(second))) == true)
            #expect(breaker.failed(at: at(Double(second))) == .none)
        }
        #expect(breaker.failed(at: at(2)) == .opened(until: at(12)))
        #expect(breaker.state == .open)
        #expect(breaker.admits(at: at(11)) == false)
        #expect(breaker.admits(at: at(12)) == true)
        #expect(breaker.state == .halfOpen)
        #expect(breaker.admits(at: at(12)) == false, "one question at a time while it is half-open")
        #expect(breaker.failed(at: at(13)) == .opened(until: at(33)))
        #expect(breaker.admits(at: at(33)) == true)
        #expect(breaker.succeeded() == .closed)
        #expect(breaker.state == .closed)
        #expect(breaker.admits(at: at(34)) == true)
    }

    @Test("the pause has an end") func longest() {
        var breaker = CircuitBreaker()
        var now = at(0)
        for _ in 0..<40 {
            _ = breaker.admits(at: now)
            if case .opened(let until) = breaker.failed(at: now) {
                #expect(until - now <= .seconds(600))
                now = until
            }
        }
    }

    @Test("a question that was given up lets the next one through") func abandoned() {
        var breaker = CircuitBreaker()
        for _ in 0..<3 { _ = breaker.failed(at: at(0)) }
        #expect(breaker.admits(at: at(10)) == true)
        breaker.abandoned()
        #expect(breaker.admits(at: at(10)) == true)
    }
}

@Suite("Power that flips by itself") struct PowerWatchTests {
    @Test("a change that nobody made is told with when it was last otherwise") func flip() {
        var watch = PowerWatch()
        #expect(watch.read(.on, at: at(0)) == nil)
        #expect(watch.read(.on, at: at(30)) == nil)
        #expect(watch.read(.unknown, at: at(40)) == nil)
        #expect(watch.read(.off, at: at(60)) == .init(from: .on, to: .off, since: at(30)))
        #expect(watch.read(.off, at: at(90)) == nil)
    }

    @Test("our own changes are none") func ours() {
        var watch = PowerWatch(last: ObservedPower(state: .on, at: at(0)))
        watch.expectChange(until: at(100))
        #expect(watch.read(.off, at: at(10)) == nil)
        watch.settled(.off, at: at(11))
        #expect(watch.read(.off, at: at(12)) == nil)
        #expect(watch.read(.on, at: at(13)) != nil)
    }
}
