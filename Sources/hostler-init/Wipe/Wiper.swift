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
                let found = try await chosen()
                // All of them can be written, or none is touched.
                for one in found { _ = try BlockDevice.unused(one.disk) }
                counter.set(done: 0, total: found.reduce(0) { $0 + Int64(clamping: $1.disk.sizeBytes) })
                var evidence = ["disks": String(found.count)]
                for one in found {
                    let method = try await wipe(one.disk, counter)
                    evidence[one.disk.name] = "\(Self.identity(one)), \(one.disk.sizeBytes) bytes: \(method)"
                }
                return evidence
            }
        }
        if !work.done.contains(.verifyWipe) {
            try await reporter.step(.verifyWipe) { counter in
                let found = try await chosen()
                counter.set(done: 0, total: found.reduce(0) { $0 + WipeProof.sampledBytes(of: $1.disk.sizeBytes) })
                var evidence = ["disks": String(found.count)]
                for one in found {
                    let disk = one.disk
                    var generator = SystemRandomNumberGenerator()
                    let proof = WipeProof(seed: UInt64.random(in: .min ... .max, using: &generator))
                    let device = try BlockDevice(disk.name, writable: false)
                    try await proof.check(device, counter)
                    evidence[disk.name] =
                        "\(Self.identity(one)): \(WipeProof.sampleCount) samples of "
                        + "\(WipeProof.sampleBytes) bytes and \(WipeProof.edgeBytes) bytes at either end are zero"
                    evidence["\(disk.name).seed"] = String(proof.seed)
                }
                return evidence
            }
        }
    }

    private static func identity(_ found: FoundDisks.Found) -> String {
        let serial = found.disk.serial.flatMap { $0 == found.name ? nil : ", serial \($0)" } ?? ""
        return "\(found.name)\(serial)"
    }

    /// The disks that the work names. Waits for slow controllers; none at all is no proof of a wipe.
    private func chosen() async throws -> [FoundDisks.Found] {
        try await WorkPool.run { [drivers] in drivers.load(urgentOnly: false) }
        let clock = ContinuousClock()
        let deadline = clock.now + .seconds(20)
        while true {
            do throws(DiskChoosing.Refusal) {
                return try Self.choose(work, from: .now())
            } catch {
                guard error.mayPass, clock.now < deadline else { throw error.problem }
            }
            try await Task.sleep(for: .milliseconds(250))
        }
    }

    /// All of the disks that the work names, or why none of them is to be wiped.
    static func choose(_ work: WipeWork, from found: FoundDisks) throws(DiskChoosing.Refusal) -> [FoundDisks.Found] {
        // A control plane of before targets sends names alone.
        let targets = work.targets ?? work.disks.map { DiskTarget(name: $0) }
        guard !targets.isEmpty else {
            let problem = Problem(
                "wipe-no-disks", status: 409, title: "This wipe names no disks, so nothing was wiped",
                remedy: "Look at the machine's disks with hostler machine show, then wipe it again.")
            throw DiskChoosing.Refusal(problem: problem, mayPass: false)
        }
        let chosen: [FoundDisks.Found]
        do throws(DiskTargetError) {
            chosen = try found.find(targets)
        } catch {
            throw DiskChoosing.Refusal(problem: DiskProblem(found.names, command: nil, status: 409).problem(error), mayPass: error.mayPass)
        }
        if let locked = chosen.first(where: \.disk.isReadOnly) {
            throw DiskChoosing.Refusal(problem: DiskChoosing.readOnly(locked), mayPass: false)
        }
        return chosen
    }

    /// Tries the device's own ways first, and believes none: where zeros are not read afterwards, the disk is overwritten.
    private func wipe(_ disk: DiskFacts, _ counter: ProgressCounter) async throws -> String {
        let before = counter.progress
        let device = try BlockDevice.unused(disk)
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
