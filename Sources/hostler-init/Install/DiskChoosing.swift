internal import HostFacts
internal import Model

/// Picks the disk that an installation writes to.
enum DiskChoosing {
    /// Slow controllers take a while to show their disks.
    private static let patience: Duration = .seconds(20)

    /// Waits for a disk that fits, then says why there is none.
    ///
    /// All drivers are loaded before, and their disks found: the smallest of some disks need not be the smallest of all.
    static func choose(_ work: InstallWork, drivers: DriverBox) async throws -> FoundDisks.Found {
        try await WorkPool.run { drivers.load(urgentOnly: false) }
        let clock = ContinuousClock()
        let deadline = clock.now + patience
        while true {
            do throws(Refusal) {
                return try choose(target(of: work), from: .now(), minimumBytes: work.diskBytes, command: command(work))
            } catch {
                guard error.mayPass, clock.now < deadline else { throw error.problem }
            }
            try await Task.sleep(for: .milliseconds(250))
        }
    }

    struct Refusal: Error {
        let problem: Problem
        let mayPass: Bool
    }

    /// - Parameter target: nil where no disk was chosen yet, and the default rule is to choose it.
    static func choose(
        _ target: DiskTarget?, from found: FoundDisks, minimumBytes: Int64, command: String? = nil
    ) throws(Refusal) -> FoundDisks.Found {
        let problems = DiskProblem(found.names, command: command, neededBytes: minimumBytes, status: 409)
        let wanted: DiskTarget
        if let target {
            wanted = target
        } else {
            do throws(DiskChoiceError) {
                wanted = try DiskChoice.forInstall(among: found.names, minimumBytes: minimumBytes) { !found.disks[$0].isReadOnly }
            } catch {
                // Two disks that fit equally stay two.
                let isFinal = if case .ambiguous = error { true } else { false }
                throw Refusal(problem: problems.problem(error), mayPass: !isFinal)
            }
        }
        let chosen: FoundDisks.Found
        do throws(DiskTargetError) {
            chosen = try found.find([wanted])[0]
        } catch {
            throw Refusal(problem: problems.problem(error), mayPass: error.mayPass)
        }
        guard !chosen.disk.isReadOnly else { throw Refusal(problem: readOnly(chosen), mayPass: false) }
        guard chosen.disk.sizeBytes >= UInt64(clamping: minimumBytes) else {
            throw Refusal(problem: problems.problem(.tooSmall([chosen.index], neededBytes: minimumBytes)), mayPass: false)
        }
        return chosen
    }

    static func readOnly(_ found: FoundDisks.Found) -> Problem {
        Problem(
            "disk-read-only", status: 409, title: "The disk \(found.disk.name) is write-protected",
            detail: "\(found.name) cannot be written.", remedy: "Take the write protection off, or name another disk.")
    }

    /// A control plane of before targets sends the name alone.
    private static func target(of work: InstallWork) -> DiskTarget? { work.target ?? work.disk.map { DiskTarget(name: $0) } }

    private static func command(_ work: InstallWork) -> String {
        "hostler machine install \(work.record.machine) --image \(ShellWord.quoted(work.record.image))"
    }

    static func evidence(_ found: FoundDisks.Found) -> [String: String] {
        let disk = found.disk
        var evidence = ["disk": found.name, "name": disk.name, "bytes": String(disk.sizeBytes), "place": disk.place.rawValue]
        let facts = Inventory.DiskFacts(disk)
        evidence["serial"] = facts.serial
        evidence["wwn"] = facts.worldWideNames.first
        evidence["model"] = facts.model
        evidence["path"] = facts.path
        return evidence
    }
}
