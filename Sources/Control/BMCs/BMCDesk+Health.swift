internal import Hardware
public import Model
internal import Synchronization

/// Sensors: what was read, what is wrong, and what follows.
extension BMCDesk {
    /// One machine's sensors, as this program knows them.
    struct Ward: Sendable {
        var ring = SensorRing()
        var judge: HealthJudge
        var throttle = EventThrottle()
    }

    /// Reads a machine's sensors now.
    public func health(machine name: String) async throws -> MachineHealth {
        let bmc = try await bmc(of: control.machine(named: name).value.id)
        return try await readHealth(by: line(bmc.id))
    }

    /// What was read of a machine's sensors lately. Asks nobody.
    public func sensors(machine name: String) async throws -> SensorHistories {
        let bmc = try await bmc(of: control.machine(named: name).value.id)
        let ward = wards.withLock { $0[bmc.id] }
        return SensorHistories(
            machine: bmc.machine ?? MachineID(unchecked: name), at: ward?.ring.at, sensors: ward?.ring.histories ?? [],
            faults: bmc.observed.faults ?? [])
    }

    /// Everything that is known of the BMCs and by them, for whoever draws curves of it.
    public func vitals() -> [BMCVitals] {
        let records = roster.withLock { $0.values.map(\.value) }.sorted { $0.id < $1.id }
        let known = wards.withLock { $0.mapValues { ($0.ring.at, $0.ring.health, $0.ring.latest) } }
        return records.map { bmc in
            var bmc = bmc
            if let line = fleet.line(bmc.id) { bmc.observed = Self.merged(bmc.observed, line.observed) }
            let (at, health, readings) = known[bmc.id] ?? (nil, .unknown, [])
            return BMCVitals(bmc: bmc, health: health, readings: readings, readAt: at)
        }
    }

    /// Reads the sensors again and again while `line` is the BMC's own, beginning anywhere in the interval: hundreds
    /// of BMCs are not asked in one burst.
    func watchHealth(by line: BMCLine) async {
        let every = settings.health.everySeconds
        guard every > 0 else { return }
        var pause = Duration.milliseconds(Int64.random(in: 0...Int64(every) * 1000))
        while !Task.isCancelled {
            try? await Task.sleep(for: pause)
            pause = .seconds(every)
            guard fleet.line(line.id) === line else { return }
            do {
                _ = try await readHealth(by: line)
            } catch let problem as Problem where problem.code == "bmc-unsupported" {
                return
            } catch {
                // What the BMC did is known to its line, and told by the sweep.
                control.environment.logger.debug("sensors were not read", metadata: ["bmc": "\(line.id)", "error": "\(error)"])
            }
        }
    }

    /// One that goes on from the faults that the record has.
    func newWard(_ faults: [HardwareFault]) -> Ward { Ward(judge: HealthJudge(settings.health, known: faults)) }

    @discardableResult
    func readHealth(by line: BMCLine) async throws -> MachineHealth {
        let (read, power) = try await line.ask { (try await $0.health(), try await $0.readPower().state) }
        let now = control.now
        let known = roster.withLock { $0[line.id]?.value.observed.faults } ?? []
        let faults = wards.withLock { wards in
            var ward = wards[line.id] ?? self.newWard(known)
            ward.ring.add(read.health, read.readings, at: now)
            ward.judge.read(read.readings, power: power, at: now)
            wards[line.id] = ward
            return ward.judge.faults
        }
        if faults != known { try await note(faults, of: line.id) }
        return MachineHealth(health: read.health, power: power, readings: read.readings, at: now)
    }

    /// Writes down what is wrong now; what changed is an event and, where the policy says so, a hold.
    private func note(_ faults: [HardwareFault], of id: BMCID) async throws {
        let before = roster.withLock { $0[id]?.value }
        // The hold comes first: killed in between, the fault is found again and the hold is there already.
        for change in HealthChange.between(before?.observed.faults ?? [], faults) where !change.isOver {
            guard change.fault.health == .critical, !change.wasCritical, settings.health.holdOn.contains(change.fault.kind),
                let machine = before?.machine
            else { continue }
            try await control.hold(machine, change.problem(on: machine), by: "bmc")
        }
        var changes: [HealthChange] = []
        try await edit(id) { bmc in
            changes = HealthChange.between(bmc.observed.faults ?? [], faults)
            let isChanged = bmc.observed.faults ?? [] != faults
            bmc.observed.faults = faults.isEmpty ? nil : faults
            return isChanged
        } events: { bmc in
            let place = self.place(bmc)
            return changes.map { $0.happening(at: place) }
        }
    }
}

/// A BMC's record with what is known of it now.
public struct BMCVitals: Sendable {
    public var bmc: BMC
    public var health: HealthState
    /// The newest of each sensor.
    public var readings: [SensorReading]
    /// When the sensors were read; nil: not since this program started.
    public var readAt: Timestamp?

    public init(bmc: BMC, health: HealthState, readings: [SensorReading], readAt: Timestamp?) {
        self.bmc = bmc
        self.health = health
        self.readings = readings
        self.readAt = readAt
    }
}
