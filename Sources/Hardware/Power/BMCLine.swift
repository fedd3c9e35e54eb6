public import Model
internal import Synchronization

/// The one line to one BMC: questions wait in order, so many a second, each with its own limit of time, behind a
/// circuit breaker. A BMC that hangs holds up its own line and no other.
public final class BMCLine: Sendable {
    public struct Limits: Sendable {
        /// For one question and all that belongs to it.
        public var timeout: Duration = .seconds(60)
        /// Further questions are refused.
        public var waiting = 16
        /// The least time from one question's end to the next one's start.
        public var spacing: Duration = .milliseconds(50)
        public var breaker = CircuitBreaker.Policy()
        public init() {}
    }

    public let id: BMCID
    public let power: any PowerSwitch
    private let limits: Limits
    /// The wall clock, for what people see.
    private let wall: @Sendable () -> Timestamp
    /// Time that is never set, for all that is waited for.
    private let now: @Sendable () -> Timestamp
    private let state: Mutex<State>

    private struct State {
        var breaker: CircuitBreaker
        var watch: PowerWatch
        var problem: Problem?
        var problemAt: Timestamp?
        var isBusy = false
        var freeAt: Timestamp
        var waiters: [(number: Int, continuation: CheckedContinuation<Bool, Never>)] = []
        var nextNumber = 0
    }

    /// - Parameters:
    ///   - now: the wall clock.
    ///   - steady: a clock that is never set; nil: the wall clock is none that is set.
    public init(
        id: BMCID, power: any PowerSwitch, last: ObservedPower? = nil, limits: Limits = Limits(), now: @escaping @Sendable () -> Timestamp,
        steady: (@Sendable () -> Timestamp)? = nil
    ) {
        self.id = id
        self.power = power
        self.limits = limits
        wall = now
        self.now = steady ?? now
        state = Mutex(
            State(breaker: CircuitBreaker(limits.breaker), watch: PowerWatch(last: last), freeAt: Timestamp(milliseconds: 0)))
    }

    /// What is known now.
    public var observed: ObservedBMC {
        state.withLock { state in
            var observed = ObservedBMC()
            observed.power = state.watch.last
            observed.breaker = state.breaker.state
            observed.problem = state.problem
            observed.problemAt = state.problemAt
            return observed
        }
    }

    /// Runs one question when its turn comes. Throws `bmc-breaker-open` at once where the BMC is being left alone.
    public func ask<T: Sendable>(timeout: Duration? = nil, _ body: @Sendable @escaping (any PowerSwitch) async throws -> T) async throws -> T {
        try await takeTurn()
        defer { passTurn() }
        guard state.withLock({ $0.breaker.admits(at: now()) }) else { throw breakerOpen }
        let limit = timeout ?? limits.timeout
        let power = power
        do {
            let value = try await Deadline.within(limit, else: Problem.bmcSilent(power.address, after: limit)) { try await body(power) }
            state.withLock { state in
                _ = state.breaker.succeeded()
                state.problem = nil
                state.problemAt = nil
            }
            return value
        } catch {
            note(error)
            throw error
        }
    }

    /// A refusal of our own: nothing was asked of the BMC, and it says nothing about it.
    private static let frozen = "frozen"

    private func note(_ error: any Error) {
        let (wall, now) = (wall(), now())
        state.withLock { state in
            guard let problem = error as? Problem, problem.code != Self.frozen else { return state.breaker.abandoned() }
            state.problem = problem
            state.problemAt = wall
            // A BMC that refuses with reasons works, unless it refuses us altogether: then each try nears a lockout.
            if problem.isBMCOutage || problem.code == "bmc-auth-refused" {
                _ = state.breaker.failed(at: now)
            } else {
                _ = state.breaker.succeeded()
            }
        }
    }

    private var breakerOpen: Problem {
        let (problem, retryAt) = state.withLock { ($0.problem, $0.breaker.retryAt) }
        return Problem(
            "bmc-breaker-open", status: 503, title: "The BMC at \(power.address) failed too often and is left alone for now",
            detail: (problem.map { "The last failure: \($0.title)\($0.detail.map { " (\($0))" } ?? "")." } ?? "")
                + (retryAt.map { " It is tried again at \(wall() + ($0 - now()))." } ?? ""),
            remedy: problem?.remedy)
    }

    // MARK: Power

    /// The power now. A state that changed by itself is returned beside it.
    public func readPower(timeout: Duration? = nil) async throws -> (ObservedPower, PowerWatch.Flip?) {
        let reading = try await ask(timeout: timeout) { try await $0.readPower() }
        let (wall, now) = (wall(), now())
        let flip = state.withLock { $0.watch.read(reading.state, at: wall, steady: now) }
        return (ObservedPower(state: reading.state, at: wall), flip)
    }

    /// Reads the power, and says all that is known then.
    public func observe(timeout: Duration? = nil) async -> BMCFleet.Observation {
        // Other questions may be before it; after twice the time it is given up for now. The BMC itself gets all of its own.
        let limit = timeout ?? limits.timeout
        let flip = try? await Deadline.within(limit * 2, else: Problem.bmcSilent(power.address, after: limit)) {
            try await self.readPower(timeout: limit).1
        }
        return BMCFleet.Observation(id: id, observed: observed, flip: flip ?? nil, fingerprint: power.fingerprint)
    }

    /// Does it and proves it, or throws what was seen last.
    ///
    /// - Parameter mayAct: throws where nothing may be switched any more; asked right before each request.
    public func perform(
        _ action: PowerAction, policy: PowerPursuit.Policy = .init(), mayAct: @Sendable @escaping () throws -> Void = {}
    ) async throws -> PowerProof {
        var pursuit = PowerPursuit(action, address: power.address, at: now(), policy: policy.suiting(power.manners))
        state.withLock { $0.watch.expectChange(until: now() + policy.deadline + .seconds(30)) }
        var step = pursuit.begin()
        while true {
            switch step {
            case .read:
                do {
                    let reading = try await ask { try await $0.readPower() }
                    step = pursuit.read(reading, at: now())
                } catch let problem as Problem {
                    step = pursuit.readFailed(problem, at: now())
                }
            case .request(let request):
                do {
                    try await ask { way in
                        try mayAct()
                        try await way.request(request)
                    }
                    step = pursuit.requested(nil, at: now())
                } catch let problem as Problem where problem.code == Self.frozen {
                    throw problem
                } catch let problem as Problem {
                    step = pursuit.requested(problem, at: now())
                }
            case .pause(let pause):
                try await Task.sleep(for: pause)
                step = pursuit.paused()
            case .proved(var proof):
                proof.at = wall()
                state.withLock { $0.watch.settled(proof.state, at: proof.at) }
                return proof
            case .failed(let problem): throw problem
            }
        }
    }

    // MARK: Turns

    private func takeTurn() async throws {
        try Task.checkCancellation()
        let number = state.withLock { state in
            state.nextNumber += 1
            return state.nextNumber
        }
        let admitted = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let verdict: Bool? = state.withLock { state in
                    if Task.isCancelled { return false }
                    if !state.isBusy {
                        state.isBusy = true
                        return true
                    }
                    guard state.waiters.count < limits.waiting else { return false }
                    state.waiters.append((number, continuation))
                    return nil
                }
                if let verdict { continuation.resume(returning: verdict) }
            }
        } onCancel: {
            let waiter = state.withLock { state in
                state.waiters.firstIndex { $0.number == number }.map { state.waiters.remove(at: $0).continuation }
            }
            waiter?.resume(returning: false)
        }
        guard admitted else {
            try Task.checkCancellation()
            throw Problem(
                "bmc-busy", status: 503, title: "\(limits.waiting) questions wait for the BMC at \(power.address) already",
                remedy: "It answers slowly; try again when they are through.")
        }
        let wait = state.withLock { $0.freeAt } - now()
        if wait > .zero { try? await Task.sleep(for: wait) }
    }

    private func passTurn() {
        let next = state.withLock { state -> CheckedContinuation<Bool, Never>? in
            state.freeAt = now() + limits.spacing
            guard !state.waiters.isEmpty else {
                state.isBusy = false
                return nil
            }
            return state.waiters.removeFirst().continuation
        }
        next?.resume(returning: true)
    }
}

/// A limit of time for work that minds its cancellation.
enum Deadline {
    static func within<T: Sendable>(
        _ limit: Duration, else problem: Problem, _ body: @Sendable @escaping () async throws -> T
    ) async throws -> T {
        try await withThrowingTaskGroup(of: T?.self) { group in
            group.addTask { try await body() }
            group.addTask {
                try await Task.sleep(for: limit)
                return nil
            }
            defer { group.cancelAll() }
            guard let first = try await group.next(), let value = first else {
                throw problem
            }
            return value
        }
    }
}
