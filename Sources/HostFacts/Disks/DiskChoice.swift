/// How the caller says which disk it wants.
public enum DiskSelector: Equatable, Sendable {
    /// The smallest fixed disk that is big enough.
    case smallest
    case serial(String)
    /// With or without `0x`, `naa.`, `eui.`; case does not count.
    case wwn(String)
}

/// Why no disk was chosen.
public enum DiskChoiceError: Error, Equatable, Sendable, CustomStringConvertible {
    case noDisks
    /// No disk has the serial or WWN that was asked for.
    case notFound(wanted: String, found: [String])
    /// These match equally well, and a guess could cost somebody's data.
    case ambiguous([String])
    /// The named disk is too small, or all are.
    case tooSmall(neededBytes: UInt64, found: [String])
    case readOnly(String)

    public var description: String {
        switch self {
        case .noDisks: "the machine has no disk that an image can be written to"
        case .notFound(let wanted, let found):
            "no disk with \(wanted); the machine has: \(found.isEmpty ? "none" : found.joined(separator: "; "))"
        case .ambiguous(let disks):
            "more than one disk matches equally: \(disks.joined(separator: "; ")); name one by serial or WWN"
        case .tooSmall(let needed, let found):
            "no disk of \(needed) bytes or more; there is: \(found.joined(separator: "; "))"
        case .readOnly(let disk): "the disk is write-protected: \(disk)"
        }
    }
}

/// The rule by which an install picks its disk. Never a guess.
public enum DiskChoice {
    /// The one disk of `disks` that `selector` means and that holds `minimumBytes`.
    ///
    /// A disk that is named may be removable; one that is found by size may not.
    public static func choose(
        from disks: [DiskFacts], selector: DiskSelector, minimumBytes: UInt64
    ) throws(DiskChoiceError) -> DiskFacts {
        switch selector {
        case .smallest: try smallest(of: disks, minimumBytes: minimumBytes)
        case .serial(let text):
            try named("serial \(text)", in: disks, minimumBytes: minimumBytes) {
                $0.serial == FirmwareText.trim(text)
            }
        case .wwn(let text):
            try named("WWN \(text)", in: disks, minimumBytes: minimumBytes) {
                $0.wwn != nil && $0.wwn == DiskFacts.normalisedWWN(text)
            }
        }
    }

    private static func named(
        _ wanted: String, in disks: [DiskFacts], minimumBytes: UInt64, matches: (DiskFacts) -> Bool
    ) throws(DiskChoiceError) -> DiskFacts {
        let found = disks.filter(matches)
        guard let disk = found.first else { throw .notFound(wanted: wanted, found: disks.map(name)) }
        guard found.count == 1 else { throw .ambiguous(found.map(name)) }
        guard !disk.isReadOnly else { throw .readOnly(name(disk)) }
        guard disk.sizeBytes >= minimumBytes else {
            throw .tooSmall(neededBytes: minimumBytes, found: [name(disk)])
        }
        return disk
    }

    private static func smallest(of disks: [DiskFacts], minimumBytes: UInt64) throws(DiskChoiceError) -> DiskFacts {
        let fixed = disks.filter { !$0.isRemovable && !$0.isReadOnly && $0.transport != .usb }
        guard !fixed.isEmpty else { throw .noDisks }
        let bigEnough = fixed.filter { $0.sizeBytes >= minimumBytes }
        guard let disk = bigEnough.min(by: { $0.sizeBytes < $1.sizeBytes }) else {
            throw .tooSmall(neededBytes: minimumBytes, found: fixed.map(name))
        }
        let equal = bigEnough.filter { $0.sizeBytes == disk.sizeBytes }
        guard equal.count == 1 else { throw .ambiguous(equal.map(name)) }
        return disk
    }

    /// A disk as errors name it: all that tells it from its neighbours.
    private static func name(_ disk: DiskFacts) -> String {
        var parts = [disk.name]
        if let model = disk.model { parts.append(model) }
        if let serial = disk.serial { parts.append("serial \(serial)") }
        if let wwn = disk.wwn { parts.append("WWN \(wwn)") }
        parts.append("\(disk.sizeBytes) bytes")
        return parts.joined(separator: ", ")
    }
}
