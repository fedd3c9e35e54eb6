public import Model
internal import Store

extension ControlPlane {
    /// What an order would do, having looked at all that the order itself would look at; nothing is written.
    ///
    /// Throws what the order would throw.
    public func consequence(of act: MachineAct, on name: String) async throws -> Consequence {
        try refuseWhileFrozen()
        switch act {
        case .operation(let request):
            var consequence = try await start(request, on: name, by: "dry run", agreeing: .dryRun).consequence
            consequence.waits?.remedy = "An admin then lets it begin with: hostler operation approve OPERATION"
            return consequence
        case .approve(let id):
            let operation = try await operation(id).value
            let machine = try await waiting(operation).value
            return try await consequence(ofApproving: operation, on: machine)
        default: return try consequence(of: act, on: try await machine(named: name).value)
        }
    }

    /// The same for what needs the record of the machine only.
    func consequence(of act: MachineAct, on machine: Machine) throws(Problem) -> Consequence {
        switch act {
        case .operation, .approve: return Self.nothing(.rescue, machine)
        case .power(let action):
            let operation = snapshot.openOperation(of: machine)
            return Consequence.of(action, on: machine, operation: operation, at: now) ?? Self.nothing(.powerOff, machine)
        case .delete:
            guard machine.openOperation == nil else {
                throw Problem(
                    "machine-busy", status: 409, title: "\(machine.name) has an open operation", remedy: "Wait for it or cancel it.")
            }
            return .deletion(of: machine, at: now)
        case .release(let id):
            guard let hold = machine.holds.first(where: { $0.id == id }) else {
                throw Problem.notFound("hold", id.rawValue, remedy: "See hostler machine show \(machine.id)")
            }
            return .release(of: hold, on: machine)
        case .take(let mac):
            return .taking(mac, into: machine, from: snapshot.machines(with: mac).filter { $0.id != machine.id })
        case .takeDisks: return .taking(disksOf: machine)
        case .forgetTPM: return .forgettingTPM(of: machine)
        case .clearLog: return .clearingLog(of: machine)
        case .updateFirmware(let source): return .firmware(from: source, to: machine, at: now)
        }
    }

    private static func nothing(_ act: DestructiveAct, _ machine: Machine) -> Consequence {
        Consequence(act: act, target: machine.id.rawValue, name: machine.name.text, losses: [])
    }
}
