public import Consoles
internal import Hardware
public import Model
internal import Synchronization

/// Machines' serial consoles, held by their BMCs.
extension BMCDesk {
    /// How often it is looked whether a console is still wanted.
    private static let glance = Duration.seconds(1)
    /// After so long a BMC that has no console is asked again.
    private static let reconsideration = Duration.seconds(600)

    /// Holds one BMC's console while `line` is the way to it and the policy wants it.
    func recordConsole(by line: BMCLine) async {
        guard settings.consoles.record != .never, let offering = line.power as? any ConsoleOffering else { return }
        var backoff = settings.consoleBackoff
        var takenSince: ContinuousClock.Instant?
        while !Task.isCancelled, fleet.line(line.id) === line {
            guard let machine = consoleWanted(line), line.observed.breaker == .closed else {
                try? await Task.sleep(for: Self.glance)
                continue
            }
            let began = ContinuousClock.now
            let holder = ConsoleHolder()
            do {
                try await hold(offering, of: machine, by: line, holder)
                takenSince = nil
            } catch {
                let problem = error as? Problem
                control.consoles.disconnected(machine, holder, problem, at: control.now)
                if problem?.code == "bmc-unsupported" {
                    // Somebody may switch it on some day.
                    try? await Task.sleep(for: Self.reconsideration)
                    continue
                }
                takenSince = problem?.code == "bmc-console-taken" ? takenSince ?? began : nil
                // What is left of a server that was killed holds it until the BMC's own limit; a person at a tool of
                // their own keeps it so long.
                if let since = takenSince, ContinuousClock.now - since >= settings.consolePatience, await takeOver(offering, of: machine, holder) {
                    takenSince = nil
                    continue
                }
            }
            if ContinuousClock.now - began > .seconds(60) { backoff.succeeded() }
            try? await Task.sleep(for: backoff.pause(fraction: .random(in: 0...1)))
        }
    }

    /// True where it is free now.
    private func takeOver(_ offering: any ConsoleOffering, of machine: MachineID, _ holder: ConsoleHolder) async -> Bool {
        do {
            try await offering.freeConsole()
        } catch {
            control.consoles.disconnected(machine, holder, error as? Problem, at: control.now)
            return false
        }
        try? await control.recordEvent(
            kind: "console.taken-over", machine: machine, actor: "control",
            message: "The serial console was held by somebody else for \(settings.consolePatience) and was taken over")
        return true
    }

    /// The machine whose console is wanted now; nil: none is, or the BMC's machine is not known.
    private func consoleWanted(_ line: BMCLine) -> MachineID? {
        guard let machine = roster.withLock({ $0[line.id]?.value.machine }) else { return nil }
        switch settings.consoles.record {
        case .never: return nil
        case .always: return machine
        case .operations:
            let isBusy = control.snapshot.machines[machine]?.openOperation != nil
            return isBusy || control.consoles.console(of: machine).readerCount > 0 ? machine : nil
        }
    }

    private func hold(_ offering: any ConsoleOffering, of machine: MachineID, by line: BMCLine, _ holder: ConsoleHolder) async throws {
        let console = control.consoles.console(of: machine)
        let (typed, keyboard) = AsyncStream.makeStream(of: [UInt8].self, bufferingPolicy: .bufferingOldest(256))
        let end = ConsoleEnd(
            began: {
                self.control.consoles.connected(machine, holder, by: line.power.address, at: self.control.now) { bytes in
                    if case .enqueued = keyboard.yield(bytes) { true } else { false }
                }
            },
            received: { console.received($0) }, typed: typed)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await offering.holdConsole(end) }
            group.addTask {
                while self.fleet.line(line.id) === line, self.consoleWanted(line) == machine { try await Task.sleep(for: Self.glance) }
            }
            defer { group.cancelAll() }
            try await group.next()
        }
        control.consoles.disconnected(machine, holder, nil, at: control.now)
    }

    // MARK: What people ask

    /// Whether a machine's console is heard, and why not.
    public func consoleState(machine name: String) async throws -> ConsoleState {
        let id = try await control.machine(named: name).value.id
        var state = control.consoles.state(of: id)
        if !state.connected, state.problem == nil { state.problem = try await whyNoConsole(id) }
        return state
    }

    /// A machine's console: what it said and says, and a place to type.
    public func console(machine name: String) async throws -> Console {
        control.consoles.console(of: try await control.machine(named: name).value.id)
    }

    private func whyNoConsole(_ machine: MachineID) async throws -> Problem? {
        guard settings.consoles.record != .never else {
            return Problem(
                "consoles-off", status: 409, title: "This server holds no serial consoles",
                remedy: "Set consoles: {record: always} in its configuration.")
        }
        guard let bmc = try? await bmc(of: machine) else {
            return Problem(
                "machine-without-bmc", status: 409, title: "No BMC is known for \(machine), and a console comes by it",
                remedy: "Add it with: hostler bmc add ADDRESS --machine \(machine)")
        }
        if let line = fleet.line(bmc.id), !(line.power is any ConsoleOffering) {
            return Problem(
                "bmc-unsupported", status: 422, title: "A BMC of kind \(bmc.kind.rawValue) has no serial console",
                remedy: "Redfish and IPMI BMCs have one.")
        }
        return fleet.line(bmc.id)?.observed.problem
    }
}
