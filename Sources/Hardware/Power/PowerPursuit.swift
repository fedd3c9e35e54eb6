public import Model

/// The pursuit of a power state until it is proved or its deadline is over.
///
/// A pure state machine: it is told what was read and what was answered, and says
/// what to do next. What a BMC answers to a request proves nothing; only what is read does.
public struct PowerPursuit: Sendable {
    public enum Step: Sendable, Equatable {
        case read
        case request(PowerRequest)
        case pause(Duration)
        case proved(PowerProof)
        case failed(Problem)
    }

    public struct Policy: Sendable, Equatable {
        public var deadline: Duration = .seconds(120)
        public var poll: Duration = .seconds(1)
        /// After so long without effect, the request is made again: some BMCs say OK and forget.
        public var repeatAfter: Duration = .seconds(20)
        /// Requests of one phase.
        public var requestLimit = 4
        /// A machine that does not shut down when asked is switched off after so long; nil: never.
        public var forceAfter: Duration?
        /// Between off and on of a cycle.
        public var rest: Duration = .zero
        /// Told where a shutdown did not happen.
        public var shutdownCaveat: String?
        public init() {}

        /// The same for a switch of these manners.
        public func suiting(_ manners: PowerManners) -> Policy {
            var policy = self
            if let lag = manners.lag { policy.repeatAfter = max(repeatAfter, lag) }
            if let rest = manners.rest { policy.rest = max(self.rest, rest) }
            policy.shutdownCaveat = manners.shutdownCaveat
            return policy
        }
    }

    private enum Phase: Equatable {
        /// The state is sought.
        case seeking(PowerState, by: PowerRequest)
        /// A restart's trace is sought: another boot mark, or the power seen off.
        case restarting(mark: String?, sawOff: Bool)
    }

    private let action: PowerAction
    private let policy: Policy
    private let startedAt: Timestamp
    private let address: String
    private var phase: Phase
    private var requests = 0
    private var requestsOfPhase = 0
    private var lastRequestAt: Timestamp?
    private var phaseStartedAt: Timestamp
    private var isFirstRead = true
    private var evidence: [String] = []
    private var lastProblem: Problem?
    private var lastState: PowerState?

    /// The last so many lines of evidence are kept.
    static let evidenceLimit = 24

    public init(_ action: PowerAction, address: String, at now: Timestamp, policy: Policy = Policy()) {
        self.action = action
        self.policy = policy
        self.address = address
        startedAt = now
        phaseStartedAt = now
        phase =
            switch action {
            case .on: .seeking(.on, by: .on)
            case .off, .cycle: .seeking(.off, by: .off)
            case .shutdown: .seeking(.off, by: .shutdown)
            case .restart: .restarting(mark: nil, sawOff: false)
            }
    }

    public func begin() -> Step { .read }

    /// The power was read.
    public mutating func read(_ reading: PowerReading, at now: Timestamp) -> Step {
        lastProblem = nil
        if lastState != reading.state { note("read: \(reading.state.rawValue)", now) }
        lastState = reading.state
        defer { isFirstRead = false }
        switch phase {
        case .seeking(let wanted, let request):
            if reading.state == wanted {
                guard action == .cycle, wanted == .off else { return proved(reading.state, now) }
                enter(.seeking(.on, by: .on), now)
                // Read once more before it is asked: then it is seen to be off, or to have come on by itself.
                return policy.rest > .zero ? .pause(policy.rest) : ask(.on, now)
            }
            return pursue(request, now)
        case .restarting(let mark, let sawOff):
            if isFirstRead {
                guard reading.state != .off else {
                    return .failed(
                        .bmc(
                            "power-is-off", status: 409, "The machine is off; it cannot be restarted",
                            remedy: "Switch it on: hostler machine power on"))
                }
                phase = .restarting(mark: reading.bootMark, sawOff: false)
                return ask(.restart, now)
            }
            if let new = reading.bootMark, new != mark {
                note("the BMC's last reset is now \(new)", now)
                return proved(reading.state, now)
            }
            if reading.state == .off || reading.state == .turningOff { phase = .restarting(mark: mark, sawOff: true) }
            if reading.state == .on, sawOff { return proved(.on, now) }
            // A restart that happened unseen must not be made twice.
            return overdue(now) ?? .pause(policy.poll)
        }
    }

    /// The power could not be read.
    public mutating func readFailed(_ problem: Problem, at now: Timestamp) -> Step {
        lastProblem = problem
        note("reading failed: \(problem.title)", now)
        // Nothing was asked yet: whoever waits is told at once that the BMC is being left alone.
        let isFinal = problem.isBMCFinal || requests == 0 && ["bmc-breaker-open", "bmc-busy"].contains(problem.code)
        if isFinal { return .failed(problem) }
        return overdue(now) ?? .pause(policy.poll)
    }

    /// The BMC answered a request.
    public mutating func requested(_ problem: Problem?, at now: Timestamp) -> Step {
        if let problem {
            lastProblem = problem
            note("it refused: \(problem.title)\(problem.detail.map { " (\($0))" } ?? "")", now)
            if problem.isBMCFinal { return .failed(problem) }
        } else {
            note("it said OK", now)
        }
        return overdue(now) ?? .pause(policy.poll)
    }

    public func paused() -> Step { .read }

    // MARK: Parts

    private mutating func pursue(_ request: PowerRequest, _ now: Timestamp) -> Step {
        if let over = overdue(now) { return over }
        var request = request
        if request == .shutdown, let force = policy.forceAfter, now - phaseStartedAt >= force {
            note("it did not shut down by itself", now)
            request = .off
            enter(.seeking(.off, by: .off), now)
            return ask(request, now)
        }
        guard let last = lastRequestAt else { return ask(request, now) }
        if now - last >= policy.repeatAfter, requestsOfPhase < policy.requestLimit { return ask(request, now) }
        return .pause(policy.poll)
    }

    private mutating func ask(_ request: PowerRequest, _ now: Timestamp) -> Step {
        requests += 1
        requestsOfPhase += 1
        lastRequestAt = now
        note("asked: \(request.rawValue)", now)
        return .request(request)
    }

    private mutating func enter(_ next: Phase, _ now: Timestamp) {
        phase = next
        phaseStartedAt = now
        requestsOfPhase = 0
        lastRequestAt = nil
    }

    private func proved(_ state: PowerState, _ now: Timestamp) -> Step {
        .proved(PowerProof(action: action, state: state, at: now, requests: requests, evidence: evidence))
    }

    private func overdue(_ now: Timestamp) -> Step? {
        guard now - startedAt >= policy.deadline else { return nil }
        let seen = lastProblem.map { "The last that was heard: \($0.title)." } ?? "It still reads “\((lastState ?? .unknown).rawValue)”."
        return .failed(
            Problem(
                "power-not-proved", status: 504,
                title: "“\(action.rawValue)” was asked of \(address) and did not happen within \(policy.deadline.wholeMilliseconds / 1000) s",
                detail: "\(seen)\n" + evidence.joined(separator: "\n"),
                remedy: action == .shutdown
                    ? (policy.shutdownCaveat.map { $0 + " " } ?? "")
                        + "The operating system may not listen to its power button: hostler machine power off"
                    : "Restart the BMC, or take the machine's power cord out for a minute."))
    }

    private mutating func note(_ line: String, _ now: Timestamp) {
        let tenths = (now - startedAt).wholeMilliseconds / 100
        evidence.append("+\(tenths / 10).\(tenths % 10) s  \(line)")
        // The first line says what was there before; it stays.
        if evidence.count > Self.evidenceLimit { evidence.remove(at: 1) }
    }
}
