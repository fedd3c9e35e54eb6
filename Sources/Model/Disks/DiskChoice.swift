/// Which disks are meant where a request names none. Never a guess.
public enum DiskChoice {
    /// The smallest of the machine's own disks that holds `minimumBytes`.
    ///
    /// - Parameter isUsable: false for a disk that cannot be written.
    public static func forInstall(
        among names: DiskNames, minimumBytes: Int64, isUsable: (Int) -> Bool = { _ in true }
    ) throws(DiskChoiceError) -> DiskTarget {
        let own = names.disks.indices.filter { names.isOwn($0) && isUsable($0) }
        guard !own.isEmpty else { throw .noOwnDisk }
        let fitting = own.filter { names.disks[$0].bytes >= minimumBytes }
        guard let smallest = fitting.map({ names.disks[$0].bytes }).min() else { throw .tooSmall(own, neededBytes: minimumBytes) }
        let equal = fitting.filter { names.disks[$0].bytes == smallest }
        guard equal.count == 1 else { throw .ambiguous(equal) }
        let disk = names.disks[equal[0]]
        // A path alone is a place, and what is put there later is another disk.
        guard let name = names.name(of: equal[0]), disk.isIdentified else { throw .unidentified(equal[0]) }
        return DiskTarget(disk, name: name, isNamed: false)
    }

    /// The one disk that an install names.
    public static func forInstall(named text: String, among names: DiskNames, minimumBytes: Int64) throws(DiskChoiceError) -> DiskTarget {
        let index = try named(text, among: names)
        let disk = names.disks[index]
        guard disk.bytes >= minimumBytes else { throw .tooSmall([index], neededBytes: minimumBytes) }
        guard let name = names.name(of: index), disk.isIdentified else { throw .unidentified(index) }
        return DiskTarget(disk, name: name, isNamed: true)
    }

    /// All of the machine's own disks, and those that are left alone.
    public static func forWipe(among names: DiskNames) throws(DiskChoiceError) -> (targets: [DiskTarget], left: [Int]) {
        let own = names.disks.indices.filter { names.isOwn($0) }
        guard !own.isEmpty else { throw .noOwnDisk }
        var targets: [DiskTarget] = []
        for index in own {
            guard let name = names.name(of: index) else { throw .unidentified(index) }
            targets.append(DiskTarget(names.disks[index], name: name, isNamed: false))
        }
        return (targets, names.disks.indices.filter { !own.contains($0) })
    }

    /// The disks that a wipe names, each once.
    public static func forWipe(named texts: [String], among names: DiskNames) throws(DiskChoiceError) -> [DiskTarget] {
        var targets: [DiskTarget] = []
        var seen: Set<Int> = []
        for text in texts {
            let index = try named(text, among: names)
            guard let name = names.name(of: index) else { throw .unidentified(index) }
            if seen.insert(index).inserted { targets.append(DiskTarget(names.disks[index], name: name, isNamed: true)) }
        }
        return targets
    }

    private static func named(_ text: String, among names: DiskNames) throws(DiskChoiceError) -> Int {
        do throws(DiskNameError) { return try names.disk(named: text) } catch { throw .name(error) }
    }
}

/// Why no disk is chosen.
public enum DiskChoiceError: Error, Equatable, Sendable {
    case name(DiskNameError)
    /// These fit equally.
    case ambiguous([Int])
    /// None of these is large enough.
    case tooSmall([Int], neededBytes: Int64)
    case noOwnDisk
    /// Nothing tells this disk from another.
    case unidentified(Int)
}
