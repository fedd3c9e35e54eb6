internal import Hardware
internal import Model
internal import Synchronization

/// What BMCs tell by themselves, by a stream where they have one, else by their logs, becomes events of ours.
extension BMCDesk {
    /// Follows one BMC's events while `line` is the way to it.
    ///
    /// Once it listens it reads the log from where it was told last, so that what happened while nobody listened is
    /// told as well.
    func watchEvents(by line: BMCLine) async {
        var backoff = settings.eventBackoff
        while !Task.isCancelled, fleet.line(line.id) === line {
            let began = ContinuousClock.now
            var pause = settings.logEvery
            do {
                let hasLog = try await catchUp(by: line)
                if let streaming = line.power as? any EventStreaming,
                    let path = try await line.ask({ _ in try await streaming.eventStream() })
                {
                    try await listen(at: path, streaming, line)
                    // It ended without a fault, or is to be opened anew.
                    if ContinuousClock.now - began > .seconds(30) { backoff.succeeded() }
                    pause = backoff.pause(fraction: .random(in: 0...1))
                } else if !hasLog {
                    return
                } else {
                    backoff.succeeded()
                }
            } catch {
                if ContinuousClock.now - began > .seconds(30) { backoff.succeeded() }
                pause = backoff.pause(fraction: .random(in: 0...1))
                control.environment.logger.debug(
                    "a BMC's events are not followed for now", metadata: ["bmc": "\(line.id)", "error": "\(error)"])
            }
            try? await Task.sleep(for: pause)
        }
    }

    private func listen(at path: RedfishPath, _ streaming: any EventStreaming, _ line: BMCLine) async throws {
        // Opened anew now and then: a peer whose power cord was pulled says no goodbye.
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await streaming.followEvents(at: path) {
                    // Between the last look at the log and now something may have come into it.
                    _ = try? await self.catchUp(by: line)
                } _: { events in
                    await self.take(events, from: line)
                }
            }
            let longest = settings.streamLongest
            group.addTask { try await Task.sleep(for: longest) }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    /// Records what the BMC told, and looks at once at what it may be about.
    private func take(_ events: [RedfishEvent], from line: BMCLine) async {
        let now = control.steady
        let known = roster.withLock { $0[line.id]?.value.observed.faults } ?? []
        // What the log had by then was told from it; its clock is the same.
        let mark = roster.withLock { $0[line.id]?.value.observed.logMark }
        let events = events.filter { !LogCatchUp.isTold($0, mark) }
        let (admitted, dropped) = wards.withLock { wards in
            var ward = wards[line.id] ?? self.newWard(known)
            defer { wards[line.id] = ward }
            let admitted = events.filter { _ in ward.throttle.admits(at: now) }
            return (admitted, admitted.isEmpty ? 0 : ward.throttle.takeDropped())
        }
        guard !admitted.isEmpty else { return }
        do {
            try await edit(line.id) { bmc in
                // Later by the BMC's own clock than what is known of its log: that has these too.
                guard
                    let newest = admitted.compactMap(\.time).max(by: {
                        (BMCClock.time($0) ?? .init(milliseconds: 0)) < (BMCClock.time($1) ?? .init(milliseconds: 0))
                    }),
                    let time = BMCClock.time(newest), (BMCClock.time(bmc.observed.logMark?.time) ?? .init(milliseconds: 0)) < time
                else { return false }
                bmc.observed.logMark = HardwareLogMark(id: nil, time: newest)
                return true
            } events: { bmc in
                let place = self.place(bmc)
                return admitted.map { Self.happening($0, at: place) } + (dropped > 0 ? [Self.tooMany(dropped, at: place)] : [])
            }
        } catch {
            control.environment.logger.error("a BMC's event was not recorded", metadata: ["bmc": "\(line.id)", "error": "\(error)"])
        }
        await look(by: line)
    }

    /// An event is what a BMC says; what is so is read.
    private func look(by line: BMCLine) async {
        do {
            try await note(await line.observe())
            if settings.health.everySeconds > 0 { try await readHealth(by: line) }
        } catch {
            control.environment.logger.debug("what a BMC told of was not read", metadata: ["bmc": "\(line.id)", "error": "\(error)"])
        }
    }

    /// Tells of what stands in the log since it was looked at last. False where the BMC has no log.
    private func catchUp(by line: BMCLine) async throws -> Bool {
        let entries: [HardwareLogEntry]
        do {
            entries = try await line.ask { try await $0.log(limit: 512) }
        } catch let problem as Problem where problem.code == "bmc-unsupported" {
            return false
        }
        var news = LogCatchUp.News(entries: [], left: 0, mark: HardwareLogMark())
        try await edit(line.id) { bmc in
            news = LogCatchUp.news(in: entries, after: bmc.observed.logMark)
            guard news.mark != bmc.observed.logMark else { return false }
            bmc.observed.logMark = news.mark
            return true
        } events: { bmc in
            let place = self.place(bmc)
            return (news.left > 0 ? [Self.tooMany(news.left, at: place)] : []) + news.entries.map { Self.happening($0, at: place) }
        }
        if !news.entries.isEmpty { await look(by: line) }
        return true
    }

    // MARK: In words

    /// What people call the machine, or the BMC's address.
    func place(_ bmc: BMC) -> String {
        bmc.machine.map { control.snapshot.machines[$0]?.name.text ?? $0.rawValue } ?? bmc.address
    }

    private static func happening(_ event: RedfishEvent, at place: String) -> OperationTransition.Happening {
        var evidence = ["severity": event.severity.rawValue, "by": "stream"]
        evidence["messageId"] = event.messageID
        evidence["origin"] = event.origin
        evidence["time"] = event.time
        return .init(kind: "hardware.event", actor: "bmc", message: "\(place): \(event.message)", evidence: evidence)
    }

    private static func happening(_ entry: HardwareLogEntry, at place: String) -> OperationTransition.Happening {
        var evidence = ["severity": entry.severity.rawValue, "by": "log", "entry": entry.id]
        evidence["time"] = entry.time
        return .init(kind: "hardware.event", actor: "bmc", message: "\(place): \(entry.message)", evidence: evidence)
    }

    private static func tooMany(_ count: Int, at place: String) -> OperationTransition.Happening {
        .init(
            kind: "hardware.events-left-out", actor: "bmc",
            message: "\(place): the BMC told of \(count) more at once; they stand in its own log (hostler machine sel)")
    }
}
