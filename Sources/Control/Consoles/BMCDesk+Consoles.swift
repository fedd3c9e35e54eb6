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
    /// So often in a row somebody else may be found at a console before it is taken over: what is left of a server
    /// that was killed holds it until the BMC's own limit, a person at a tool of their own keeps it that long.
    private static let patience = 3

    /// Holds one BMC's console while `line` is the way to it and the policy wants it.
    func recordConsole(by line: BMCLine) async {
        guard settings.consoles.record != .never, let offering = line.power as? any ConsoleOffering else { return }
        var backoff = settings.consoleBackoff
        var refusals = 0
        while !Task.isCancelled, fleet.line(line.id) === line {
            guard let machine = consoleWanted(line), line.observed.breaker == .closed else {
                try? await Task.sleep(for: Self.glance)
                continue
            }
            let began = ContinuousClock.now
            do {
                try await hold(offering, of: machine, by: line)
                refusals = 0
            } catch {
                let problem = error as? Problem
                control.consoles.disconnected(machine, problem, at: control.now)
                if problem?.code == "bmc-unsupported" {
                    // Somebody may switch it on some day.
                    try? await Task.sleep(for: Self.reconsideration)
                    continue
                }
                refusals = problem?.code == "bmc-console-taken" ? refusals + 1 : 0
                if refusals >= Self.patience {
                    refusals = 0
                    try? await offering.freeConsole()
                    try? await control.recordEvent(
                        kind: "console.taken-over", machine: machine, actor: "control",
                        message: "The serial console was held by somebody else and was taken over")
                    continue
                }
            }
            if ContinuousClock.now - began > .seconds(60) { backoff.succeeded() }
            try? await Task.sleep(for: backoff.pause(fraction: .random(in: 0...1)))
        }
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

    private func hold(_ offering: any ConsoleOffering, of machine: MachineID, by line: BMCLine) async throws {
        let console = control.consoles.console(of: machine)
        let (typed, keyboard) = AsyncStream.makeStream(of: [UInt8].self, bufferingPolicy: .bufferingOldest(256))
        let end = ConsoleEnd(
            began: {
                self.control.consoles.connected(machine, by: line.power.address, at: self.control.now)
                console.setKeyboard { keyboard.yield($0) }
            },
            received: { console.received($0) }, typed: typed)
        defer { console.setKeyboard(nil) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await offering.holdConsole(end) }
            group.addTask {
                while self.consoleWanted(line) == machine { try await Task.sleep(for: Self.glance) }
            }
            defer { group.cancelAll() }
            try await group.next()
        }
        control.consoles.disconnected(machine, nil, at: control.now)
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
