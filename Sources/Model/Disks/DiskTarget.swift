internal import Wire

/// A disk that an operation is to write: its name, and what the record said of it when the operation was asked for.
///
/// It never comes to mean another disk: the name must mean one disk of those that are there, and that disk must still be
/// what the record said.
public struct DiskTarget: Codable, Sendable, Equatable {
    /// As ``DiskNames`` has it.
    public var name: String
    public var wwn: String?
    public var serial: String?
    public var model: String?
    public var bytes: Int64?
    /// Compared where the disk has no world wide name: a serial number alone is not enough to know it again at another port.
    public var path: String?
    /// Whether a person named it. A disk that nobody named must be inside the machine, by what its agent sees.
    public var isNamed: Bool

    /// By its name alone, as in the record of an operation that an earlier version began.
    public init(name: String, isNamed: Bool = true) {
        self.name = name
        self.isNamed = isNamed
    }

    public init(_ disk: Inventory.DiskFacts, name: String, isNamed: Bool) {
        self.init(name: name, isNamed: isNamed)
        wwn = disk.worldWideNames.first
        serial = disk.meaningfulSerial
        model = disk.model
        bytes = disk.bytes
        path = disk.path
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        name = try container.word(.name, limitBytes: 2 * AgentLimits.wordBytes + 1)
        wwn = try container.wordIfPresent(.wwn, limitBytes: 64)
        serial = try container.wordIfPresent(.serial)
        model = try container.wordIfPresent(.model)
        bytes = try container.numberIfPresent(.bytes, in: NumberRange.count)
        path = try container.wordIfPresent(.path)
        isNamed = try container.decode(Bool.self, forKey: .isNamed)
    }

    /// Its place among the disks that are there now.
    public func find(among names: DiskNames) throws(DiskTargetError) -> Int {
        let index: Int
        do throws(DiskNameError) { index = try names.disk(named: name) } catch { throw .name(error) }
        let disk = names.disks[index]
        if let (was, now) = difference(disk) { throw .changed(name: name, was: was, now: now) }
        guard isNamed || names.isOwn(index) else { throw .notOwn(index) }
        return index
    }

    /// The first fact in which a disk is not what it was, in words.
    private func difference(_ disk: Inventory.DiskFacts) -> (was: String, now: String)? {
        func differ(_ what: String, _ was: String?, _ now: String?) -> (was: String, now: String)? {
            guard let was, was != now else { return nil }
            return ("\(what) \(was)", now.map { "\(what) \($0)" } ?? "no \(what)")
        }
        if let wwn, !disk.worldWideNames.contains(wwn) { return ("WWN \(wwn)", "\(disk.worldWideNames.first.map { "WWN \($0)" } ?? "no WWN")") }
        return differ("serial", serial, disk.meaningfulSerial) ?? differ("model", model, disk.model)
            ?? differ("size", bytes.map(String.init), String(disk.bytes)) ?? (wwn == nil ? differ("path", path, disk.path) : nil)
    }

    /// Whether both mean one disk, by the strongest facts that both have. Where those leave it open, they do.
    public func isSameDisk(as other: DiskTarget) -> Bool {
        if let wwn, let theirs = other.wwn { return wwn == theirs && (serial == other.serial || serial == nil || other.serial == nil) }
        guard serial == other.serial else { return false }
        // With one serial number, disks whose names need the path are told apart by it.
        return isAtPath && other.isAtPath ? path == other.path : serial != nil || name == other.name
    }

    private var isAtPath: Bool { path.map { name.hasSuffix("@\($0)") } ?? false }
}

/// Why a target is not to be written.
public enum DiskTargetError: Error, Equatable, Sendable {
    case name(DiskNameError)
    case changed(name: String, was: String, now: String)
    /// Nobody named it, and it is not inside the machine.
    case notOwn(Int)
}
