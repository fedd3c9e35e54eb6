public import Model

// How long an operation waits. The wall clock may be set at any moment, so what counts is the server's uptime.
extension OperationTransition {
    /// After a start of the server a step that waits has at least so long: the longest pause between two tries to reach it of an
    /// agent, or, half an hour, of an installed system that calls home (``CallHomeProgram``), and some.
    static func restartGrace(_ step: StepName) -> Duration { step == .firstBoot ? .seconds(1860) : .seconds(180) }

    /// The server was away. What it may have missed meanwhile can be said again before the step counts as failed, once.
    public mutating func serverStarted(_ now: Timestamp) {
        guard operation.state == .running, let uptime, let current = operation.currentStep, current.state == .running,
            let due = current.due, current.wasPutOff != true, due < uptime + Self.restartGrace(current.name)
        else { return }
        update(current.name) {
            $0.waits(Self.restartGrace(current.name), now, uptime)
            $0.wasPutOff = true
        }
    }

    /// The wall clock was set: what it said of times to come is said anew.
    mutating func clockJumped(by distance: Duration) {
        guard operation.isOpen, let current = operation.currentStep else { return }
        update(current.name) {
            $0.deadline = $0.deadline.map { $0 + distance }
            $0.retryAt = $0.retryAt.map { $0 + distance }
        }
    }

    /// Whether the end of what a step waits for is reached. A record of before told it by the wall clock alone, and waits
    /// anew, as long as a step of its kind may.
    mutating func isDue(_ step: Step, _ now: Timestamp) -> Due {
        guard let end = step.state == .pending ? step.retryAt : step.deadline else { return .no }
        guard let uptime else { return end <= now ? .yes : .no }
        if let due = step.due { return due <= uptime ? .yes : .no }
        let wait = step.state == .pending ? StepPolicy.backoff(beforeAttempt: step.attempts + 1) : StepPolicy.of(step.name).silence
        update(step.name) { $0.due = uptime + wait }
        return .fromNowOn
    }

    enum Due { case yes, no, fromNowOn }
}

extension Step {
    /// Its attempt fails unless something is heard within `silence`.
    mutating func waits(_ silence: Duration, _ now: Timestamp, _ uptime: Uptime?) {
        deadline = now + silence
        due = uptime.map { $0 + silence }
        wasPutOff = nil
    }

    /// It is tried again after a pause.
    mutating func pauses(_ pause: Duration, _ now: Timestamp, _ uptime: Uptime?) {
        deadline = nil
        retryAt = now + pause
        due = uptime.map { $0 + pause }
        wasPutOff = nil
    }

    mutating func waitsNoMore() {
        deadline = nil
        retryAt = nil
        due = nil
        wasPutOff = nil
    }
}
