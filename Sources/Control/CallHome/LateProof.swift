internal import Model
internal import Wire

/// A call home that comes when its operation is over: the proof counts as long as nothing has come after that system.
struct LateProof {
    var machine: Machine
    var operation: Model.Operation
    private(set) var events: [OperationTransition.Happening] = []

    init(machine: Machine, operation: Model.Operation) {
        self.machine = machine
        self.operation = operation
    }

    /// The later work by which the machine has another system, or none; nil: there is none.
    func superseded(by operations: [Model.Operation]) -> OperationID? {
        if let installed = machine.installed, installed.generation > operation.generation { return installed.operation }
        return operations.first {
            $0.machine == machine.id && $0.generation > operation.generation && takesSystem($0)
        }?.id
    }

    var isRecorded: Bool { machine.installed?.operation == operation.id }

    /// Records the proof: the machine runs that system, and what holds it for want of the proof does not any more.
    mutating func record(hostKeys: [String], evidence: [String: String], address: IPv4Address?, _ now: Timestamp) {
        guard !isRecorded, let system = operation.installation(hostKeys: hostKeys, provedAt: now) else { return }
        machine.installed = system
        machine.unproved = nil
        machine.observed.lastSeen = now
        machine.observed.address = address ?? machine.observed.address
        if let index = operation.steps.firstIndex(where: { $0.name == .firstBoot }) {
            let said = evidence.merging(["proved-late": now.description]) { $1 }
            operation.steps[index].evidence = EvidenceFacts.merged(operation.steps[index].evidence, said)
        }
        note(
            "operation.proved-late", "the system that \(operation.id) installed on \(machine.name) has proved itself after the operation ended",
            evidence)
        for hold in machine.holds where hold.operation == operation.id {
            note("machine.released", "hold on \(machine.name) released by the system's own proof: \(hold.problem.title)", ["hold": hold.id.rawValue])
        }
        machine.holds.removeAll { $0.operation == operation.id }
        // Other work that is under way, or a wipe that is not proved, goes on from where it is.
        guard machine.openOperation == nil, machine.state != .wiping else { return }
        machine.observed.agent = nil
        machine.state = .running
    }

    private mutating func note(_ kind: String, _ message: String, _ evidence: [String: String]) {
        events.append(.init(kind: kind, actor: "call-home", message: message, evidence: evidence))
    }

    /// Whether the other operation has begun to write over, to wipe, or to put out of force the disk that this one's system is
    /// on. What of that is not known counts as begun.
    private func takesSystem(_ other: Model.Operation) -> Bool {
        switch other.request {
        case .install(var request):
            guard (other.step(.writeImage)?.attempts ?? 0) > 0 else { return false }
            if (other.step(.writeSeed)?.attempts ?? 0) > 0 { return true }
            request.target = other.installTarget
            return system.map { machine.systemIsOn(request, system: $0) } ?? true
        case .wipe(let request):
            guard (other.step(.wipeDisks)?.attempts ?? 0) > 0 else { return false }
            return system.map { request.wipes($0, disks: machine.observed.inventory?.disks ?? []) } ?? true
        case .inspect, .rescue: return false
        }
    }

    private var system: Installation? { operation.installation(hostKeys: [], provedAt: operation.createdAt) }
}

extension Model.Operation {
    /// The system that this installation puts on the machine's disk; nil: it is none.
    func installation(hostKeys: [String], provedAt: Timestamp) -> Installation? {
        guard case .install(let request) = request else { return nil }
        var system = Installation(
            operation: id, generation: generation, image: request.image, digest: request.digest ?? "",
            hostname: request.hostname ?? machine.rawValue, diskSerial: step(.chooseDisk)?.evidence["serial"], installedAt: provedAt,
            // A key in known_hosts' form is plain ASCII, the longest below 3 KiB.
            hostKeys: hostKeys.prefix(CallHomeMessage.keyLimit).filter {
                $0.utf8.count <= 4096 && $0.utf8.allSatisfy { (0x20..<0x7f).contains($0) }
            })
        system.disk = installTarget
        system.sshKeys = request.sshKeys
        system.keyVerifiers = keyVerifiers
        system.seedNamesOperation = seedNamesOperation
        system.bootMark = step(.writeSeed).flatMap { BootMark(evidence: $0.evidence) }
        return system
    }
}

extension OperationTransition {
    /// Whether the installation that fails at this step has left a whole system on the disk, which may have been started: it was
    /// restarted, or nobody knows whether it was.
    func mayHaveStarted(_ step: StepName) -> Bool {
        guard operation.kind == .install, operation.isDone(.writeSeed), operation.problem?.code != "disk-not-startable" else { return false }
        if operation.isDone(.restart) { return true }
        return [.bootOrder, .restart].contains(step) && (operation.problem?.code ?? "no-sign-of-life") == "no-sign-of-life"
    }
}
