internal import CLinux
internal import HostFacts
internal import Model
internal import Synchronization

/// Empties disks, and proves that they are empty.
struct Wiper: Sendable {
    let work: WipeWork
    let reporter: StepReporter
    let drivers: DriverBox
    private var log: AgentLog { reporter.log }

    init(work: WipeWork, reporter: StepReporter, drivers: DriverBox) {
        self.drivers = drivers
        self.work = work
        self.reporter = reporter
    }

    func run() async throws {
        if !work.done.contains(.wipeDisks) {
            try await reporter.step(.wipeDisks) { counter in
                let disks = try await chosen()
                counter.set(done: 0, total: disks.reduce(0) { $0 + Int64(clamping: $1.sizeBytes) })
                var evidence = ["disks": String(disks.count)]
                for disk in disks {
                    let method = try await wipe(disk, counter)
                    evidence[disk.name] = "\(Self.identity(disk)), \(disk.sizeBytes) bytes: \(method)"
                }
                return evidence
            }
        }
        if !work.done.contains(.verifyWipe) {
            try await reporter.step(.verifyWipe) { counter in
                let disks = try await chosen()
                counter.set(done: 0, total: disks.reduce(0) { $0 + WipeProof.sampledBytes(of: $1.sizeBytes) })
                var evidence = ["disks": String(disks.count)]
                for disk in disks {
                    var generator = SystemRandomNumberGenerator()
                    let proof = WipeProof(seed: UInt64.random(in: .min ... .max, using: &generator))
                    let device = try BlockDevice(disk.name, writable: false)
                    try await proof.check(device, counter)
                    evidence[disk.name] =
                        "\(Self.identity(disk)): \(WipeProof.sampleCount) samples of "
                        + "\(WipeProof.sampleBytes) bytes and \(WipeProof.edgeBytes) bytes at either end are zero"
                    evidence["\(disk.name).seed"] = String(proof.seed)
                }
                return evidence
            }
        }
    }

    private static func identity(_ disk: DiskFacts) -> String {
        disk.serial.map { "serial \($0)" } ?? disk.wwn.map { "WWN \($0)" } ?? "no serial"
    }

    /// The disks named, or every fixed one. Waits for slow controllers; none at all is no proof of a wipe.
    private func chosen() async throws -> [DiskFacts] {
        try await WorkPool.run { [drivers] in drivers.load(urgentOnly: false) }
        let clock = ContinuousClock()
        let deadline = clock.now + .seconds(20)
        while true {
            let all = Disks.all()
            let found: [DiskFacts]
            var missing: [String] = []
            if work.disks.isEmpty {
                found = all.filter { !$0.isRemovable && $0.transport != .usb }
            } else {
                found = all.filter { disk in work.disks.contains { Self.matches($0, disk) } }
                missing = work.disks.filter { wanted in !all.contains { Self.matches(wanted, $0) } }
            }
            if !found.isEmpty, missing.isEmpty {
                if let locked = found.first(where: \.isReadOnly) {
                    throw Problem(
                        "disk-read-only", status: 409, title: "The disk \(locked.name) is write-protected",
                        detail: "\(Self.identity(locked)) cannot be wiped.", remedy: "Take the protection off, or the disk out.")
                }
                return found
            }
            guard clock.now < deadline else {
                throw missing.isEmpty
                    ? Problem(
                        "no-disk", status: 409, title: "The machine shows no disk that could be wiped",
                        remedy: "Check the disks and their controller: without one there is no evidence of a wipe.")
                    : Problem(
                        "disk-not-found", status: 409, title: "There is no disk \(missing.joined(separator: ", "))",
                        detail: "The machine has: \(all.map { "\($0.name) (\(Self.identity($0)))" }.joined(separator: ", "))",
                        remedy: "Name disks by a serial or WWN of the machine's inventory.")
            }
            try await Task.sleep(for: .milliseconds(250))
        }
    }

    private static func matches(_ wanted: String, _ disk: DiskFacts) -> Bool {
        (try? DiskChoosing.choose(wanted, from: [DiskFacts].init(CollectionOfOne(disk)), minimumBytes: 0)) != nil
            || (disk.isReadOnly && (disk.serial == wanted || disk.wwn == wanted))
    }

    /// Tries the device's own ways first, and believes none: where zeros are not read afterwards, the disk is overwritten.
    private func wipe(_ disk: DiskFacts, _ counter: ProgressCounter) async throws -> String {
        let before = counter.progress
        let device: BlockDevice
        do {
            device = try BlockDevice.unused(disk.name)
        } catch {
            throw Problem(
                "disk-busy", status: 409, title: "The disk \(disk.name) cannot be wiped", detail: "\(error)",
                remedy: "See the machine's agent log for what uses it.")
        }
        var tried: [String] = []
        for method in WipeMethod.inOrder(for: disk) {
            try Task.checkCancellation()
            log("\(disk.name): wiping by \(method.rawValue)")
            do {
                try await method.wipe(device, disk, counter)
                try await WipeProof.look.check(device, nil)
                counter.set(done: before.done + Int64(clamping: disk.sizeBytes), total: before.total)
                return (tried + [method.rawValue]).joined(separator: ", then ")
            } catch let cancelled as CancellationError {
                throw cancelled
            } catch let problem as Problem where method != .overwrite {
                log("\(disk.name): \(method.rawValue) left data: \(problem.detail ?? "")")
                tried.append("\(method.rawValue) (left data)")
            } catch  where method != .overwrite {
                log("\(disk.name): \(method.rawValue) is not possible: \(error)")
            }
            counter.set(done: before.done, total: before.total)
        }
        throw Problem("wipe-failed", status: 502, title: "The disk \(disk.name) could not be wiped")
    }
}
