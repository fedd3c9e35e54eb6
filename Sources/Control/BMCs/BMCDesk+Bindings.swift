internal import Hardware
public import Model
internal import Store
internal import Synchronization
internal import Wire

// Which machine a BMC switches. It is found once, when the BMC is added, or said by a person; a later look never binds and
// never rebinds, it only asks.
extension BMCDesk {
    /// Says that a BMC is in this machine: a person's word.
    ///
    /// - Parameter machine: nil: in the only one that was proposed.
    public func bind(_ name: String, to machine: String?, by actor: String) async throws -> BMC {
        let known = try await bmc(named: name).value
        let target: MachineID
        if let machine {
            target = try await control.machine(named: machine).value.id
        } else {
            let proposals = known.proposals ?? []
            guard proposals.count == 1, let only = proposals.first else {
                throw Problem(
                    "bmc-binding-unclear", status: 409,
                    title: proposals.isEmpty
                        ? "No machine is proposed for BMC \(known.id)" : "BMC \(known.id) may be in \(proposals.count) machines",
                    detail: Self.words(proposals), remedy: "Say which: hostler bmc bind \(known.id) MACHINE")
            }
            target = try await control.machine(named: only.machine.rawValue).value.id
        }
        try refuseSecond(at: target, besides: known.id)
        let now = control.now
        var happening: OperationTransition.Happening?
        return try await edit(known.id) { bmc in
            let findings = self.findings(bmc, target)
            bmc.machine = target
            bmc.binding = BMCBinding(.hand, by: actor, at: now, findings: findings, facts: bmc.facts)
            bmc.proposals = nil
            bmc.denied?.removeAll { $0 == target }
            if bmc.denied?.isEmpty == true { bmc.denied = nil }
            happening = .init(
                kind: "bmc.bound", actor: actor, message: "BMC \(bmc.address) is in \(target): \(actor) said so",
                evidence: Self.evidence(findings).merging(["before": known.machine?.rawValue ?? "none"]) { $1 })
            return true
        } events: { _ in
            happening.map { [$0] } ?? []
        }
    }

    /// Says that a BMC is not in the machine that it was taken for, or that was proposed.
    public func unbind(_ name: String, by actor: String) async throws -> BMC {
        let known = try await bmc(named: name).value
        let wrong = known.machine.map { [$0] } ?? (known.proposals ?? []).map(\.machine)
        guard !wrong.isEmpty else {
            throw Problem("bmc-not-bound", status: 409, title: "BMC \(known.id) is in no machine, and none is proposed")
        }
        return try await edit(known.id) { bmc in
            bmc.machine = nil
            bmc.binding = nil
            bmc.proposals = nil
            bmc.denied = Array((Array(Set((bmc.denied ?? []) + wrong)).sorted()).suffix(64))
            return true
        } events: { bmc in
            [
                .init(
                    kind: "bmc.unbound", actor: actor,
                    message: "BMC \(bmc.address) is not in \(wrong.map(\.rawValue).joined(separator: ", ")): \(actor) said so")
            ]
        }
    }

    /// Finds the machine of a BMC that is being added: binds it where that is proved, else proposes.
    func find(_ bmc: inout BMC, by actor: String) {
        guard let facts = bmc.facts else { return }
        switch match(bmc, facts) {
        case .same(let found):
            bmc.machine = found.machine
            bmc.binding = BMCBinding(.facts, by: actor, at: control.now, findings: found.findings, facts: facts)
            bmc.proposals = nil
        case .ask(let proposals): bmc.proposals = proposals
        case .none: bmc.proposals = nil
        }
    }

    /// What a later look at a BMC changes: never the machine that it is bound to, except that a doubt takes it away.
    func reconsider(_ bmc: inout BMC, _ facts: BMCFacts) -> [FactFinding] {
        defer { bmc.facts = facts }
        guard let machine = bmc.machine else {
            switch match(bmc, facts) {
            case .same(let found): bmc.proposals = [found]
            case .ask(let proposals): bmc.proposals = proposals
            case .none: bmc.proposals = nil
            }
            return []
        }
        let doubt = doubt(bmc, facts)
        if !doubt.isEmpty {
            bmc.proposals = [BMCProposal(machine: machine, findings: doubt)]
            bmc.machine = nil
            bmc.binding = nil
        }
        return doubt
    }

    /// What speaks against the machine that a BMC is bound to; empty: nothing.
    private func doubt(_ bmc: BMC, _ facts: BMCFacts) -> [FactFinding] {
        guard let binding = bmc.binding, let id = bmc.machine else { return [] }
        let changes = binding.facts.map { BMCMatch.changes(from: $0, to: facts) } ?? []
        if !changes.isEmpty { return changes }
        guard binding.basis == .facts, let machine = control.snapshot.machines[id] else { return [] }
        // The usual case, and enough by itself.
        if facts.macs.contains(where: { machine.hasBooted($0) && control.snapshot.machines(with: $0).count == 1 }) { return [] }
        // Many BMCs name no ports, or no UUID, while the machine is off: that speaks for nothing.
        // What an agent says of a machine that nobody knows yet takes no BMC from another.
        let company = control.snapshot.machines.values.filter { $0.id == id || !$0.isMerelyDiscovered }
        let findings = BMCMatch.findings(
            binding.facts.map { BMCMatch.completed(facts, by: $0) } ?? facts, machine, in: .init(company, []))
        return SameMachine.stands(.init(findings)) ? [] : findings
    }

    // MARK: Before it is used

    /// The machine's BMC, and that what it says of itself still is what made it that machine's. Asks the BMC.
    ///
    /// Called before anything is done that the wrong machine would suffer from.
    func proved(_ bmc: BMC, of machine: Machine, by line: BMCLine) async throws {
        let facts = try await line.ask { try await $0.facts() }
        guard Self.isFirstWord(facts, of: bmc) || !doubt(bmc, facts).isEmpty else { return }
        var doubts: [FactFinding] = []
        let changed = try await edit(bmc.id) { record in
            doubts = []
            guard record.machine == machine.id else {
                doubts = [FactFinding(.hand, .differs, "it was bound to another machine meanwhile")]
                return false
            }
            if Self.isFirstWord(facts, of: record) {
                // It had said nothing of its machine: from now on this is what it is known by.
                record.binding?.facts = facts
                record.facts = facts
                return record.binding != nil
            }
            doubts = self.reconsider(&record, facts)
            return !doubts.isEmpty
        } events: { record in
            doubts.isEmpty || record.machine != nil ? [] : [Self.doubtful(record, machine.id, doubts)]
        }
        if !doubts.isEmpty { throw Self.doubtful(changed, machine, doubts) }
    }

    /// Whether a bound BMC says for the first time who its machine is.
    private static func isFirstWord(_ facts: BMCFacts, of bmc: BMC) -> Bool {
        bmc.binding?.facts.map { !BMCMatch.isTelling($0) && BMCMatch.isTelling(facts) } ?? (bmc.binding != nil)
    }

    /// A machine has one BMC.
    func refuseSecond(at machine: MachineID, besides id: BMCID?) throws(Problem) {
        guard let other = roster.withLock({ $0.values.first { $0.value.machine == machine && $0.value.id != id } })?.value else { return }
        throw Problem(
            "machine-has-bmc", status: 409, title: "\(machine) has a BMC already: \(other.id) at \(other.address)",
            remedy: "Take the other away first: hostler bmc remove \(other.id)")
    }

    /// Why there is no BMC for a machine, where one was only proposed.
    func withoutBMC(_ machine: MachineID) -> Problem {
        let proposed = roster.withLock { roster in
            roster.values.map(\.value).filter { bmc in bmc.proposals?.contains { $0.machine == machine } == true }
        }.min { $0.id < $1.id }
        guard let proposed, let proposal = proposed.proposals?.first(where: { $0.machine == machine }) else {
            return Problem(
                "machine-without-bmc", status: 409, title: "No BMC is known for \(machine)",
                remedy: "Add it with: hostler bmc add ADDRESS --machine \(machine)")
        }
        return Problem(
            "bmc-binding-doubtful", status: 409, title: "BMC \(proposed.id) at \(proposed.address) may be that of \(machine); that is not proved",
            detail: Self.words([proposal]), remedy: "If it is: hostler bmc bind \(proposed.id) \(machine). If not: hostler bmc unbind \(proposed.id)")
    }

    // MARK: Records of earlier versions

    /// Looks at bindings that an earlier version made: it took one fact that agreed for a proof, fillers too. Those that a booted
    /// port or two facts prove stay, and so do those that only a person can have made; the others are proposals from now on.
    func reviewOldBindings() async throws {
        let old = roster.withLock { $0.values.map(\.value) }.filter { $0.machine != nil && $0.binding == nil }
        guard !old.isEmpty else { return }
        let machines = control.snapshot.machines
        let company = BMCMatch.Company(machines.values, [])
        var made: [MachineID: String]?
        for bmc in old.sorted(by: { $0.id < $1.id }) {
            guard let id = bmc.machine else { continue }
            let facts = bmc.facts ?? BMCFacts()
            let findings = machines[id].map { BMCMatch.findings(facts, $0, in: company) } ?? []
            var basis: BMCBinding.Basis?
            if SameMachine.stands(.init(findings)) {
                basis = .facts
            } else if machines[id].map({ Self.mayHaveMatched(facts, $0) }) != true {
                basis = .hand
            } else if made == nil {
                // A machine that came into the record by its BMC was a person's wish.
                made = [:]
                for event in ((try? await records.all(Event.self)) ?? []).map(\.value) where event.kind == "machine.made" {
                    if let machine = event.machine { made?[machine] = event.message }
                }
            }
            if basis == nil, made?[id]?.hasSuffix("by its BMC at \(bmc.address)") == true,
                !findings.contains(where: { $0.standing == .differs })
            {
                basis = .hand
            }
            let now = control.now
            let chosen = basis
            try await edit(bmc.id) { record in
                guard record.binding == nil, record.machine == id else { return false }
                if let chosen {
                    record.binding = BMCBinding(chosen, by: "earlier version", at: now, findings: findings, facts: record.facts)
                } else {
                    record.machine = nil
                    record.proposals = [BMCProposal(machine: id, findings: findings)]
                }
                return true
            } events: { record in
                record.machine == nil ? [Self.doubtful(record, id, findings)] : []
            }
        }
    }

    /// Whether an earlier version may have bound these by itself: it compared what stands there, filler or not.
    static func mayHaveMatched(_ facts: BMCFacts, _ machine: Machine) -> Bool {
        let system = machine.observed.inventory?.system
        func equal(_ one: String?, _ other: String?) -> Bool {
            guard let one, let other else { return false }
            return one.lowercased() == other.lowercased() || SystemUUID(one).map { SystemUUID(other) == $0 } == true
        }
        if equal(facts.systemUUID, system?.uuid) || equal(facts.serial, system?.serial) || equal(facts.serial, system?.boardSerial) { return true }
        if facts.macs.contains(where: { mac in machine.allInterfaces.contains { $0.mac == mac } }) { return true }
        // An inventory that was taken since leaves fillers out: what was equal then cannot be seen any more.
        return facts.systemUUID.map { !Filler.identifies(uuid: $0) } == true || facts.serial.map { !Filler.identifies(serial: $0) } == true
            || facts.macs.contains { !Filler.identifies(mac: $0) && !machine.owns($0) }
    }

    // MARK: In words

    /// BMCs of which nobody has said yet in which machine they are, for those who look at the server's state.
    public var bindingWarnings: [Problem] {
        let open = roster.withLock { $0.values.map(\.value) }.filter { $0.machine == nil && $0.proposals?.isEmpty == false }
        return open.sorted { $0.id < $1.id }.prefix(16).map { bmc in
            let proposals = bmc.proposals ?? []
            return Problem(
                "bmc-binding-doubtful",
                title:
                    "BMC \(bmc.id) at \(bmc.address) may be that of \(proposals.map(\.machine.rawValue).joined(separator: ", ")); it switches nothing until you say so",
                detail: Self.words(proposals), remedy: "hostler bmc bind \(bmc.id) MACHINE, or hostler bmc unbind \(bmc.id)")
        }
    }

    private func match(_ bmc: BMC, _ facts: BMCFacts) -> BMCMatch.Verdict {
        let others = roster.withLock { $0.values.map(\.value) }.filter { $0.id != bmc.id && $0.address != bmc.address }.compactMap(\.facts)
        return BMCMatch.machine(for: facts, among: control.snapshot.machines.values, besides: others, denied: bmc.denied ?? [])
    }

    /// How a BMC stands to one machine.
    func findings(_ bmc: BMC, _ machine: MachineID) -> [FactFinding] {
        guard let facts = bmc.facts, let machine = control.snapshot.machines[machine] else { return [] }
        return BMCMatch.findings(facts, machine, in: .init(control.snapshot.machines.values, []))
    }

    static func evidence(_ findings: [FactFinding]) -> [String: String] {
        Dictionary(findings.map { ($0.fact.rawValue, "\($0.standing.rawValue): \($0.detail)") }) { first, _ in first }
    }

    static func words(_ proposals: [BMCProposal]) -> String? {
        proposals.isEmpty
            ? nil : proposals.map { "\($0.machine): " + $0.findings.map(\.words).joined(separator: "; ") }.joined(separator: "\n")
    }

    static func doubtful(_ bmc: BMC, _ machine: MachineID, _ findings: [FactFinding]) -> OperationTransition.Happening {
        .init(
            kind: "bmc.binding-doubtful", actor: "control",
            message: "Whether BMC \(bmc.address) is that of \(machine) is in doubt; it switches nothing until somebody says so",
            evidence: evidence(findings).merging(["machine": machine.rawValue]) { $1 })
    }

    private static func doubtful(_ bmc: BMC, _ machine: Machine, _ findings: [FactFinding]) -> Problem {
        Problem(
            "bmc-binding-doubtful", status: 409,
            title: "The BMC at \(bmc.address) may be in another machine than \(machine.name); nothing was switched",
            detail: findings.map(\.words).joined(separator: "; "),
            remedy: "Look at it: hostler bmc show \(bmc.id). If it is \(machine.name)'s: hostler bmc bind \(bmc.id) \(machine.id)")
    }
}
