internal import Wire

/// A disk whose contents need not be kept: a person has given it to Hostler, by taking the machine or by work that writes
/// its disks.
public struct TakenDisk: Codable, Sendable, Equatable {
    /// As ``DiskNames`` has it, else the kernel's name.
    public var name: String
    /// Hostler wiped it and proved that. What has a form since then is somebody else's again.
    public var isWiped: Bool

    public init(name: String, isWiped: Bool = false) {
        self.name = name
        self.isWiped = isWiped
    }
}

extension Inventory {
    /// The disks with contents that were not put there by this control plane, by their names in the record; with them
    /// the storage controllers that no driver of the agent's knows: what is behind them may be anything. Nil: an older
    /// version's agent, which did not look.
    ///
    /// - Parameters:
    ///   - marked: the disks with a marker that this control plane made.
    ///   - taken: the disks that a person gave it.
    func foreignDisks(marked: Set<String>, taken: [TakenDisk]) -> [String]? {
        guard disks.contains(where: { $0.contents != nil }) || storageWithoutDriver != nil else { return nil }
        let names = DiskNames(disks)
        let given = Set(taken.map(\.name))
        // A name that two disks answer to speaks for neither.
        let marked = Set(marked.compactMap { names.disk(recordedAs: $0) })
        var own: [Int: TakenDisk] = [:]
        for disk in taken {
            if let index = names.disk(recordedAs: disk.name) { own[index] = disk }
        }
        let foreign = disks.indices.filter { index in
            guard let contents = disks[index].contents, !contents.isEmpty else { return false }
            if marked.contains(index) { return false }
            guard let taken = own[index] else { return true }
            return taken.isWiped && contents.hasKnownForm
        }
        let unseen = (storageWithoutDriver ?? []).filter { !given.contains($0) }
        return foreign.map { names.recordName(of: $0) } + unseen
    }
}

extension Machine {
    /// Whether a system is on its disks, as far as the record knows: Hostler's, or somebody else's.
    public var hasSystem: Bool { systemOnDisk != nil || foreignContents != nil }

    /// What its disks hold that was not put there by this control plane, as a sentence; nil: nothing, or nobody has looked.
    public var foreignContents: String? {
        guard let names = observed.foreignDisks, !names.isEmpty else { return nil }
        let disks = DiskNames(observed.inventory?.disks ?? [])
        let list = names.prefix(4).map { name in
            let disk = disks.disk(recordedAs: name).map { disks.disks[$0] }
            return disk.map { "\($0.name) (\($0.contents?.summary ?? "not read"))" } ?? "\(name) (not readable here)"
        }.joined(separator: ", ")
        let more = names.count > 4 ? " and \(names.count - 4) more" : ""
        return PrintableText.line("Hostler did not put there what its disks hold: \(list)\(more)", limitBytes: 512)
    }

    /// Judges anew whose the contents of its disks are.
    ///
    /// - Parameter marked: the disks with a marker that this control plane made.
    public mutating func judgeDisks(marked: Set<String>) {
        let marked = marked.union([systemOnDisk?.disk?.name ?? systemOnDisk?.diskSerial].compactMap { $0 })
        observed.foreignDisks = observed.inventory?.foreignDisks(marked: marked, taken: takenDisks ?? [])
    }

    /// A person has given the machine's disks to Hostler: none of their contents is waited for any more.
    public mutating func takeDisks() {
        let inventory = observed.inventory
        let names = DiskNames(inventory?.disks ?? [])
        for name in names.disks.indices.map({ names.recordName(of: $0) }) + (inventory?.storageWithoutDriver ?? []) {
            setTaken(name, isWiped: false)
        }
        if observed.foreignDisks != nil { observed.foreignDisks = [] }
    }

    /// Disks that were wiped, and proved to be.
    ///
    /// - Parameter wiped: by the names that the wipe had.
    public mutating func noteWiped(_ wiped: [String]) {
        let names = DiskNames(observed.inventory?.disks ?? [])
        let foreign = (observed.foreignDisks ?? []).map { ($0, names.disk(recordedAs: $0)) }
        let indices = Set(wiped.compactMap { names.disk(recordedAs: $0) })
        for index in indices.sorted() {
            setTaken(names.recordName(of: index), isWiped: true)
            if names.disks[index].contents != nil { observed.inventory?.disks[index].contents = DiskContents() }
        }
        if observed.foreignDisks != nil {
            observed.foreignDisks = foreign.filter { _, disk in disk.map { !indices.contains($0) } ?? true }.map(\.0)
        }
    }

    private mutating func setTaken(_ name: String, isWiped: Bool) {
        var all = (takenDisks ?? []).filter { $0.name != name }
        // As many as an inventory has; one that is long gone gives way.
        if all.count >= AgentLimits.disks { all.removeFirst() }
        takenDisks = all + [TakenDisk(name: name, isWiped: isWiped)]
    }
}
