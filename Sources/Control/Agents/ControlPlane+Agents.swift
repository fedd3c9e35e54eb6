internal import Crypto
internal import Synchronization
public import Metadata
public import Model
internal import Store
public import Wire

// What the agents on the machines ask of the control plane.
extension ControlPlane {
    /// Takes in an agent that has booted: spends its nonce, finds or makes its machine.
    ///
    /// Asking again with the same nonce and session key gives the same session,
    /// so a reply lost on the wire, or in a kill of this program, costs nothing.
    public func hello(_ hello: HelloRequest, from address: IPv4Address?) async throws -> HelloReply {
        let (nonceName, expires) = try nonces.check(hello.nonce, mac: hello.mac, now: now)
        guard hello.sessionKey.utf8.count == 64, hello.macs.count <= 64 else {
            throw Problem("hello-invalid", title: "The agent's hello is malformed")
        }
        let boot = String(Hex.encode(SHA256.hash(data: Array((hello.nonce + "|" + hello.sessionKey).utf8))).prefix(32))
        try await spend(nonceName, boot: boot, expires: expires)
        for _ in 0..<Self.conflictLimit {
            guard let machine = try await arrive(hello, boot: boot, from: address) else { continue }
            return HelloReply(
                session: nonces.session(machine: machine.id, boot: boot), machine: machine.id, name: machine.name.text)
        }
        throw Self.tooManyConflicts
    }

    func spend(_ nonce: String, boot: String, expires: Timestamp) async throws {
        let key = "/nonces/" + nonce
        let record = try RecordCoding.encode(SpentNonce(boot: boot, expires: expires))
        if try await records.store.commitUnlessConflict([.put(key: key, value: record, if: .absent)]) != nil { return }
        let spent = try await records.store.get(key).map { try RecordCoding.decode(SpentNonce.self, from: $0) }
        guard spent?.boot == boot else {
            throw Problem(
                "nonce-spent", status: 401, title: "The boot nonce has been spent by another boot",
                remedy: "Boot the machine from the network again.")
        }
    }

    private struct SpentNonce: Codable {
        var boot: String
        var expires: Timestamp
    }

    /// Deletes, every ten minutes, the record of spent nonces that are too old to be spent again.
    func forgetNonces() async throws {
        while !Task.isCancelled {
            try await Task.sleep(for: .seconds(600))
            do {
                let spent = try await records.store.list(prefix: "/nonces/", after: nil, limit: 500).values
                let old = try spent.filter { try RecordCoding.decode(SpentNonce.self, from: $0).expires < now }
                guard !old.isEmpty else { continue }
                try await records.store.commit(old.map { .delete(key: $0.key, if: .none) })
            } catch StoreError.closed {
                return
            } catch {
                environment.logger.error("spent nonces could not be forgotten; tried again", metadata: ["error": "\(error)"])
            }
        }
    }

    /// Nil where somebody else changed the record meanwhile.
    private func arrive(_ hello: HelloRequest, boot: String, from address: IPv4Address?) async throws -> Machine? {
        let macs = Array(Set(hello.macs + [hello.mac])).sorted()
        // The port that it booted from says who it is; another only where that one is new (a card was changed).
        let known = snapshot.machine(with: hello.mac) ?? macs.lazy.compactMap { self.snapshot.machine(with: $0) }.first
        let found = try await known.flatMap2 { try await self.records.get(Machine.self, id: $0.id.rawValue) }
        let presence = AgentPresence(boot: boot, since: now, version: String(hello.version.prefix(64)), mac: hello.mac)
        var machine = found?.value ?? newMachine()
        let newPorts = macs.filter { !machine.owns($0) }
        machine.interfaces += newPorts.map { Interface(mac: $0) }
        machine.observed.lastSeen = now
        machine.observed.address = address ?? machine.observed.address
        if machine.observed.agent?.boot == boot { return machine }
        machine.observed.agent = presence

        var mutations: [Mutation] = []
        var events: [OperationTransition.Happening] = []
        for (former, macs) in Dictionary(grouping: newPorts, by: { self.snapshot.machine(with: $0)?.id }) {
            guard let former, former != machine.id, let old = try await records.get(Machine.self, id: former.rawValue) else { continue }
            var without = old.value
            without.interfaces.removeAll { macs.contains($0.mac) }
            mutations.append(try without.put(.revision(old.revision)))
            events.append(
                .init(
                    kind: "interface.moved", actor: "agent",
                    message: "network ports of \(without.name) are in \(machine.name) now",
                    evidence: ["from": former.rawValue, "macs": macs.map(\.description).joined(separator: " ")]))
        }
        if found == nil {
            events.append(
                .init(
                    kind: "machine.discovered", actor: "agent", message: "a new machine: \(machine.id)",
                    evidence: ["mac": hello.mac.description, "serial": hello.serial ?? "", "uuid": hello.uuid ?? ""]))
        }
        if let open = machine.openOperation, let operation = try await records.get(Model.Operation.self, id: open.rawValue) {
            var transition = OperationTransition(machine: machine, operation: operation.value)
            let times = bootTraces.trace(of: hello.mac)?.evidence(from: operation.value.step(.agent)?.startedAt, to: now)
            transition.agentArrived(presence, now, evidence: times ?? [:])
            machine = transition.machine
            events += transition.events
            if transition.dropsSecrets { mutations.append(.delete(key: SeedSecrets.key(open), if: .none)) }
            mutations.append(try transition.operation.put(.revision(operation.revision)))
        } else if machine.openOperation == nil, machine.state == .new {
            var transition = OperationTransition.begin(
                id: .random(length: 8), request: .inspect, machine: machine, by: "discovery", now: now)
            transition.agentArrived(presence, now, evidence: bootTraces.trace(of: hello.mac)?.evidence(from: nil, to: now) ?? [:])
            machine = transition.machine
            events += transition.events
            mutations.append(try transition.operation.put(.absent))
        }
        machine.updatedAt = now
        mutations.append(try machine.put(found.map { .revision($0.revision) } ?? .absent))
        for happening in events {
            mutations.append(try event(happening, machine: machine.id, operation: machine.openOperation).put(.absent))
        }
        guard let revision = try await records.store.commitUnlessConflict(mutations) else { return nil }
        await snapshots.reached(revision)
        return machine
    }

    func newMachine() -> Machine {
        var id = MachineID.random(length: 6)
        while snapshot.machines[id] != nil { id = .random(length: 6) }
        // An id is always a valid name.
        let name = try? DisplayName(id.rawValue)
        return Machine(id: id, name: name.unsafelyUnwrapped, interfaces: [], now: now)
    }

    /// The machine whose present boot this session belongs to.
    public func machine(session: String) throws(Problem) -> Machine {
        let refused = Problem(
            "session-invalid", status: 401, title: "This session is over or was never given",
            remedy: "Boot the machine from the network again.")
        guard let dot = session.firstIndex(of: "."), let id = MachineID(rawValue: String(session[..<dot])),
            let machine = snapshot.machines[id], let boot = machine.observed.agent?.boot,
            constantTimeEqual(session, nonces.session(machine: id, boot: boot))
        else { throw refused }
        return machine
    }

    public func record(_ inventory: Inventory, of id: MachineID) async throws {
        for _ in 0..<Self.conflictLimit {
            guard let found = try await records.get(Machine.self, id: id.rawValue) else { return }
            var machine = found.value
            machine.observed.inventory = Self.keepingNeighbours(inventory, of: machine.observed.inventory)
            machine.observed.inventoryAt = now
            machine.observed.lastSeen = now
            for nic in inventory.nics where !machine.owns(nic.mac) { machine.interfaces.append(Interface(mac: nic.mac, name: nic.name)) }
            var events: [OperationTransition.Happening] = []
            if let adopted = try await adopt(inventory, into: &machine) { events.append(adopted) }
            var mutations = [try machine.put(.revision(found.revision))]
            for happening in events { mutations.append(try event(happening, machine: id, operation: nil).put(.absent)) }
            guard let revision = try await records.store.commitUnlessConflict(mutations) else { continue }
            await snapshots.reached(revision)
            break
        }
        try await change(id) { transition, now in
            guard transition.operation.kind == .inspect else { return }
            transition.report(
                StepReport(
                    operation: transition.operation.id, generation: transition.operation.generation, step: .inventory,
                    kind: .succeeded, evidence: ["disks": "\(inventory.disks.count)", "nics": "\(inventory.nics.count)"]), now)
        }
    }

    /// An agent tells its inventory before its ports have heard the switches, which speak every 30 s:
    /// until then, what was heard there last is the best that is known.
    private static func keepingNeighbours(_ inventory: Inventory, of old: Inventory?) -> Inventory {
        var inventory = inventory
        for index in inventory.nics.indices where inventory.nics[index].neighbour == nil {
            inventory.nics[index].neighbour = old?.nics.first { $0.mac == inventory.nics[index].mac }?.neighbour
        }
        return inventory
    }

    /// A disk that carries an installation of ours which the record does not know
    /// (the record is from a backup): the machine gets its system back, it is not taken for empty.
    private func adopt(_ inventory: Inventory, into machine: inout Machine) async throws -> OperationTransition.Happening? {
        let credible = inventory.installations.filter { $0.record.generation < Self.generationLimit }
        let newest = credible.max { $0.record.generation < $1.record.generation }
        guard let found = newest, found.record.operation != machine.openOperation else { return nil }
        // The record may be older than the disk: what is asked for next must be newer than what is there.
        if machine.openOperation == nil, found.record.machine == machine.id {
            machine.generation = max(machine.generation, found.record.generation)
        }
        guard machine.installed == nil else { return nil }
        // An installation that the record knows to have failed or been cancelled proved nothing.
        let known = try await records.get(Model.Operation.self, id: found.record.operation.rawValue)?.value
        if let known, known.state != .succeeded, known.problem?.code != OperationTransition.restoredCode {
            return nil
        }
        let operationIsOpen = machine.openOperation != nil && machine.state != .inspecting
        guard !operationIsOpen, found.record.generation >= machine.generation || found.record.machine != machine.id else { return nil }
        // An old record of this machine's own that was finished and wiped would have no marker on the disk.
        let disk = inventory.disks.first { $0.name == found.disk }
        machine.installed = Installation(
            operation: found.record.operation, generation: found.record.generation, image: found.record.image,
            digest: found.record.digest, hostname: found.record.hostname, diskSerial: disk?.serial, installedAt: now)
        machine.installed?.keyVerifiers = known?.machine == machine.id ? known?.keyVerifiers : nil
        if machine.openOperation == nil {
            machine.generation = max(machine.generation, found.record.generation)
            machine.state = .running
        }
        return .init(
            kind: "machine.adopted", actor: "control",
            message: "\(machine.name) carries an installation of \(found.record.image) that the record did not know; it is taken as running",
            evidence: ["operation": found.record.operation.rawValue, "disk": found.disk])
    }

    /// No machine is installed so often; a marker that says so is damaged or forged.
    private static let generationLimit: UInt64 = 1 << 32

    /// How many agents wait for work now.
    public var waitingAgents: Int { snapshots.observerCount }

    /// Work for the agent that differs from what it has; waits up to `patience` for some.
    ///
    /// - Parameters:
    ///   - base: `http://address:port` of this program as the machine reaches it.
    ///   - placement: where the machines of its network stand.
    ///   - wantsProof: whether that network gives images to attested machines only.
    public func task(
        for session: String, query: TaskQuery, base: String, placement: Placement? = nil, wantsProof: Bool,
        patience: Duration = .seconds(30)
    ) async throws -> AgentTask {
        // Its question shows that the agent is there. What is still waiting for an answer later on shows nothing:
        // an operation that was begun meanwhile is for the agent to ask for again.
        try await welcome(try machine(session: session))
        let (wakes, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let observer = snapshots.observe { _ in wake.yield() }
        defer { snapshots.stop(observing: observer) }
        let alarm = Task {
            try await Task.sleep(for: patience)
            wake.finish()
        }
        defer { alarm.cancel() }
        var iterator = wakes.makeAsyncIterator()
        while true {
            let machine = try machine(session: session)
            if snapshot.openOperation(of: machine)?.currentStep?.name == .agent {
                return AgentTask(operation: nil, generation: machine.generation, work: .wait)
            }
            let task = try await task(for: machine, base: base, placement: placement, wantsProof: wantsProof)
            // An agent that has work and asks for other is told at once when its own is over.
            let isNews = task.map { $0.operation != query.operation || $0.generation != query.generation } ?? (query.operation != nil)
            if !isNews, await iterator.next() != nil { continue }
            return task ?? AgentTask(operation: nil, generation: machine.generation, work: .wait)
        }
    }

    /// An agent that asks for work is what an operation waits for that was begun meanwhile.
    private func welcome(_ machine: Machine) async throws {
        guard let agent = machine.observed.agent, let operation = snapshot.openOperation(of: machine),
            operation.currentStep?.name == .agent
        else { return }
        try await change(machine.id) { transition, now in
            guard transition.operation.currentStep?.name == .agent else { return }
            transition.agentArrived(agent, now)
        }
    }

    private func task(for machine: Machine, base: String, placement: Placement?, wantsProof: Bool) async throws -> AgentTask? {
        guard let operation = snapshot.openOperation(of: machine) else {
            switch BootGate.decide(machine: machine, operation: nil, policy: DiscoveryPolicy()) {
            case .localDisk(let why): return AgentTask(operation: nil, generation: machine.generation + 1, work: .reboot(reason: why))
            case .agent, .refuse: return nil
            }
        }
        guard operation.state == .running, let current = operation.currentStep, current.name.isAgentWork,
            current.state == .running
        else { return nil }
        if operation.kind == .install, !isTrusted(machine, wantsProof: wantsProof) {
            try await refuseUnattested(machine)
            return nil
        }
        let work: AgentWork
        switch operation.request {
        case .inspect: work = .inspect
        case .install(let request): work = .install(try await installWork(operation, request, machine, base, placement, wantsProof))
        case .wipe(let request):
            work = .wipe(WipeWork(disks: request.disks, done: operation.steps.filter { $0.state == .succeeded }.map(\.name)))
        case .rescue(let request): work = .rescue(RescueWork(sshKeys: request.sshKeys))
        }
        return AgentTask(operation: operation.id, generation: operation.generation, work: work)
    }

    private func installWork(
        _ operation: Model.Operation, _ request: InstallRequest, _ machine: Machine, _ base: String, _ placement: Placement?,
        _ wantsProof: Bool
    ) async throws -> InstallWork {
        guard let digest = request.digest, let image = try await images.image(digest: digest) else {
            throw Problem.notFound("image", request.image, remedy: "It was removed meanwhile; cancel the operation.")
        }
        let seed = try await seed(of: operation.id, base: base, placement: placement, wantsProof: wantsProof)
        let chosen = operation.step(.chooseDisk).flatMap { $0.state == .succeeded ? $0.evidence["serial"] ?? $0.evidence["wwn"] : nil }
        return InstallWork(
            record: InstallRecord(
                machine: machine.id, operation: operation.id, generation: operation.generation, image: request.image,
                digest: digest, hostname: request.hostname ?? machine.id.rawValue),
            done: operation.steps.filter { $0.state == .succeeded }.map(\.name),
            indexPath: "/images/blobs/\(image.indexDigest)", indexDigest: "\(image.indexDigest)",
            blobPath: "/images/blobs/\(image.blobDigest)", diskBytes: image.diskBytes, disk: chosen ?? request.disk,
            seedPath: "/seeds/\(operation.id)", seedDigest: seed.digest, seedBytes: Int64(seed.bytes.count),
            restart: request.restart ?? .reboot, rootUUID: image.properties.rootUUID,
            kernelArguments: kernelArguments(image, machine))
    }

    /// An image that reads a raw configuration says where in its kernel arguments the URL goes, as
    /// `talos.config={config-url}`. It holds for the start by kexec: no later one goes through Hostler.
    private func kernelArguments(_ image: InstallableImage, _ machine: Machine) -> String? {
        guard let arguments = image.properties.kernelArguments, arguments.contains("{config-url}"),
            let mac = machine.observed.agent?.mac ?? machine.interfaces.first?.mac
        else { return image.properties.kernelArguments }
        return arguments.replacing("{config-url}", with: rawConfigURL(for: mac))
    }

    /// The seed of an open installation. Its system calls home at `base`, `http://address:port`; its network is told of
    /// where it stands. There is none for a machine that has not proved its boot, where its network or, by `wantsProof`,
    /// the one that it asks on wants that.
    public func seed(of id: OperationID, base: String, placement: Placement? = nil, wantsProof: Bool) async throws -> SeedVolume {
        guard let operation = snapshot.operations[id], case .install(let request) = operation.request,
            let stored = try await records.store.get(SeedSecrets.key(id)), let machine = snapshot.machines[operation.machine],
            isTrusted(machine, wantsProof: wantsProof)
        else { throw Problem.notFound("seed", id.rawValue) }
        return try seeds.seed("\(id)|\(base)|\(placement.debugDescription)") {
            let secrets = try RecordCoding.decode(SeedSecrets.self, from: stored)
            guard let keys = secrets.keys else { throw StoreError.corrupt("the record at \(stored.key) has no keys") }
            return try SeedVolume(
                SeedSource(
                    operation: operation, request: request, secrets: secrets, callHome: "\(base)/call-home/\(id)", machine: machine,
                    placement: placement, instanceKey: keys.instance, seedKey: keys.seed,
                    bringsHostCertificates: environment.bringsHostCertificates))
        }
    }

    /// What an agent says of a step. False: it is not its work any more.
    public func report(_ report: StepReport, of machine: MachineID) async throws -> Bool {
        let final = report.kind == .succeeded || report.kind == .failed
        var accepted = false
        let changed = try await change(machine) { transition, now in
            transition.machine.observed.lastSeen = final ? now : transition.machine.observed.lastSeen
            accepted = transition.report(report, now)
        }
        if changed != nil { return accepted }
        // The last word of an operation that has ended well meanwhile: there is nothing to give up.
        guard report.kind == .succeeded, let ended = try await records.get(Model.Operation.self, id: report.operation.rawValue)?.value
        else { return false }
        return ended.state == .succeeded && ended.machine == machine && ended.isDone(report.step)
    }

    public func log(_ batch: LogBatch, of machine: MachineID) { logs.append(batch, of: machine) }

    /// The installed system calls home: the proof that it is up.
    public func callHome(
        operation id: OperationID, proof: String, from address: IPv4Address? = nil, hostKeys: [String],
        evidence: [String: String]
    ) async throws {
        let refused = Problem("proof-invalid", status: 403, title: "That proof is not the operation's")
        guard let operation = try await records.get(Model.Operation.self, id: id.rawValue)?.value else { throw refused }
        // Said again after a lost reply: the secret is gone by now, and nothing is given away.
        if operation.state == .succeeded { return }
        guard let stored = try await records.store.get(SeedSecrets.key(id)),
            constantTimeEqual(try RecordCoding.decode(SeedSecrets.self, from: stored).proof, proof)
        else { throw refused }
        // The call home of these data sources is on the disk: it would come as well from a system that found nothing else.
        if case .install(let request) = operation.request, request.dataSource == .ec2 || request.dataSource == .noCloudHTTP,
            evidence["instance-id"] != id.rawValue
        {
            throw Problem(
                "instance-foreign", status: 409, title: "The system is up, but did not find its first-boot data",
                detail: "It calls itself \(evidence["instance-id"] ?? "nothing").",
                remedy: "See what the metadata service refused: hostler event list")
        }
        try await change(operation.machine) { transition, now in
            guard transition.operation.id == id else { return }
            transition.machine.observed.lastSeen = now
            transition.machine.observed.address = address ?? transition.machine.observed.address
            let start = transition.operation.step(.firstBoot)?.startedAt
            let times = self.bootTraces.trace(of: transition.machine)?.evidence(from: start, to: now) ?? [:]
            transition.systemIsUp(hostKeys: hostKeys, evidence: evidence.merging(times) { $1 }, now)
        }
    }

    /// What a machine that asks from this address boots, on a network with this policy for strangers.
    public func boots(
        _ mac: MACAddress, discovery: DiscoveryPolicy = DiscoveryPolicy()
    ) -> (machine: Machine?, verdict: BootVerdict) {
        let snapshot = snapshot
        let machine = snapshot.machine(with: mac)
        let operation = machine.flatMap { snapshot.openOperation(of: $0) }
        return (machine, BootGate.decide(machine: machine, operation: operation, policy: discovery))
    }
}

extension Optional {
    /// `flatMap` for a body that waits.
    fileprivate func flatMap2<T>(_ body: (Wrapped) async throws -> T?) async rethrows -> T? {
        guard let self else { return nil }
        return try await body(self)
    }
}
