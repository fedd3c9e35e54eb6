internal import HostFacts
internal import Model

/// Picks the disk that an installation writes to.
enum DiskChoosing {
    /// Slow controllers take a while to show their disks.
    private static let patience: Duration = .seconds(20)

    /// Waits for a disk that fits, then says why there is none.
    ///
    /// All drivers are loaded before, and their disks found: the smallest of some disks need not be the smallest of all.
    static func choose(_ wanted: String?, minimumBytes: UInt64, drivers: DriverBox) async throws -> DiskFacts {
        try await WorkPool.run { drivers.load(urgentOnly: false) }
        let clock = ContinuousClock()
        let deadline = clock.now + patience
        while true {
            do throws(DiskChoiceError) {
                return try choose(wanted, from: Disks.all(), minimumBytes: minimumBytes)
            } catch {
                // More disks cannot make an ambiguity go away.
                if case .ambiguous = error { throw problem(error) }
                guard clock.now < deadline else { throw problem(error) }
            }
            try await Task.sleep(for: .milliseconds(250))
        }
    }

    static func choose(
        _ wanted: String?, from disks: [DiskFacts], minimumBytes: UInt64
    ) throws(DiskChoiceError) -> DiskFacts {
        guard let wanted else { return try DiskChoice.choose(from: disks, selector: .smallest, minimumBytes: minimumBytes) }
        do {
            return try DiskChoice.choose(from: disks, selector: .serial(wanted), minimumBytes: minimumBytes)
        } catch .notFound {
            do {
                return try DiskChoice.choose(from: disks, selector: .wwn(wanted), minimumBytes: minimumBytes)
            } catch .notFound(_, let found) {
                throw .notFound(wanted: "serial or WWN \(wanted)", found: found)
            }
        }
    }

    static func problem(_ error: DiskChoiceError) -> Problem {
        let code: String
        let remedy: String
        switch error {
        case .noDisks:
            (code, remedy) = ("no-disk", "Check the disks and their controller in the firmware's set-up.")
        case .notFound:
            (code, remedy) = ("disk-not-found", "Name a disk that the machine's inventory shows.")
        case .ambiguous:
            (code, remedy) = ("disk-ambiguous", "Name the disk by its serial or WWN.")
        case .tooSmall:
            (code, remedy) = ("disk-too-small", "Take a smaller image or put a larger disk in.")
        case .readOnly:
            (code, remedy) = ("disk-read-only", "Take the write protection off, or name another disk.")
        }
        return Problem(code, status: 409, title: "No disk can be chosen", detail: error.description, remedy: remedy)
    }

    static func evidence(_ disk: DiskFacts) -> [String: String] {
        var evidence = ["name": disk.name, "bytes": String(disk.sizeBytes)]
        evidence["serial"] = disk.serial
        evidence["wwn"] = disk.wwn
        evidence["model"] = disk.model
        return evidence
    }
}
