internal import Model
internal import Store
internal import Wire

// Records that cannot be read.
extension ControlPlane {
    /// Makes an event of each that was found since the last time.
    func tellDamage() async throws {
        for entry in records.damaged.takeNews() {
            environment.logger.error("a record cannot be read and is set aside", metadata: ["key": "\(entry.key)", "why": "\(entry.why)"])
            do {
                try await recordEvent(
                    kind: "record.damaged", machine: entry.folder == Machine.prefix ? MachineID(rawValue: entry.name) : nil, actor: "control",
                    message: "The record at \(entry.key) cannot be read; it is set aside, and everything else works",
                    evidence: ["key": entry.key, "revision": entry.revision.description, "why": entry.why])
            } catch StoreError.closed {
                throw StoreError.closed
            } catch {
                environment.logger.error("an event could not be kept", metadata: ["event": "record.damaged", "error": "\(error)"])
            }
        }
    }

    /// Throws where a port, or a name, is that of a machine whose record cannot be read.
    func refuseDamaged(mac: MACAddress) throws(Problem) {
        guard let machine = snapshot.damagedMachine(with: mac) else { return }
        throw machine.problem
    }

    func refuseDamaged(name: String) throws(Problem) {
        if let id = MachineID(rawValue: name), let machine = snapshot.damaged[id] { throw machine.problem }
        guard let machine = snapshot.damaged.values.first(where: { $0.name == name }) else { return }
        throw machine.problem
    }

    /// Machines whose open operation is not in the record, as after it was set aside for damage: the operation is over, and
    /// a person decides what becomes of the machine.
    func settleLostOperations() async throws {
        for machine in snapshot.machines.values {
            guard let open = machine.openOperation, snapshot.openOperation(of: machine) == nil,
                try await records.store.get(Model.Operation.prefix + open.rawValue) == nil
            else { continue }
            let problem = Problem(
                "operation-lost", title: "Its operation \(open) is not in the record any more",
                detail: "How far it went is not known. The machine was \(machine.state.rawValue).",
                remedy: "It starts what is on its disk. If nothing does, release it: its agent looks for the system's marker, and where there "
                    + "is none, ask for the work again.")
            _ = try await edit(machine: machine.id.rawValue, expecting: nil, kind: "operation.lost", by: "control") { machine, _ in
                machine.openOperation = nil
                machine.lostOperation = open
                machine.holds.append(Hold(id: HoldID.random(length: 8), problem: problem, operation: open, since: self.now))
                return "\(machine.name) is on hold: \(problem.title)"
            }
        }
    }

    /// Whether an operation's secrets may still be needed: its record, or its machine's, cannot be read.
    var damagedOperations: Set<String> {
        Set(records.damaged.all.filter { $0.folder == Model.Operation.prefix }.map(\.name))
    }
}
