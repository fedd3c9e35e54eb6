internal import Model
internal import Store
public import Wire

/// How many machines may come into the record by themselves. Whoever is on the wire can make up ports, each of them a machine.
public struct DiscoveryLimits: Sendable, Codable, Equatable {
    /// Machines that were discovered and that nobody has done anything with, at most.
    public var machines = 1024
    /// New ones at once: twenty racks that have their power back are known already; a few new racks are some hundred.
    public var burst = 128
    /// New ones in a minute, after the burst.
    public var perMinute = 30
    /// Days after which one that was not seen again, and that nobody has done anything with, is forgotten.
    public var daysKept = 7

    public init() {}

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        func value(_ key: CodingKeys, _ usual: Int, _ range: ClosedRange<Int>) throws -> Int {
            let value = try container.decodeIfPresent(Int.self, forKey: key) ?? usual
            guard range.contains(value) else {
                throw DecodingError.dataCorruptedError(
                    forKey: key, in: container, debugDescription: "\(key.stringValue) is \(range.lowerBound) to \(range.upperBound)")
            }
            return value
        }
        machines = try value(.machines, machines, 1...100_000)
        burst = try value(.burst, burst, 1...10_000)
        perMinute = try value(.perMinute, perMinute, 1...10_000)
        daysKept = try value(.daysKept, daysKept, 1...3650)
    }

    var allowance: Allowance { Allowance(burst: burst, every: .milliseconds(60_000 / Int64(perMinute))) }

    /// One that was silent for so long gives its place to a new one.
    static let placeIsKept = Duration.seconds(600)
}

extension Machine {
    /// Whether it came by itself and nobody has done anything with it since: no name, no wish, no work but the first inspection.
    var isMerelyDiscovered: Bool {
        generation <= 1 && name.text == id.rawValue && desired == DesiredMachine() && installed == nil && addedBy == nil && takenDisks == nil
    }
}

extension RackSnapshot {
    /// Whether a port is of a machine that has room reserved. One that was merely discovered has none: anybody can make a
    /// record by a hello.
    public func isKnown(_ mac: MACAddress) -> Bool { machine(with: mac).map { !$0.isMerelyDiscovered } ?? (damagedMachine(with: mac) != nil) }
}

// Machines that come into the record by themselves.
extension ControlPlane {
    /// Throws where a port that nobody knows may not become a machine now.
    func admitDiscovery(of hello: HelloRequest, from sender: Sender) throws(Problem) {
        guard PortBinding.decide(sender.mac, naming: hello.macs, in: snapshot) == .new else { return }
        let limits = environment.discovery
        guard snapshot.machines.values.count(where: \.isMerelyDiscovered) < limits.machines else {
            throw Problem(
                "discovery-full", status: 503, title: "\(limits.machines) machines were discovered that nobody has looked at",
                detail: "No more are taken in; machines that are known boot as ever.",
                remedy: "Name or delete some: hostler machine list. Or raise discoveryLimits.machines in the configuration.")
        }
        guard discoveries.take(limits.allowance, of: 0, at: steady) else {
            throw Problem(
                "discovery-pace", status: 503, title: "More than \(limits.perMinute) new machines a minute are not taken in",
                detail: "Machines that are known boot as ever.", remedy: "Wait; or raise discoveryLimits.perMinute in the configuration.")
        }
    }

    /// Runs ``expireDiscovered()`` every minute.
    func forgetDiscovered() async throws {
        while !Task.isCancelled {
            try await Task.sleep(for: .seconds(60))
            do {
                try await expireDiscovered()
            } catch StoreError.closed {
                return
            } catch {
                environment.logger.error("discovered machines could not be forgotten; tried again", metadata: ["error": "\(error)"])
            }
        }
    }

    /// Forgets machines that were never more than discovered: those that were not seen for days, and, where the record is
    /// full of them, those that have been silent for ten minutes, the longest first.
    ///
    /// One that runs somebody's system is not seen for days because it runs. Forgotten, it would be unknown at its next start, and
    /// be led away from that system once more: only where the record is full does it give way.
    func expireDiscovered() async throws {
        let limits = environment.discovery
        let keepers = try await machinesWithBMC()
        // An agent that waits for work says nothing else.
        let polls = agentPolls.withLock { $0 }
        let discovered = snapshot.machines.values.filter { $0.isMerelyDiscovered && !keepers.contains($0.id) }
            .map { (machine: $0, seen: max($0.observed.heardAt ?? $0.observed.lastSeen ?? $0.createdAt, polls[$0.id] ?? .init(milliseconds: 0))) }
            .sorted {
                $0.seen < $1.seen
            }
        // A tenth is kept free, so that room is there before it is needed.
        let surplus = discovered.count - limits.machines * 9 / 10
        let gone = discovered.enumerated().filter { index, found in
            let silence = steady - found.seen
            let isOld = found.machine.foreignContents == nil && silence > .seconds(86_400 * limits.daysKept)
            return isOld || (index < surplus && silence > DiscoveryLimits.placeIsKept)
        }.map(\.element.machine)
        guard !gone.isEmpty else { return }
        let operations = Dictionary(grouping: try await records.all(Model.Operation.self).map(\.value), by: \.machine)
        for machine in gone { try await forget(machine, operations[machine.id] ?? []) }
    }

    /// With its operations, so that nothing of it stays.
    private func forget(_ known: Machine, _ operations: [Model.Operation]) async throws {
        guard let found = try await records.get(Machine.self, id: known.id.rawValue), found.value.isMerelyDiscovered else { return }
        var mutations: [Mutation] = [.delete(key: found.value.key, if: .revision(found.revision))]
        mutations += operations.map { .delete(key: $0.key, if: .none) }
        let seen = found.value.observed.lastSeen.map { "\($0)" } ?? "never"
        let gone = OperationTransition.Happening(
            kind: "machine.expired", actor: "control",
            message: "\(found.value.name) is forgotten: it was discovered, not seen again, and nobody has done anything with it",
            evidence: ["mac": found.value.interfaces.first?.mac.description ?? "", "seen": seen])
        mutations.append(try event(gone, machine: known.id, operation: nil).put(.absent))
        guard let revision = try await records.store.commitUnlessConflict(mutations) else { return }
        await snapshots.reached(revision)
        forgetAgent(of: known.id)
    }

    /// What is kept of an agent in memory, for a machine that is in the record no longer.
    func forgetAgent(of machine: MachineID) {
        logs.forget(machine)
        agentPolls.withLock { $0[machine] = nil }
    }

    /// A person has given these a BMC.
    private func machinesWithBMC() async throws -> Set<MachineID> {
        // One that is only proposed is a question that somebody is to answer.
        Set(try await records.all(BMC.self).flatMap { [$0.value.machine].compactMap(\.self) + ($0.value.proposals ?? []).map(\.machine) })
    }
}
