internal import Hardware
public import Model

/// What is done to a machine by its BMC.
extension BMCDesk {
    /// Does it and proves it; the proof is an event, and so is its absence.
    ///
    /// - Parameter beyondLimits: an admin said that it may be beyond the limits for the whole rack.
    public func power(
        _ action: PowerAction, machine name: String, by actor: String, beyondLimits: Bool = false
    ) async throws -> PowerProof {
        try control.refuseWhileFrozen()
        let machine = try await control.machine(named: name).value
        let bmc = try await bmc(of: machine.id)
        try refuseWhileUpdating(bmc)
        let line = try line(bmc.id)
        try await proved(bmc, of: machine, by: line)
        let isCounted = DestructiveAct(action) != nil
        if isCounted {
            try await control.countPowerOff(of: machine.id, isApproved: beyondLimits)
            control.powerOffs.withLock { $0 += 1 }
        }
        defer { if isCounted { control.powerOffs.withLock { $0 -= 1 } } }
        do {
            let proof = try await line.perform(action, policy: settings.power, mayAct: mayAct)
            try await control.recordEvent(
                kind: "power.\(action.rawValue)", machine: machine.id, actor: actor,
                message: "\(machine.name): \(action.rawValue), proved: it reads \(proof.state.rawValue)",
                evidence: ["requests": String(proof.requests), "seen": proof.evidence.joined(separator: "\n")])
            return proof
        } catch let problem as Problem {
            try await control.recordEvent(
                kind: "power.not-proved", machine: machine.id, actor: actor, message: "\(machine.name): \(problem.title)",
                evidence: Self.evidence(problem))
            throw problem
        }
    }

    /// Throws where the rack is frozen: asked right before anything is asked of a BMC that changes something.
    var mayAct: @Sendable () throws -> Void {
        { [control] in try control.refuseWhileFrozen() }
    }

    /// The power as it is now, read and not remembered.
    public func powerStatus(machine name: String) async throws -> ObservedPower {
        let bmc = try await bmc(of: control.machine(named: name).value.id)
        return try await line(bmc.id).readPower().0
    }

    public func setBoot(_ wanted: BootOverride, machine name: String, by actor: String) async throws -> BootOverride {
        if let uri = wanted.uri {
            guard wanted.target == .http, uri.utf8.count <= 1024, uri.hasPrefix("http://") || uri.hasPrefix("https://"),
                uri.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
            else {
                throw Problem("boot-uri-invalid", status: 422, title: "A URI goes with http only, and begins with http:// or https://")
            }
        }
        try control.refuseWhileFrozen()
        let machine = try await control.machine(named: name).value
        let bmc = try await bmc(of: machine.id)
        let line = try line(bmc.id)
        try await proved(bmc, of: machine, by: line)
        let mayAct = mayAct
        let read = try await line.ask { way in
            try mayAct()
            try await way.setBoot(wanted)
            return try await way.bootOverride()
        }
        try await control.recordEvent(
            kind: "boot.override", machine: machine.id, actor: actor, message: "\(machine.name): \(wanted.words); the BMC has \(read.words)")
        return read
    }

    public func bootOverride(machine name: String) async throws -> BootOverride {
        let bmc = try await bmc(of: control.machine(named: name).value.id)
        return try await line(bmc.id).ask { try await $0.bootOverride() }
    }

    public func hardwareLog(machine name: String, limit: Int) async throws -> [HardwareLogEntry] {
        let bmc = try await bmc(of: control.machine(named: name).value.id)
        return try await line(bmc.id).ask { try await $0.log(limit: limit) }
    }

    public func clearHardwareLog(machine name: String, by actor: String) async throws {
        let machine = try await control.machine(named: name).value
        let bmc = try await bmc(of: machine.id)
        let line = try line(bmc.id)
        try await proved(bmc, of: machine, by: line)
        let mayAct = mayAct
        try await line.ask { way in
            try mayAct()
            try await way.clearLog()
        }
        try await control.recordEvent(
            kind: "hardware-log.cleared", machine: machine.id, actor: actor, message: "\(machine.name): the BMC's event log was cleared")
    }
}
