import Model

/// What a wipe will take, for the person who is asked.
enum WipeText {
    /// The disks by the record, as the server will choose them too. Where none can be, the server's refusal says why.
    static func question(_ machine: Machine, naming disks: [String]) -> String {
        let whose = "\(machine.name) (\(machine.id))"
        let names = DiskNames(machine.observed.inventory?.disks ?? [])
        guard disks.isEmpty else {
            let lines = disks.map { name in (try? names.disk(named: name)).map { names.description(of: $0) } ?? name }
            return "All data on \(lines.count == 1 ? "this disk" : "these disks") of \(whose) will be gone:" + list(lines)
        }
        guard let choice = try? DiskChoice.forWipe(among: names) else { return "All data on every disk inside \(whose) will be gone." }
        let wiped = names.disks.indices.filter { !choice.left.contains($0) }.map { names.description(of: $0) }
        return "All data on \(wiped.count == 1 ? "this disk" : "these disks") of \(whose) will be gone:" + list(wiped)
            + left(choice.left.map { names.description(of: $0) })
    }

    /// What stays as it is, for the person who did not name it.
    static func left(_ disks: [String]) -> String {
        disks.isEmpty ? "" : "\nThese stay as they are, as they are not the machine's own; --disk NAME wipes one:" + list(disks)
    }

    private static func list(_ lines: [String]) -> String { lines.map { "\n  " + Table.printable($0) }.joined() + "\n" }
}
