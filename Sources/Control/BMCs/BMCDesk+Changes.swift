internal import Crypto
internal import Hardware
public import Model
internal import Store
internal import Synchronization
public import Wire

extension BMCDesk {
    /// Adds a BMC once it answered with this password, and finds its machine.
    public func add(_ request: BMCRequest, by actor: String) async throws -> BMC {
        guard (1...255).contains(request.address.utf8.count), request.password?.utf8.count ?? 0 <= 256, request.options?.count ?? 0 <= 16 else {
            throw Problem("bmc-request-invalid", status: 422, title: "Address, password or options are missing or too long")
        }
        if let same = roster.withLock({ roster in roster.values.first { Self.isSame($0.value, request) } })?.value {
            throw Problem(
                "bmc-known", status: 409, title: "\(request.address) is known already, as \(same.id)",
                remedy: "Look at it with: hostler bmc show \(same.id)")
        }
        var bmc = BMC(id: .random(length: 6), kind: request.kind, address: request.address, userName: request.userName, now: control.now)
        bmc.system = request.system
        bmc.fingerprint = request.fingerprint
        bmc.trustsAuthorities = request.trustsAuthorities ?? false
        bmc.options = request.options ?? [:]
        var wanted: MachineID?
        if let name = request.machine { wanted = try await control.machine(named: name).value.id }
        if let wanted { try refuseSecond(at: wanted, besides: nil) }

        let way = try ways.way(to: bmc, password: request.password)
        do {
            try await look(&bmc, by: way)
        } catch {
            await way.close()
            throw error
        }
        var newMachine: [Mutation] = []
        do {
            newMachine = try assign(&bmc, request, wanted, by: actor)
        } catch {
            await way.close()
            throw error
        }
        let secret = BMCSecret(current: try request.password.map { try vault.seal($0, context: BMCSecret.context(bmc.id)) })
        let added = OperationTransition.Happening(
            kind: "bmc.added", actor: actor, message: "BMC \(bmc.address) (\(bmc.kind.rawValue)) added",
            evidence: (bmc.fingerprint.map { ["fingerprint": $0] } ?? [:]).merging(Self.evidence(bmc.binding?.findings ?? [])) { $1 })
        let revision = try await records.store.commit(
            [
                try bmc.put(.absent), try secret.put(for: bmc.id, .absent),
                try control.event(added, machine: bmc.machine, operation: nil).put(.absent),
            ] + newMachine)
        if !newMachine.isEmpty { await control.snapshots.reached(revision) }
        keep(Versioned(value: bmc, revision: revision))
        put(BMCLine(id: bmc.id, power: way, last: bmc.observed.power, now: { [control] in control.now }, steady: { [control] in control.steady }))
        return bmc
    }

    /// Looks for BMCs in a network, and says which of them are in the record.
    public func scan(_ network: IPv4Prefix, by actor: String) async throws -> [FoundBMC] {
        let known = try await records.all(BMC.self).map(\.value)
        let found = try await BMCScan(network: ways.network).run(network).map { found in
            var found = found
            found.known = known.first { bmc in bmc.address == found.address || RedfishAddress(bmc.address)?.description == found.address }?.id
            return found
        }
        try await control.recordEvent(kind: "bmc.scanned", actor: actor, message: "\(network) was scanned: \(found.count) BMCs")
        return found
    }

    private static func isSame(_ bmc: BMC, _ request: BMCRequest) -> Bool {
        // One PDU has many outlets, one program many machines.
        bmc.kind == request.kind && bmc.address == request.address && bmc.system == request.system
            && bmc.options == request.options ?? [:]
    }

    /// Asks the BMC who it is and how the power is.
    private func look(_ bmc: inout BMC, by way: any PowerSwitch) async throws {
        try await way.verify()
        let facts = try await way.facts()
        bmc.facts = facts
        bmc.fingerprint = way.fingerprint ?? bmc.fingerprint
        bmc.observed.power = ObservedPower(state: try await way.readPower().state, at: control.now)
    }

    /// Which machine it is that a new BMC switches: the one that a person names, the one that is proved, or a new one.
    private func assign(_ bmc: inout BMC, _ request: BMCRequest, _ wanted: MachineID?, by actor: String) throws(Problem) -> [Mutation] {
        if let wanted {
            bmc.machine = wanted
            bmc.binding = BMCBinding(.hand, by: actor, at: control.now, findings: findings(bmc, wanted), facts: bmc.facts)
            return []
        }
        find(&bmc, by: actor)
        if let machine = bmc.machine { try refuseSecond(at: machine, besides: nil) }
        guard bmc.machine == nil, request.makesMachine == true else { return [] }
        // One that a fact speaks for and none against may be it: a second record of it would do harm.
        if let likely = bmc.proposals?.filter({ proposal in !proposal.findings.contains { $0.standing == .differs } }), !likely.isEmpty {
            throw Problem(
                "bmc-ambiguous", status: 409,
                title: "The BMC at \(bmc.address) may be that of a known machine: \(likely.map(\.machine.rawValue).joined(separator: ", "))",
                detail: Self.words(likely), remedy: "If it is, say so with --machine; or add it without --new-machine, and look at it.")
        }
        let made = try control.machine(in: bmc, macs: request.macs ?? [], besides: toldElsewhere(than: bmc), by: actor)
        bmc.machine = made.machine
        bmc.binding = BMCBinding(.hand, by: actor, at: control.now, findings: [], facts: bmc.facts)
        bmc.proposals = nil
        return made.mutations
    }

    /// Ports that other BMCs name.
    private func toldElsewhere(than bmc: BMC) -> Set<MACAddress> {
        Set(roster.withLock { $0.values.map(\.value) }.filter { $0.id != bmc.id }.flatMap { $0.facts?.macs ?? [] })
    }

    /// Looks at a BMC anew: logs in and asks who it is. Where it has no machine, it proposes some; it binds none.
    public func verify(_ name: String, by actor: String) async throws -> BMC {
        let known = try await bmc(named: name).value
        let found = try await line(known.id).ask { way in
            try await way.verify()
            return (try await way.facts(), try await way.readPower(), way.fingerprint)
        }
        let (facts, reading, fingerprint) = found
        var doubts: [FactFinding] = []
        return try await edit(known.id) { bmc in
            doubts = self.reconsider(&bmc, facts)
            bmc.fingerprint = bmc.trustsAuthorities ? nil : bmc.fingerprint ?? fingerprint
            bmc.observed = self.fleet.line(bmc.id).map { Self.merged(bmc.observed, $0.observed) } ?? bmc.observed
            bmc.observed.power = ObservedPower(state: reading.state, at: self.control.now)
            return true
        } events: { bmc in
            known.machine.flatMap { doubts.isEmpty ? nil : [Self.doubtful(bmc, $0, doubts)] } ?? []
        }
    }

    public func remove(_ name: String, by actor: String) async throws {
        let found = try await bmc(named: name).value
        let gone = OperationTransition.Happening(kind: "bmc.removed", actor: actor, message: "BMC \(found.address) removed")
        try await records.store.commit([
            .delete(key: found.key, if: .exists), .delete(key: BMCSecret.key(found.id), if: .none),
            try control.event(gone, machine: found.machine, operation: nil).put(.absent),
        ])
        starts.withLock { _ = $0.held.remove(found.id) }
        roster.withLock { _ = $0.removeValue(forKey: found.id) }
        wards.withLock { _ = $0.removeValue(forKey: found.id) }
        await fleet.remove(found.id)?.power.close()
    }

    /// Says that a BMC's certificate may be another from now on: this one, or whichever it shows next.
    public func trust(_ name: String, fingerprint: String?, by actor: String) async throws -> BMC {
        if let fingerprint, fingerprint.count != 71 || !fingerprint.hasPrefix("SHA256:") {
            throw Problem(
                "fingerprint-invalid", status: 422, title: "“\(fingerprint)” is no fingerprint",
                remedy: "Give SHA256: and 64 hex digits, as the message had it.")
        }
        let known = try await bmc(named: name).value
        let changed = try await edit(known.id) { bmc in
            bmc.fingerprint = fingerprint
            return true
        } events: { bmc in
            [
                .init(
                    kind: "bmc.trusted", actor: actor,
                    message: "BMC \(bmc.address): \(fingerprint ?? "the next certificate that it shows") is trusted",
                    evidence: ["before": known.fingerprint ?? "none"])
            ]
        }
        try await connect(changed)
        return try await verify(changed.id.rawValue, by: actor)
    }

    // MARK: Passwords

    /// Gives the BMC a new password, proves it, and only then forgets the old one.
    ///
    /// Both are in the store before the BMC hears of the new one: a kill at any point leaves one that opens it.
    public func rotatePassword(_ name: String, by actor: String) async throws -> BMC {
        try control.refuseWhileFrozen()
        let known = try await bmc(named: name).value
        // Two at once would each forget the other's password.
        guard settling.withLock({ $0.insert(known.id).inserted }) else {
            throw Problem("bmc-busy", status: 409, title: "The password of \(known.address) is being changed already", remedy: "Wait for it.")
        }
        defer { settling.withLock { _ = $0.remove(known.id) } }
        guard var secret = try await secret(of: known.id), secret.current != nil else {
            throw Problem("bmc-without-password", status: 422, title: "\(known.address) has no password to change")
        }
        if secret.pending != nil { try await settle(known) }
        secret = try await self.secret(of: known.id) ?? secret
        let fresh = Self.newPassword()
        secret.pending = try vault.seal(fresh, context: BMCSecret.context(known.id))
        try await records.store.commit([try secret.put(for: known.id, .exists)])
        do {
            try await line(known.id).ask { try await $0.setPassword(fresh) }
        } catch let problem as Problem where !problem.isBMCOutage {
            // It said no: the old one stays. Trying the new one would prove nothing where any password is taken.
            try await records.store.commit([try BMCSecret(current: secret.current).put(for: known.id, .exists)])
            throw problem
        } catch {
            // Whether the BMC took it is not known: both are tried.
            try await settle(known, after: error as? Problem)
            guard try await self.secret(of: known.id)?.current == secret.pending else { throw error }
        }
        try await settle(known)
        return try await edit(known.id) { _ in
            false
        } events: { bmc in
            [.init(kind: "bmc.rotated", actor: actor, message: "BMC \(bmc.address) has a new password, and it works")]
        }
    }

    /// Finds out which of two passwords a BMC has, and forgets the other. Where neither works, both stay.
    func settle(_ bmc: BMC, after problem: Problem? = nil) async throws {
        guard let secret = try await secret(of: bmc.id), let pending = secret.pending else { return }
        let context = BMCSecret.context(bmc.id)
        for candidate in [pending, secret.current].compactMap(\.self) {
            let way = try ways.way(to: bmc, password: try vault.open(candidate, context: context))
            do {
                try await way.verify()
                await way.close()
            } catch {
                await way.close()
                continue
            }
            try await records.store.commit([try BMCSecret(current: candidate).put(for: bmc.id, .exists)])
            try await connect(bmc)
            return
        }
        throw problem
            ?? Problem.notProved(bmc)
    }

    func settlePasswords() async {
        for bmc in (try? await records.all(BMC.self).map(\.value)) ?? [] {
            guard settling.withLock({ $0.insert(bmc.id).inserted }) else { continue }
            defer { settling.withLock { _ = $0.remove(bmc.id) } }
            do { try await settle(bmc) } catch {
                control.environment.logger.error("which password a BMC has is not known; both are kept", metadata: ["bmc": "\(bmc.id)"])
            }
        }
    }

    /// 16 letters and digits, what IPMI 1.5 takes too: 95 bits.
    static func newPassword() -> String {
        let alphabet = Array("ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789")
        var generator = SystemRandomNumberGenerator()
        while true {
            let password = String((0..<16).map { _ in alphabet[Int.random(in: 0..<alphabet.count, using: &generator)] })
            // Vendors' rules want one of each.
            if password.contains(where: \.isUppercase), password.contains(where: \.isLowercase), password.contains(where: \.isNumber) {
                return password
            }
        }
    }
}

extension Problem {
    fileprivate static func notProved(_ bmc: BMC) -> Problem {
        Problem(
            "bmc-password-not-proved", status: 502, title: "Which password the BMC at \(bmc.address) has is not known",
            detail: "neither the old nor the new one worked; both are kept", remedy: "Once it answers: hostler bmc rotate \(bmc.id)")
    }
}
