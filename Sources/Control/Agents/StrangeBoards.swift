internal import Hardware
internal import Model
internal import Store
internal import Wire

// A port that has booted is its machine's. Where the board behind it says that it is another one, or where several machines have
// the port, nobody is given the machine's session: a person looks first.
extension ControlPlane {
    /// Throws where the board that says hello by a machine's port is another than the machine's, as far as both say who they are.
    func check(_ hello: HelloRequest, from sender: Sender, isBoardOf machine: Machine) async throws {
        let findings = BoardMatch.findings(port: sender.mac, uuid: hello.uuid, serial: hello.serial, machine)
        guard SameMachine.verdict(.init(findings)) != .same else { return }
        throw try await refuse(hello, from: sender, at: machine.id, findings)
    }

    func refuse(_ hello: HelloRequest, from sender: Sender, sharedBy machines: [MachineID]) async throws -> Problem {
        let names = machines.map(\.rawValue).joined(separator: ", ")
        let finding = FactFinding(.bootedMAC, .shared, "\(sender.mac) is a port of \(names)")
        guard let first = machines.first else { return Self.refused(sender.mac, hello, MachineID(unchecked: "m-none"), [finding]) }
        return try await refuse(hello, from: sender, at: first, [finding])
    }

    /// Notes the board at the machine, once, and says why it gets nothing.
    private func refuse(
        _ hello: HelloRequest, from sender: Sender, at id: MachineID, _ findings: [FactFinding]
    ) async throws -> Problem {
        for _ in 0..<Self.conflictLimit {
            guard let found = try await records.get(Machine.self, id: id.rawValue) else { break }
            let known = found.value.observed.strangeBoard
            if known?.port == sender.mac, known?.uuid == hello.uuid, known?.serial == hello.serial, known?.findings == findings { break }
            var machine = found.value
            machine.observed.strangeBoard = StrangeBoard(
                port: sender.mac, uuid: hello.uuid, serial: hello.serial, findings: findings, since: now)
            machine.updatedAt = now
            let strange = OperationTransition.Happening(
                kind: "interface.shared", actor: "agent",
                message: "a board that is not known to be \(machine.name) has booted by its port \(sender.mac), and was given nothing",
                evidence: sender.evidence.merging(findings.map { ($0.fact.rawValue, "\($0.standing.rawValue): \($0.detail)") }) { $1 })
            let revision = try await records.store.commitUnlessConflict([
                try machine.put(.revision(found.revision)), try event(strange, machine: id, operation: nil).put(.absent),
            ])
            guard let revision else { continue }
            await snapshots.reached(revision)
            break
        }
        return Self.refused(sender.mac, hello, id, findings)
    }

    /// 423: the agent asks again until a person has decided.
    private static func refused(_ port: MACAddress, _ hello: HelloRequest, _ machine: MachineID, _ findings: [FactFinding]) -> Problem {
        Problem(
            "interface-shared", status: 423, title: "Whether the board that boots by \(port) is \(machine) is not known",
            detail: findings.map(\.words).joined(separator: "; "), remedy: remedy(machine, port))
    }

    private static func remedy(_ machine: MachineID, _ port: MACAddress) -> String {
        "If it is, as after its board was changed: hostler machine take-interface \(machine) \(port). "
            + "If two boards have one address, boot the other by another port."
    }

    /// Boards that boot by a machine's port and may be others, for those who look at the server's state.
    var boardWarnings: [Problem] {
        let found = snapshot.machines.values.filter { $0.observed.strangeBoard != nil }.sorted { $0.id < $1.id }
        return found.prefix(16).compactMap { machine in
            machine.observed.strangeBoard.map { board in
                Problem(
                    "interface-shared", title: "A board that is not known to be \(machine.name) boots by its port \(board.port)",
                    detail: board.findings.map(\.words).joined(separator: "; "), remedy: Self.remedy(machine.id, board.port))
            }
        }
    }
}

extension Machine {
    /// Writes down that the wire showed it booting by one of its ports. It is the board that it was.
    mutating func markBooted(_ port: MACAddress, _ now: Timestamp) {
        if let index = interfaces.firstIndex(where: { $0.mac == port && $0.bootedAt == nil }) { interfaces[index].bootedAt = now }
        if observed.strangeBoard?.port == port { observed.strangeBoard = nil }
    }

    /// Takes the board that a person has looked at for the machine's: what it says of itself holds until its agent says more.
    mutating func acceptStrangeBoard() {
        guard let board = observed.strangeBoard else { return }
        observed.strangeBoard = nil
        guard board.findings.contains(where: { $0.standing == .differs }) else { return }
        observed.inventory?.system.uuid = board.uuid
        observed.inventory?.system.serial = board.serial
        observed.inventory?.system.boardSerial = nil
    }
}

extension Inventory.NICFacts {
    /// Whether it only leads to the machine's own BMC.
    var isHostInterface: Bool {
        Filler.isHostInterface(mac) || driver.map(Filler.hostInterfaceDrivers.contains) == true && mac.isLocallyAdministered
    }
}
