internal import CLinux
internal import HostFacts
internal import Model
internal import Synchronization

/// Does the steps of an installation that are not done yet.
struct Installer: Sendable {
    let work: InstallWork
    let reporter: StepReporter
    let drivers: DriverBox
    private var session: Session { reporter.session }
    private var log: AgentLog { session.log }

    init(work: InstallWork, reporter: StepReporter, drivers: DriverBox) {
        self.work = work
        self.reporter = reporter
        self.drivers = drivers
    }

    func run() async throws {
        let device = try await chosenDisk()
        if !work.done.contains(.writeImage) {
            try await reporter.step(.writeImage, total: work.diskBytes) { counter in
                try checkNotStale(device)
                try FitCheck.check(work, device)
                return try await ImageWriter(work: work, session: session, device: device, counter: counter).write()
            }
        }
        if !work.done.contains(.writeSeed) {
            try await reporter.step(.writeSeed, total: work.seedBytes) { _ in
                try await SeedWriter(work: work, session: session, device: device).write()
            }
        }
        if !work.done.contains(.bootOrder) {
            try await reporter.step(.bootOrder) { _ in
                try await WorkPool.run { try BootOrder.set(image: work.record.image, device: device, drivers: drivers) }
            }
        }
        if !work.done.contains(.restart) { try await restart(device) }
    }

    /// The disk of an earlier choice, or of one made now.
    private func chosenDisk() async throws -> BlockDevice {
        guard work.done.contains(.chooseDisk) else { return try BlockDevice.unused(try await chooseDisk().disk) }
        do {
            return try BlockDevice.unused(try await DiskChoosing.choose(work, drivers: drivers).disk)
        } catch let problem as Problem {
            // It was there when it was chosen: the step that needs it now fails.
            let next = [StepName.writeImage, .writeSeed, .bootOrder, .restart].first { !work.done.contains($0) }
            try await reporter.insist(reporter.report(next ?? .restart, .failed, problem: problem))
            throw problem
        }
    }

    private func chooseDisk() async throws -> FoundDisks.Found {
        let chosen = Chosen()
        try await reporter.step(.chooseDisk) { _ in
            let disk = try await DiskChoosing.choose(work, drivers: drivers)
            let device = try BlockDevice.unused(disk.disk)
            try checkNotStale(device)
            try FitCheck.check(work, device)
            chosen.disk.withLock { $0 = disk }
            return DiskChoosing.evidence(disk)
        }
        guard let disk = chosen.disk.withLock({ $0 }) else { throw Abandoned() }
        return disk
    }

    private final class Chosen: Sendable {
        let disk = Mutex<FoundDisks.Found?>(nil)
    }

    /// A control plane that was cut off and comes back cannot move a machine backwards.
    private func checkNotStale(_ device: BlockDevice) throws {
        guard let found = Disks.record(on: device), found.machine == work.record.machine,
            found.generation > work.record.generation
        else { return }
        throw Problem(
            "stale-generation", status: 409, title: "The disk carries a newer installation than the one asked for",
            detail: "\(device.name) was installed by \(found.operation) (generation \(found.generation), \(found.image)); "
                + "\(work.record.operation) has generation \(work.record.generation).",
            remedy: "Install again: a new operation gets a newer generation. Was the control plane restored from an old backup?")
    }

    private func restart(_ device: BlockDevice) async throws {
        let usesKexec = Flag()
        try await reporter.step(.restart) { _ in
            guard work.restart == .kexec, let uuid = work.rootUUID else { return ["method": "reboot"] }
            do {
                let line = try await WorkPool.run {
                    try Restart.load(device, rootUUID: uuid, arguments: work.kernelArguments ?? "", drivers: drivers)
                }
                usesKexec.set()
                return ["method": "kexec", "arguments": line]
            } catch {
                log("kexec is not possible: \(error); restarting through the firmware")
                return ["method": "reboot", "kexec": "\(error)"]
            }
        }
        log.milestone("restart")
        await LogStream.flush(log: log, session: session)
        if usesKexec.isSet { Restart.intoLoadedKernel(log: log) } else { Restart.now() }
    }
}
