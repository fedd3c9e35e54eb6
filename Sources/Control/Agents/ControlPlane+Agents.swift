internal import Crypto
internal import Synchronization
public import Metadata
public import Model
internal import Store
public import Wire

// What the agents on the machines ask of the control plane.
extension ControlPlane {
    /// The machine whose present boot this session belongs to.
    public func machine(session: String) throws(Problem) -> Machine {
        guard let dot = session.firstIndex(of: "."), let id = MachineID(rawValue: String(session[..<dot])),
            let machine = snapshot.machines[id], let boot = machine.observed.agent?.boot,
            constantTimeEqual(session, nonces.session(machine: id, boot: boot))
        else { throw Self.sessionInvalid }
        return machine
    }

    public static let sessionInvalid = Problem(
        "session-invalid", status: 401, title: "This session is over or was never given",
        remedy: "Boot the machine from the network again.")

    /// Takes in what an agent says that its machine is made of.
    ///
    /// Throws a ``Problem`` with status 403 where the machine has a TPM that was enrolled, and this boot has not shown it.
    public func record(_ inventory: Inventory, of id: MachineID, wantsProof: Bool) async throws {
        if let machine = snapshot.machines[id], !isItself(machine) { throw try await refuseUnattested(machine) }
        for _ in 0..<Self.conflictLimit {
            guard let found = try await records.get(Machine.self, id: id.rawValue) else { return }
            var machine = found.value
            let before = machine.observed
            machine.observed.inventory = Self.keepingContents(
                Self.keepingNeighbours(inventory, of: machine.observed.inventory), of: machine.observed.inventory)
            machine.observed.inventoryAt = now
            machine.observed.inventoryEpoch = restoreEpoch
            machine.observed.lastSeen = now
            machine.observed.heardAt = steady
            for index in machine.interfaces.indices {
                machine.interfaces[index].name =
                    inventory.nics.first { $0.mac == machine.interfaces[index].mac }?.name ?? machine.interfaces[index].name
            }
            let sender = machine.observed.agent.flatMap { agent in agent.mac.map { Sender(mac: $0, address: agent.address) } }
            var events = take(
                claims: inventory.nics.filter { !$0.isHostInterface }.map { Interface(mac: $0.mac, name: $0.name) }, into: &machine,
                evidence: sender?.evidence ?? [:])
            if let adopted = try await adopt(inventory, into: &machine, before: before) {
                events.append(adopted)
            } else if let ignored = ignored(inventory, before.inventory, on: machine, evidence: sender?.evidence ?? [:]) {
                events.append(ignored)
            }
            if let missing = missing(inventory, on: &machine) { events.append(missing) }
            machine.judgeDisks(marked: markedDisks(inventory))
            if let found = foreignDisksFound(on: machine, before, evidence: sender?.evidence ?? [:]) { events.append(found) }
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

    /// An agent that tells its inventory again, as when it has heard a switch, does not look at the disks again: what was
    /// known of them stays, as work has changed it since.
    private static func keepingContents(_ inventory: Inventory, of old: Inventory?) -> Inventory {
        var inventory = inventory
        for index in inventory.disks.indices where inventory.disks[index].contents == nil {
            let disk = inventory.disks[index]
            inventory.disks[index].contents =
                old?.disks.first {
                    $0.name == disk.name && $0.worldWideNames == disk.worldWideNames && $0.serial == disk.serial && $0.path == disk.path
                        && $0.bytes == disk.bytes && $0.model == disk.model
                }?.contents
        }
        inventory.storageWithoutDriver = inventory.storageWithoutDriver ?? old?.storageWithoutDriver
        return inventory
    }

    /// How many agents wait for work now.
    public var waitingAgents: Int { snapshots.observerCount }

    /// Work for the agent that differs from what it has; waits up to `patience` for some.
    ///
    /// - Parameters:
    ///   - base: `http://address:port` of this program as the machine reaches it.
    ///   - placement: where the machines of its network stand.
    ///   - wantsProof: whether that network gives images to attested machines only.
    ///   - policy: that network's, for machines that have no work.
    public func task(
        for session: String, query: TaskQuery, base: String, placement: Placement? = nil, wantsProof: Bool,
        policy: DiscoveryPolicy = .discover, patience: Duration = .seconds(30)
    ) async throws -> AgentTask {
        // Its question shows that the agent is there. What is still waiting for an answer later on shows nothing:
        // an operation that was begun meanwhile is for the agent to ask for again.
        let asking = try machine(session: session)
        agentPolls.withLock { $0[asking.id] = steady }
        try await welcome(asking)
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
            // In a freeze an agent goes on with the step that it has, and gets nothing new.
            let isHeldBack = snapshot.freeze != nil && query.operation == nil
            var task: AgentTask?
            if !isHeldBack { task = try await self.task(for: machine, base: base, placement: placement, wantsProof: wantsProof, policy: policy) }
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

    private func task(
        for machine: Machine, base: String, placement: Placement?, wantsProof: Bool, policy: DiscoveryPolicy
    ) async throws -> AgentTask? {
        guard let operation = snapshot.openOperation(of: machine) else {
            switch BootGate.decide(machine: machine, operation: snapshot.namedOperation(of: machine), policy: policy) {
            // A network that takes in whatever comes keeps what it has, until it is started again.
            case .leave where policy == .discover: return nil
            // In a freeze no machine is restarted.
            case .localDisk where snapshot.freeze != nil, .leave where snapshot.freeze != nil: return nil
            case .localDisk(let why), .leave(let why):
                return AgentTask(operation: nil, generation: machine.nextGeneration, work: .reboot(reason: why))
            case .agent, .refuse: return nil
            }
        }
        guard operation.state == .running, let current = operation.currentStep, current.name.isAgentWork,
            current.state == .running
        else { return nil }
        if operation.kind != .inspect, !isTrusted(machine, wantsProof: wantsProof) {
            _ = try await refuseUnattested(machine)
            return nil
        }
        let work: AgentWork
        switch operation.request {
        case .inspect: work = .inspect
        case .install:
            // By now the agent has reported what is on the disks.
            let operation = try await namingFormerSystems(operation, on: machine)
            guard case .install(let request) = operation.request else { return nil }
            work = .install(try await installWork(operation, request, machine, base, placement, wantsProof))
        case .wipe(let request):
            guard let disks = request.disks, !disks.isEmpty else { return try await refuseWipeOfNothing(operation) }
            let done = operation.steps.filter { $0.state == .succeeded }.map(\.name)
            work = .wipe(WipeWork(disks: disks, done: done, targets: request.targets))
        case .rescue(let request): work = .rescue(RescueWork(sshKeys: request.sshKeys))
        }
        return AgentTask(operation: operation.id, generation: operation.generation, work: work)
    }

    /// An operation that an earlier version began without naming disks meant all that its agent would find. That is not asked
    /// of an agent any more, least of all of an earlier one that still runs.
    private func refuseWipeOfNothing(_ operation: Model.Operation) async throws -> AgentTask? {
        let problem = Problem(
            "wipe-no-disks", status: 409, title: "This wipe names no disks, so nothing was wiped",
            detail: "It was asked for before wipes carried the disks that the record had.",
            remedy: "Release the hold, look at its disks with hostler machine show \(operation.machine), then wipe it again.")
        try await change(operation.machine) { transition, now in
            guard transition.operation.id == operation.id, let step = transition.operation.currentStep?.name else { return }
            transition.report(
                StepReport(operation: operation.id, generation: operation.generation, step: step, kind: .failed, problem: problem), now)
        }
        return nil
    }

    private func installWork(
        _ operation: Model.Operation, _ request: InstallRequest, _ machine: Machine, _ base: String, _ placement: Placement?,
        _ wantsProof: Bool
    ) async throws -> InstallWork {
        guard let digest = request.digest, let image = try await images.image(digest: digest) else {
            throw Problem.notFound("image", request.image, remedy: "It was removed meanwhile; cancel the operation.")
        }
        let seed = try await seed(of: operation.id, base: base, placement: placement, wantsProof: wantsProof)
        let large = try await largeSectorSeed(operation.id, machine, base, placement, wantsProof)
        let target = operation.installTarget
        var work = InstallWork(
            record: try markers.sealed(marker(of: operation, request, digest)),
            done: operation.steps.filter { $0.state == .succeeded }.map(\.name),
            indexPath: path(of: image.indexDigest, for: operation.id), indexDigest: "\(image.indexDigest)",
            blobPath: path(of: image.blobDigest, for: operation.id), diskBytes: image.diskBytes, disk: target?.name,
            seedPath: "/seeds/\(operation.id)", seedDigest: seed.digest, seedBytes: Int64(seed.bytes.count),
            restart: request.restart ?? .reboot, rootUUID: image.properties.rootUUID,
            kernelArguments: kernelArguments(image, machine), target: target)
        work.facts = image.facts
        work.seed4096 = large
        work.retires = request.retires
        return work
    }

    /// The seed for a disk with sectors of 4096 bytes, where the machine has one or may have one.
    private func largeSectorSeed(
        _ id: OperationID, _ machine: Machine, _ base: String, _ placement: Placement?, _ wantsProof: Bool
    ) async throws -> SeedFile? {
        guard machine.observed.inventory?.disks.contains(where: { $0.logicalBlockBytes == 4096 }) ?? true else { return nil }
        let seed = try await seed(of: id, base: base, placement: placement, wantsProof: wantsProof, sectorBytes: 4096)
        return SeedFile(path: "/seeds/\(id)?sector=4096", digest: seed.digest, bytes: Int64(seed.bytes.count))
    }

    /// What the disk says of itself once the installation has written it.
    private func marker(of operation: Model.Operation, _ request: InstallRequest, _ digest: String) -> InstallRecord {
        var record = InstallRecord(
            machine: operation.machine, operation: operation.id, generation: operation.generation, image: request.image, digest: digest,
            hostname: request.hostname ?? operation.machine.rawValue)
        record.keyVerifiers = operation.keyVerifiers
        return record
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
    ///
    /// - Parameter sectorBytes: of the disk that it goes to, 512 or 4096.
    public func seed(
        of id: OperationID, base: String, placement: Placement? = nil, wantsProof: Bool, sectorBytes: Int = 512
    ) async throws -> SeedVolume {
        guard let operation = snapshot.operations[id], operation.state != .waiting, case .install(let request) = operation.request,
            let stored = try await records.store.get(SeedSecrets.key(id)), let machine = snapshot.machines[operation.machine],
            isTrusted(machine, wantsProof: wantsProof)
        else { throw Problem.notFound("seed", id.rawValue) }
        return try seeds.seed("\(id)|\(base)|\(placement.debugDescription)|\(sectorBytes)") {
            let secrets = try RecordCoding.decode(SeedSecrets.self, from: stored)
            guard let keys = secrets.keys else { throw StoreError.corrupt("the record at \(stored.key) has no keys") }
            return try SeedVolume(
                SeedSource(
                    operation: operation, request: request, secrets: secrets, callHome: "\(base)/call-home/\(id)", machine: machine,
                    placement: placement, instanceKey: keys.instance, seedKey: keys.seed,
                    delivery: CallHomeDelivery(operation: id, key: markers.callHomeKey(of: operation), base: base),
                    bringsHostCertificates: environment.bringsHostCertificates), sectorBytes: sectorBytes)
        }
    }

    /// What an agent says of a step. False: it is not its work any more.
    ///
    /// Throws a ``Problem`` with status 403 where the machine is to prove what it booted, and has not.
    public func report(_ report: StepReport, of machine: MachineID, wantsProof: Bool) async throws -> Bool {
        if let known = snapshot.machines[machine], let open = snapshot.openOperation(of: known) {
            let isBelieved = open.kind == .inspect ? isItself(known) : isTrusted(known, wantsProof: wantsProof)
            guard isBelieved else { throw try await refuseUnattested(known) }
        }
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

    /// What a machine that asks by this port boots, on a network with this policy.
    public func boots(_ mac: MACAddress, policy: DiscoveryPolicy = .discover) -> (machine: Machine?, verdict: BootVerdict) {
        let snapshot = snapshot
        let owners = snapshot.machines(with: mac)
        if owners.count > 1 { return (nil, BootGate.decide(sharedBy: owners, policy: policy)) }
        let machine = owners.first
        if let damaged = snapshot.damagedMachine(with: mac) { return (nil, BootGate.decide(damaged: damaged, policy: policy)) }
        let operation = machine.flatMap { snapshot.namedOperation(of: $0) }
        let tries = machine == nil ? inspectionTries.count(of: mac, at: steady) : 0
        return (
            machine,
            BootGate.decide(machine: machine, operation: operation, policy: policy, tries: tries, isFrozen: snapshot.freeze != nil)
        )
    }

    /// An unknown machine is sent into the agent now.
    public func noteInspection(of mac: MACAddress) { inspectionTries.note(mac, at: steady) }
}
