internal import Model

/// What changed between the faults that the record has and those that are there now: each is an event.
struct HealthChange: Sendable, Equatable {
    var fault: HardwareFault
    /// Whether it is over.
    var isOver: Bool
    /// Whether it was critical before already.
    var wasCritical: Bool

    static func between(_ old: [HardwareFault], _ new: [HardwareFault]) -> [HealthChange] {
        func same(_ fault: HardwareFault) -> (HardwareFault) -> Bool { { $0.sensor == fault.sensor && $0.kind == fault.kind } }
        let begun = new.compactMap { fault -> HealthChange? in
            let before = old.first(where: same(fault))
            guard before?.health != fault.health else { return nil }
            return HealthChange(fault: fault, isOver: false, wasCritical: before?.health == .critical)
        }
        let over = old.filter { fault in !new.contains(where: same(fault)) }
        return begun + over.map { HealthChange(fault: $0, isOver: true, wasCritical: $0.health == .critical) }
    }

    private var part: String {
        switch fault.kind {
        case .fan: "fan"
        case .temperature: "temperature"
        case .power: "power supply or power reading"
        case .voltage: "voltage"
        case .current: "current"
        case .other: "sensor"
        }
    }

    /// - Parameter place: what people call the machine, or the BMC's address.
    func happening(at place: String) -> OperationTransition.Happening {
        let evidence = ["sensor": fault.sensor, "kind": fault.kind.rawValue, "health": fault.health.rawValue, "why": fault.why]
        if isOver {
            return .init(
                kind: "hardware.recovered", actor: "bmc", message: "\(place): \(part) “\(fault.sensor)” is right again", evidence: evidence)
        }
        return .init(
            kind: "hardware.fault", actor: "bmc", message: "\(place): \(part) “\(fault.sensor)” is \(fault.health.rawValue): \(fault.why)",
            evidence: evidence)
    }

    /// Why the machine is on hold, where the policy holds it for that.
    func problem(on machine: MachineID) -> Problem {
        Problem(
            "hardware-\(fault.kind.rawValue)", status: 409, title: "The \(part) “\(fault.sensor)” is \(fault.health.rawValue)",
            detail: fault.why,
            remedy: "See hostler machine health \(machine); once it is right, release the hold.")
    }
}
