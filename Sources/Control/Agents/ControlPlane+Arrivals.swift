internal import Crypto
public import Model
internal import Store
internal import Wire

// An agent that has booted: its nonce, and the record that its port belongs to.
extension ControlPlane {
    /// Takes in an agent that has booted: spends its nonce, finds or makes its machine.
    ///
    /// Asking again with the same nonce and session key gives the same session, so a reply lost on the wire, or in a kill of
    /// this program, costs nothing. The session is bound to the sender's port and address.
    ///
    /// - Parameters:
    ///   - sender: the port that the hello came from; its nonce must be that port's.
    ///   - wantsProof: whether the network that it came by gives nothing without attestation.
    public func hello(_ hello: HelloRequest, from sender: Sender, wantsProof: Bool) async throws -> HelloReply {
        guard hello.mac == sender.mac else {
            throw Problem("hello-foreign", status: 403, title: "The hello is of \(hello.mac), and comes from \(sender.mac)")
        }
        try refuseDamaged(mac: sender.mac)
        guard hello.sessionKey.utf8.count == 64, hello.macs.count <= ObservedMachine.claimLimit else {
            throw Problem("hello-invalid", title: "The agent's hello is malformed")
        }
        let boot = String(Hex.encode(SHA256.hash(data: Array((hello.nonce + "|" + hello.sessionKey).utf8))).prefix(32))
        // An agent that crashed and was started again says what it said before, however long ago that was.
        let isUnderWay = snapshot.machine(with: sender.mac)?.observed.agent?.boot == boot
        let (nonceName, expires) = try nonces.check(hello.nonce, mac: sender.mac, now: steady, mayBeOld: isUnderWay)
        var order: Revision?
        if !isUnderWay {
            try admitDiscovery(of: hello, from: sender)
            order = try await spend(nonceName, boot: boot, expires: expires)
        }
        for _ in 0..<Self.conflictLimit {
            guard let machine = try await arrive(hello, boot: boot, order, from: sender, wantsProof: wantsProof) else { continue }
            inspectionTries.forget(sender.mac)
            return HelloReply(
                session: nonces.session(machine: machine.id, boot: boot), machine: machine.id, name: machine.name.text)
        }
        throw Self.tooManyConflicts
    }

    /// - Returns: the revision at which it was spent.
    @discardableResult
    func spend(_ nonce: String, boot: String, expires: Timestamp) async throws -> Revision {
        let key = "/nonces/" + nonce
        let record = try RecordCoding.encode(SpentNonce(boot: boot, expires: expires))
        if let revision = try await records.store.commitUnlessConflict([.put(key: key, value: record, if: .absent)]) { return revision }
        // A record that cannot be read says that it was spent, and not by whom.
        guard let stored = try await records.store.get(key), let spent = try? RecordCoding.decode(SpentNonce.self, from: stored),
            spent.boot == boot
        else {
            throw Self.nonceSpent
        }
        return stored.modifiedRevision
    }

    private static let nonceSpent = Problem(
        "nonce-spent", status: 401, title: "The boot nonce has been spent by another boot, or its boot is over",
        remedy: "Boot the machine from the network again.")

    struct SpentNonce: Codable {
        var boot: String
        var expires: Timestamp
    }

    /// Deletes, every ten minutes, the record of spent nonces that are too old to be spent again.
    func forgetNonces() async throws {
        while !Task.isCancelled {
            try await Task.sleep(for: .seconds(600))
            do {
                let spent = try await records.store.list(prefix: "/nonces/", after: nil, limit: 500).values
                let old = spent.filter { stored in
                    if let nonce = try? RecordCoding.decode(SpentNonce.self, from: stored) { return nonce.expires < steady }
                    records.damaged.note(stored.key, stored.modifiedRevision, "it is no spent nonce")
                    return false
                }
                guard !old.isEmpty else { continue }
                try await records.store.commit(old.map { .delete(key: $0.key, if: .none) })
            } catch StoreError.closed {
                return
            } catch {
                environment.logger.error("spent nonces could not be forgotten; tried again", metadata: ["error": "\(error)"])
            }
        }
    }

    /// What an arrival changes, with the event that tells of it.
    private struct Arrival {
        var machine: Machine
        var events: [OperationTransition.Happening] = []
        var mutations: [Mutation] = []
        /// The operation that the events belong to.
        var operation: OperationID?
    }

    /// Nil where somebody else changed the record meanwhile.
    private func arrive(
        _ hello: HelloRequest, boot: String, _ order: Revision?, from sender: Sender, wantsProof: Bool
    ) async throws -> Machine? {
        let binding = PortBinding.decide(sender.mac, naming: hello.macs, in: snapshot)
        if case .shared(let machines) = binding { throw try await refuse(hello, from: sender, sharedBy: machines) }
        let known: MachineID? =
            switch binding {
            case .own(let id), .joins(let id): id
            case .new, .shared: nil
            }
        var found: Versioned<Machine>?
        if let known {
            found = try await records.get(Machine.self, id: known.rawValue)
            // It was deleted, or has given the port away, since the snapshot was made.
            guard let machine = found?.value, binding == .joins(machine.id) || machine.owns(sender.mac) else { return nil }
        }
        if let machine = found?.value, machine.observed.agent?.boot != boot { try await check(hello, from: sender, isBoardOf: machine) }
        var arrival = Arrival(machine: found?.value ?? newMachine())
        take(sender, binding, hello, into: &arrival)
        arrival.machine.observed.lastSeen = now
        arrival.machine.observed.heardAt = steady
        arrival.machine.observed.address = sender.address ?? arrival.machine.observed.address
        if wantsProof, arrival.machine.attestationRule == nil {
            arrival.machine.attestationRule = .required
            arrival.events.append(
                .init(
                    kind: "attestation.required", actor: "control",
                    message: "\(arrival.machine.name) is on a network that asks for attestation: from now on it must prove its boots everywhere",
                    evidence: sender.evidence))
        }
        var presence = AgentPresence(
            boot: boot, since: now, version: String(hello.version.prefix(64)), mac: sender.mac, address: sender.address)
        let before = found?.value.observed.agent
        presence.order = order?.rawValue ?? before?.order
        // A hello that was long on its way does not bring back a boot that another has followed.
        if let order, let before, before.boot != boot, let newest = before.order, newest > order.rawValue { throw Self.nonceSpent }
        // The same hello again after a lost reply.
        if before?.boot == boot, before?.address == presence.address, arrival.events.isEmpty { return arrival.machine }
        let isSameBoot = before?.boot == boot
        arrival.machine.observed.agent = presence
        if isSameBoot { arrival.machine.observed.agent?.since = before?.since ?? now }
        if !isSameBoot { try await advance(&arrival, presence, hello, isKnown: found != nil) }
        arrival.machine.updatedAt = now
        arrival.mutations.append(try arrival.machine.put(found.map { .revision($0.revision) } ?? .absent))
        for happening in arrival.events {
            arrival.mutations.append(try event(happening, machine: arrival.machine.id, operation: arrival.operation).put(.absent))
        }
        guard let revision = try await records.store.commitUnlessConflict(arrival.mutations) else { return nil }
        await snapshots.reached(revision)
        return arrival.machine
    }

    /// The port that it booted by, and those that its agent names beside it.
    private func take(_ sender: Sender, _ binding: PortBinding, _ hello: HelloRequest, into arrival: inout Arrival) {
        switch binding {
        case .own: arrival.machine.markBooted(sender.mac, now)
        case .joins:
            arrival.machine.interfaces.append(Interface(mac: sender.mac, bootedAt: now))
            arrival.events.append(
                .init(
                    kind: "interface.joined", actor: "agent",
                    message: "port \(sender.mac) has booted and is \(arrival.machine.name)'s now: each had named the other",
                    evidence: sender.evidence))
        case .shared: break
        case .new:
            arrival.machine.interfaces.append(Interface(mac: sender.mac, bootedAt: now))
            arrival.events.append(
                .init(
                    kind: "machine.discovered", actor: "agent", message: "a new machine: \(arrival.machine.id)",
                    evidence: sender.evidence.merging(
                        ["mac": sender.mac.description, "serial": hello.serial ?? "", "uuid": hello.uuid ?? ""]) { $1 }))
        }
        arrival.events += take(claims: hello.macs.map { Interface(mac: $0) }, into: &arrival.machine, evidence: sender.evidence)
    }

    /// Notes what ports an agent names. Those of other machines stay theirs; that it names them is an event, and so is that
    /// two machines name the same.
    func take(
        claims named: [Interface], into machine: inout Machine, evidence: [String: String]
    ) -> [OperationTransition.Happening] {
        let id = machine.id
        var conflicts: [MachineID: [MACAddress]] = [:]
        var duplicates: [MachineID: [MACAddress]] = [:]
        for port in machine.claim(named) {
            if let owner = snapshot.machine(with: port)?.id {
                if owner != id { conflicts[owner, default: []].append(port) }
            } else if let other = snapshot.machines(claiming: port).first(where: { $0.id != id })?.id {
                duplicates[other, default: []].append(port)
            }
        }
        func happening(
            _ kind: String, _ other: MachineID, _ ports: [MACAddress], _ words: (String) -> String
        ) -> OperationTransition.Happening {
            let list = ports.map(\.description).sorted().joined(separator: " ")
            return .init(
                kind: kind, actor: "agent", message: words(list),
                evidence: evidence.merging([kind == "interface.conflict" ? "owner" : "other": other.rawValue, "macs": list]) { $1 })
        }
        let name = machine.name
        return conflicts.map { owner, ports in
            happening("interface.conflict", owner, ports) { "\(name) says that it has port \($0), which is \(owner)'s and stays so" }
        }
            + duplicates.map { other, ports in
                happening("interface.duplicate", other, ports) {
                    "\(name) and \(other) both say that they have port \($0); it identifies neither of them"
                }
            }
    }

    /// What the boot is to the machine's work.
    private func advance(
        _ arrival: inout Arrival, _ presence: AgentPresence, _ hello: HelloRequest, isKnown: Bool
    ) async throws {
        let trace = bootTraces.trace(of: hello.mac)
        var transition: OperationTransition
        let precondition: Precondition
        let isFrozen = snapshot.freeze != nil
        if let open = arrival.machine.openOperation {
            guard let operation = try await records.get(Model.Operation.self, id: open.rawValue) else { return }
            transition = OperationTransition(machine: arrival.machine, operation: operation.value, uptime: uptime)
            transition.isFrozen = isFrozen
            transition.agentArrived(presence, now, evidence: times(of: trace, since: operation.value.step(.agent)))
            precondition = .revision(operation.revision)
        } else if arrival.machine.state == .new {
            transition = OperationTransition.begin(
                id: .random(length: 8), request: .inspect, machine: arrival.machine, by: Operation.discoverer, now: now, uptime: uptime)
            transition.operation.madeAfter = try await records.store.currentRevision().rawValue
            transition.agentArrived(presence, now, evidence: times(of: trace, since: nil))
            precondition = .absent
            arrival.mutations.append(try clockMark())
        } else {
            return
        }
        // A machine that boots for ever ends its operation here.
        if !transition.operation.isOpen { attachEvidence(&transition) }
        arrival.machine = transition.machine
        arrival.events += transition.events
        arrival.operation = transition.operation.id
        arrival.mutations.append(try transition.operation.put(precondition))
        if !isFrozen { arrival.mutations.append(.check(key: Freeze.key, .absent)) }
        if transition.dropsSecrets { arrival.mutations.append(.delete(key: SeedSecrets.key(transition.operation.id), if: .none)) }
    }

    func newMachine() -> Machine {
        var id = MachineID.random(length: 6)
        while snapshot.machines[id] != nil || snapshot.damaged[id] != nil { id = .random(length: 6) }
        // An id is always a valid name.
        let name = try? DisplayName(id.rawValue)
        return Machine(id: id, name: name.unsafelyUnwrapped, interfaces: [], now: now)
    }
}
