public import Wire

/// The names of one machine's disks: which disk a name means, and which name means a disk.
///
/// The control plane asks it about the record, the agent about what the kernel shows, so both mean the same by a name. A
/// disk answers to its world wide names, to its serial number, and to each of these with `@` and its path. A name is good
/// only where exactly one disk answers to it; no part of a name, and no similar name, means anything.
public struct DiskNames: Sendable {
    public let disks: [Inventory.DiskFacts]
    private var answers: [Key: [Int]] = [:]

    private enum Key: Hashable {
        case worldWide(String), serial(String)
        /// A serial number that reads like a WWN, in the form of one.
        case lookalike(String)
        /// With the path.
        case whole(String)
    }

    public init(_ disks: [Inventory.DiskFacts]) {
        self.disks = disks
        for (index, disk) in disks.enumerated() {
            for key in Self.keys(of: disk) { answers[key, default: []].append(index) }
        }
    }

    /// The same disks, each with the name that means it.
    static func named(_ disks: [Inventory.DiskFacts]) -> [Inventory.DiskFacts] {
        let names = DiskNames(disks)
        var named = disks
        for index in named.indices { named[index].id = names.name(of: index) }
        return named
    }

    // MARK: From names to disks

    /// The disks that answer to `text`, by their places in ``disks``.
    public func answering(to text: String) -> [Int] {
        let text = Self.bounded(text)
        var keys: [Key] = [.whole(text)]
        if let name = DiskIdentity.worldWide(text) { keys += [.worldWide(name), .lookalike(name)] }
        if let serial = DiskIdentity.serial(text) { keys += [.serial(serial), .whole(serial)] }
        return Set(keys.flatMap { answers[$0] ?? [] }).sorted()
    }

    /// The one disk that answers to `text`.
    public func disk(named text: String) throws(DiskNameError) -> Int {
        let found = answering(to: text)
        guard let first = found.first else { throw .notFound(text) }
        guard found.count == 1 else { throw .ambiguous(text, found) }
        return first
    }

    /// The disk that an earlier report called so: by its name, or by the kernel's where it has none. Nil where several
    /// answer to it.
    public func disk(recordedAs name: String) -> Int? {
        let found = answering(to: name)
        if found.isEmpty {
            let named = disks.indices.filter { disks[$0].name == name }
            return named.count == 1 ? named[0] : nil
        }
        return found.count == 1 ? found[0] : nil
    }

    /// What a disk is called in the record: ``name(of:)``, or the kernel's name where it has none.
    public func recordName(of index: Int) -> String { name(of: index) ?? disks[index].name }

    // MARK: From disks to names

    /// The strongest name that no other disk of the machine answers to; nil where there is none.
    public func name(of index: Int) -> String? {
        let disk = disks[index]
        let plain = disk.worldWideNames + (disk.meaningfulSerial.map { [$0] } ?? [])
        return (plain + Self.wholeNames(of: disk)).first { answering(to: $0) == [index] }
    }

    /// Whether a disk is the machine's own: inside it, fixed, and reached by one path. Only such disks are wiped, or chosen
    /// for an installation, without being named.
    ///
    /// Records of earlier agents do not say where a disk is. There it is enough that nothing speaks against it, since the
    /// agent looks again before it touches a disk that nobody has named.
    public func isOwn(_ index: Int) -> Bool { place(of: index) == .inside && !disks[index].removable }

    /// Where a disk is, its other paths looked at too.
    public func place(of index: Int) -> DiskPlace {
        let disk = disks[index]
        let place = disk.place ?? Self.presumed(disk)
        guard place == .inside else { return place }
        let hasTwin = disk.worldWideNames.contains { answers[.worldWide($0)]?.contains { $0 != index } ?? false }
        return hasTwin ? .severalPaths : place
    }

    private static func presumed(_ disk: Inventory.DiskFacts) -> DiskPlace {
        switch disk.transport {
        case "iscsi": .iscsi
        case "usb": .external
        default: .inside
        }
    }

    /// A disk as errors and questions name it: the name to give, then what people know it by.
    public func description(of index: Int) -> String {
        let disk = disks[index]
        var parts = [name(of: index) ?? "\(disk.name), which has no name of its own"]
        if let model = disk.model { parts.append(model) }
        if let serial = disk.meaningfulSerial, serial != parts[0] { parts.append("serial \(serial)") }
        parts.append(Self.size(disk.bytes))
        if !isOwn(index) { parts.append(words(of: index)) }
        return parts.joined(separator: ", ")
    }

    /// Where a disk is that is not the machine's own, in words.
    public func words(of index: Int) -> String {
        let place = place(of: index)
        return place == .inside && disks[index].removable ? "removable" : place.words
    }

    /// Decimal, as disks are sold.
    private static func size(_ bytes: Int64) -> String {
        bytes >= 10_000_000_000 ? "\(bytes / 1_000_000_000) GB" : bytes >= 10_000_000 ? "\(bytes / 1_000_000) MB" : "\(bytes) bytes"
    }

    // MARK: Keys

    private static func keys(of disk: Inventory.DiskFacts) -> Set<Key> {
        var keys = disk.worldWideNames.map(Key.worldWide) + wholeNames(of: disk).map(Key.whole)
        if let serial = disk.meaningfulSerial {
            keys.append(.serial(serial))
            if let name = DiskIdentity.worldWide(serial) { keys.append(.lookalike(name)) }
        }
        return Set(keys)
    }

    private static func wholeNames(of disk: Inventory.DiskFacts) -> [String] {
        guard let path = disk.path, !path.isEmpty else { return [] }
        return (disk.worldWideNames + (disk.meaningfulSerial.map { [$0] } ?? []) + [""]).map { "\($0)@\(path)" }
    }

    /// Spaces around a name do not count. What is longer than a serial number and a path can be is cut: it names nothing.
    private static func bounded(_ text: String) -> String { PrintableText.line(text, limitBytes: 2 * AgentLimits.wordBytes + 1) }
}

/// Why a name means no disk.
public enum DiskNameError: Error, Equatable, Sendable {
    case notFound(String)
    /// The disks that answer to it.
    case ambiguous(String, [Int])
}

extension Inventory.DiskFacts {
    /// Its names that are meant to be the only ones in the world, the strongest first. Whether they are is another matter.
    public var worldWideNames: [String] {
        var names: [String] = []
        for name in [wwn, nguid, eui64].compactMap({ $0.flatMap(DiskIdentity.worldWide) }) where !names.contains(name) { names.append(name) }
        return names
    }

    /// Whether it says anything of itself by which it would be known at another port.
    public var isIdentified: Bool { !worldWideNames.isEmpty || meaningfulSerial != nil }

    /// Its serial number, unless that is a filler.
    public var meaningfulSerial: String? { serial.flatMap(DiskIdentity.serial) }
}

extension DiskPlace {
    /// For people.
    public var words: String {
        switch self {
        case .inside: "inside"
        case .external: "on USB"
        case .iscsi: "iSCSI"
        case .fibreChannel: "Fibre Channel"
        case .srp: "SRP"
        case .nvmeFabric: "NVMe over a fabric"
        case .enclosure: "behind a SAS expander"
        case .array: "of a SAS array"
        case .severalPaths: "reached by several paths"
        case .software: "made by software"
        case .unclear: "where it is is not clear"
        }
    }
}
