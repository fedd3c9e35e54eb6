internal import Model
internal import Store

// Disks that were given to Hostler before the record said so.
extension ControlPlane {
    /// Writes down, at the start, what earlier versions did not: the disks that their operations wiped or wrote. Without that a
    /// disk that erased itself by its key, and reads as noise, would be somebody else's.
    func recallTakenDisks() async throws {
        let unsaid = snapshot.machines.values.filter { $0.takenDisks == nil }
        guard !unsaid.isEmpty else { return }
        let operations = Dictionary(grouping: try await records.all(Model.Operation.self).map(\.value), by: \.machine)
        for machine in unsaid {
            let taken = Self.disksTaken(by: operations[machine.id] ?? [], of: machine)
            guard !taken.isEmpty else { continue }
            _ = try await edit(machine: machine.id.rawValue, expecting: nil, kind: "machine.disks-recalled", by: "control") { machine, _ in
                machine.takenDisks = taken
                machine.judgeDisks(marked: machine.observed.inventory.map(self.markedDisks) ?? [])
                return "earlier operations of \(machine.name) wiped or wrote \(taken.map(\.name).joined(separator: ", ")): they are Hostler's"
            }
        }
    }

    /// The newest work on a disk counts.
    private static func disksTaken(by operations: [Model.Operation], of machine: Machine) -> [TakenDisk] {
        let names = DiskNames(machine.observed.inventory?.disks ?? [])
        var taken: [TakenDisk] = []
        for operation in operations.sorted(by: { ($0.createdAt, $0.id.rawValue) < ($1.createdAt, $1.id.rawValue) }) {
            let isWiped = operation.kind == .wipe
            for given in isWiped ? operation.provenWiped(names) : operation.written {
                let name = names.disk(recordedAs: given).map { names.recordName(of: $0) } ?? given
                taken.removeAll { $0.name == name }
                taken.append(TakenDisk(name: name, isWiped: isWiped))
            }
        }
        return taken.suffix(AgentLimits.disks)
    }
}

extension Model.Operation {
    /// The disks of a wipe that was proved: those that were asked for, else those of the proof.
    fileprivate func provenWiped(_ names: DiskNames) -> [String] {
        guard case .wipe(let request) = self.request, let proof = step(.verifyWipe), proof.state == .succeeded else { return [] }
        if let disks = request.disks, !disks.isEmpty { return disks }
        return proof.evidence.sorted { $0.key < $1.key }.compactMap { kernelName, text in
            // Beside them there are their number and the seeds of their samples.
            guard kernelName != "disks", !kernelName.hasSuffix(".seed") else { return nil }
            if let name = Self.identity(in: text) { return name }
            // By the kernel's name it is known again only where it has no other, and no other disk had it since.
            return names.disk(recordedAs: kernelName).flatMap { names.name(of: $0) == nil ? kernelName : nil }
        }
    }

    /// `serial S1: 64 samples of …` is of S1, `WWN W1: 64 samples of …` of W1, and `no serial: …` says nothing.
    private static func identity(in proof: String) -> String? {
        for word in ["serial ", "WWN "] where proof.hasPrefix(word) {
            let parts = proof.dropFirst(word.count).split(separator: ": ", omittingEmptySubsequences: false)
            let name = parts.dropLast().joined(separator: ": ")
            return name.isEmpty ? nil : name
        }
        return nil
    }

    /// The disk of an installation that has begun to write it.
    fileprivate var written: [String] {
        guard case .install(let request) = self.request, (step(.writeImage)?.attempts ?? 0) > 0 else { return [] }
        let chosen = step(.chooseDisk).flatMap { $0.state == .succeeded ? $0.evidence["serial"] ?? $0.evidence["wwn"] : nil }
        return [request.target?.name ?? chosen ?? request.disk].compactMap { $0 }
    }
}
