internal import Wire

/// A disk whose contents need not be kept: a person has given it to Hostler, by taking the machine or by work that writes
/// its disks.
public struct TakenDisk: Codable, Sendable, Equatable {
    /// The serial number, else the WWN, else the kernel's name.
    public var name: String
    /// Hostler wiped it and proved that. What has a form since then is somebody else's again.
    public var isWiped: Bool

    public init(name: String, isWiped: Bool = false) {
        self.name = name
        self.isWiped = isWiped
    }
}

extension Inventory.DiskFacts {
    /// What the record calls it.
    public var recordName: String { serial ?? wwn ?? name }
    /// Whether a person, a marker or an operation means this disk by the name.
    public func isCalled(_ other: String) -> Bool { serial == other || wwn == other || name == other }
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
        let foreign = disks.filter { disk in
            guard let contents = disk.contents, !contents.isEmpty else { return false }
            if marked.contains(where: disk.isCalled) { return false }
            guard let own = taken.first(where: { disk.isCalled($0.name) }) else { return true }
            return own.isWiped && contents.hasKnownForm
        }
        let unseen = (storageWithoutDriver ?? []).filter { controller in !taken.contains { $0.name == controller } }
        return foreign.map(\.recordName) + unseen
    }
}

extension Machine {
    /// What its disks hold that was not put there by this control plane, as a sentence; nil: nothing, or nobody has looked.
    public var foreignContents: String? {
        guard let names = observed.foreignDisks, !names.isEmpty else { return nil }
        let disks = observed.inventory?.disks ?? []
        let list = names.prefix(4).map { name in
            let disk = disks.first { $0.isCalled(name) }
            return disk.map { "\($0.name) (\($0.contents?.summary ?? "not read"))" } ?? "\(name) (not readable here)"
        }.joined(separator: ", ")
        let more = names.count > 4 ? " and \(names.count - 4) more" : ""
        return PrintableText.line("Hostler did not put there what its disks hold: \(list)\(more)", limitBytes: 512)
    }

    /// Judges anew whose the contents of its disks are.
    ///
    /// - Parameter marked: the disks with a marker that this control plane made.
    public mutating func judgeDisks(marked: Set<String>) {
        let marked = marked.union(installed?.diskSerial.map { [$0] } ?? [])
        observed.foreignDisks = observed.inventory?.foreignDisks(marked: marked, taken: takenDisks ?? [])
    }

    /// A person has given the machine's disks to Hostler: none of their contents is waited for any more.
    public mutating func takeDisks() {
        let inventory = observed.inventory
        for name in (inventory?.disks.map(\.recordName) ?? []) + (inventory?.storageWithoutDriver ?? []) {
            setTaken(name, isWiped: false)
        }
        if observed.foreignDisks != nil { observed.foreignDisks = [] }
    }

    /// Disks that were wiped, and proved to be.
    ///
    /// - Parameter names: by serial or WWN; empty: every disk that is not removable.
    public mutating func noteWiped(_ names: [String]) {
        for index in observed.inventory?.disks.indices ?? 0..<0 {
            guard let disk = observed.inventory?.disks[index], names.isEmpty ? !disk.removable : names.contains(where: disk.isCalled)
            else { continue }
            setTaken(disk.recordName, isWiped: true)
            if disk.contents != nil { observed.inventory?.disks[index].contents = DiskContents() }
            observed.foreignDisks?.removeAll(where: disk.isCalled)
        }
    }

    private mutating func setTaken(_ name: String, isWiped: Bool) {
        var all = (takenDisks ?? []).filter { $0.name != name }
        // As many as an inventory has; one that is long gone gives way.
        if all.count >= AgentLimits.disks { all.removeFirst() }
        takenDisks = all + [TakenDisk(name: name, isWiped: isWiped)]
    }
}
