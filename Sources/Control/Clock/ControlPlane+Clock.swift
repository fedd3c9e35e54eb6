public import Model
internal import Store

// What time it is, and what is done when the wall clock was set.
extension ControlPlane {
    /// The wall clock, for what people see. It may be set at any moment: nothing is measured by it.
    public var now: Timestamp { clock.wall }
    /// Time that is never set; see ``RackClock``.
    public var steady: Timestamp { clock.steady }
    /// The time that this server has listened, over all its starts.
    public var uptime: Uptime { clock.uptime }

    /// What the wall clock says, or would have said if it had been right then as it is now, at a moment of steady time.
    public func wall(of moment: Timestamp) -> Timestamp { now + (moment - steady) }
    /// The steady time of an uptime of this start of the server.
    func steady(of moment: Uptime) -> Timestamp { steady + (moment - uptime) }

    /// How often the mark is renewed: while operations wait for their deadlines, and otherwise.
    static let markInterval = (busy: Duration.seconds(10), idle: Duration.seconds(600))
    /// How long people are reminded of a jump.
    static let jumpMemory = Duration.seconds(86_400)
    /// A clock that two programs set against each other jumps every second.
    static let jumpAllowance = Allowance(burst: 5, every: .seconds(600))

    static func openClock(_ store: any StateStore, _ environment: ControlEnvironment) async throws -> RackClock {
        let stored = try await store.get(ClockMark.key)
        // One that cannot be read is no reason not to start.
        let clock = RackClock(environment.clock, after: stored.flatMap { try? RecordCoding.decode(ClockMark.self, from: $0) })
        try await whereThereIsRoom("the clock's mark", environment) {
            try await store.commit([.put(key: ClockMark.key, value: try RecordCoding.encode(clock.mark), if: .none)])
        }
        return clock
    }

    /// Does a part of the start that can wait. On a full disk the gate must still send machines to their disks, and people must
    /// still be able to ask: that something could not be written is no reason not to start.
    static func whereThereIsRoom(_ what: String, _ environment: ControlEnvironment, _ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch let error as StoreError where error.isOfTheDisk {
            environment.logger.error("not written at the start", metadata: ["what": "\(what)", "error": "\(error)", "remedy": "\(error.remedy)"])
        }
    }

    /// Tells of what the clock did while the server was away, and lets open operations know that it is back.
    func settleClock() async throws {
        if let jump = clock.jumpAtStart { try await clockJumped(jump) }
        for machine in snapshot.machines.values where snapshot.openOperation(of: machine) != nil {
            try await change(machine.id) { transition, now in transition.serverStarted(now) }
        }
        let steady = steady
        markedAt.withLock { $0 = $0 ?? steady }
    }

    /// One look at the clock. Tells of a jump, and renews the mark when it is time.
    func watchClock() async throws {
        if let jump = clock.look() { return try await clockJumped(jump) }
        let isBusy = snapshot.machines.values.contains { $0.openOperation != nil }
        let interval = isBusy ? Self.markInterval.busy : Self.markInterval.idle
        let steady = steady
        guard markedAt.withLock({ $0.map { steady - $0 >= interval } ?? true }) else { return }
        try await keepMark()
    }

    private func keepMark() async throws {
        let steady = clock.steady
        try await records.store.commit([try clockMark()])
        markedAt.withLock { $0 = steady }
    }

    /// Writes down what the clocks say.
    func clockMark() throws -> Mutation { .put(key: ClockMark.key, value: try RecordCoding.encode(clock.mark), if: .none) }

    private func clockJumped(_ jump: ClockJump) async throws {
        // The mark first: its time counts from the clock as it is now.
        try await keepMark()
        environment.logger.warning(
            "the host's clock was set", metadata: ["by": "\(jump.distance)", "from": "\(jump.from)", "to": "\(jump.to)"])
        for machine in snapshot.machines.values where snapshot.openOperation(of: machine) != nil {
            try await change(machine.id) { transition, _ in transition.clockJumped(by: jump.distance) }
        }
        guard jumps.take(Self.jumpAllowance, of: 0, at: steady) else { return }
        try await recordEvent(
            kind: "clock.jumped", actor: "control", message: "The host's clock was set \(jump.words)",
            evidence: ["from": jump.from.description, "to": jump.to.description, "milliseconds": "\(jump.distance.wholeMilliseconds)"])
    }

    /// What an operator should know of the clock.
    public var clockWarnings: [Problem] {
        guard let jump = clock.lastJump, steady - jump.seen < Self.jumpMemory else { return [] }
        return [
            Problem(
                "clock-jumped", title: "The host's clock was set \(jump.words)",
                detail: "It went from \(jump.from) to \(jump.to). Work goes on and deadlines are as they were; ends of machines' leases, of API "
                    + "tokens and of certificates are judged by the clock as it is now.",
                remedy: "See that it is right now, and that one time service keeps it: timedatectl; chronyc tracking")
        ]
    }
}

extension ClockJump {
    /// As in `forward by 1 d 2 h`.
    var words: String {
        let seconds = abs(distance.wholeMilliseconds) / 1000
        let parts = [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")]
        let text = parts.drop { $0.0 == 0 }.prefix(2).map { "\($0.0) \($0.1)" }.joined(separator: " ")
        return "\(distance < .zero ? "back" : "forward") by \(text)"
    }
}

extension ControlPlane {
    /// When a step's present attempt began, in steady time. A record of before tells it by the wall clock alone.
    func began(_ step: Step) -> Timestamp? { step.begun.map(steady(of:)) ?? step.startedAt }

    /// Where the seconds of a boot went since a step began.
    func times(of trace: BootTrace?, since step: Step?) -> [String: String] {
        trace?.evidence(from: step.flatMap(began), to: steady, clockOffset: now - steady) ?? [:]
    }
}
