internal import CLinux
internal import Glibc
internal import HostFacts
internal import Model
internal import Wire

/// The work of the ramdisk, from the first driver to the restart.
struct Agent {
    private static let generationPath = "/run/hostler/generation"
    let log: AgentLog

    func run() async throws {
        mkdir("/run/hostler", 0o700)
        log.milestone("agent-start")
        reportCrash()
        let boot = try BootArguments(commandLine: SystemFile.text("/proc/cmdline") ?? "")
        let watchdog = giveUp(after: boot.patienceSeconds)
        let drivers = DriverBox(log: log)
        log.milestone("modules-read")
        drivers.load(urgentOnly: true)
        log.milestone("drivers-loaded")
        let port = await findPort(boot, drivers)
        let (keeper, lease) = await address(boot, port)
        log.milestone("network-up")
        let reader = InventoryReader()
        let request = HelloRequest(
            nonce: boot.nonce, sessionKey: Session.sessionKey(), mac: boot.mac ?? port.mac,
            macs: Interfaces.all().filter { !$0.isHostInterface }.map(\.mac), uuid: reader.uuid, serial: reader.serial,
            firmware: BootOrder.isUEFI ? .uefi : .bios, version: HostlerInit.version)
        let session = Session(client: ControlClient(base: boot.url), log: log, request: request)
        log("saying hello to \(boot.url) from \(lease.address) (\(port.name), \(port.mac))")
        let permit = RestartPermit()
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await seeker(session, keeper, permit).run() }
            let reply = await session.hello()
            log("this is \(reply.name) (\(reply.machine))")
            log.milestone("hello")
            await BootProof(session: session).run()
            let poster = InventoryPoster(reader: reader, session: session, drivers: drivers, disksChange: Flag())
            group.addTask { await LogStream.run(log: log, session: session) }
            group.addTask { await poster.run() }
            if lease.server != .any { group.addTask { await keeper.keep(lease) } }
            await work(session: session, drivers: drivers, poster: poster, permit: permit, address: lease.address.description, watchdog: watchdog)
            group.cancelAll()
        }
    }

    private func seeker(_ session: Session, _ keeper: LeaseKeeper, _ permit: RestartPermit) -> ServerSeeker {
        ServerSeeker(
            client: session.client, log: log, permit: permit,
            ask: {
                let scripts = try? await WorkPool.run { try keeper.bootScripts() }
                return (scripts ?? []).compactMap { ServerSeeker.base(ofScript: $0) }
            },
            restart: {
                await LogStream.flush(log: log, session: session)
                Restart.now()
            },
            silence: { session.client.silence })
    }

    /// A machine that the control plane did not know when it gave the boot script may be somebody's server: it does not stay
    /// here for a driver, a network or a server that never comes. Its boots are counted, and its own disk has its turn.
    private func giveUp(after seconds: Int?) -> Task<Void, any Error>? {
        guard let seconds else { return nil }
        return Task { [log] in
            try await Task.sleep(for: .seconds(seconds))
            log("THIS MACHINE IS UNKNOWN, and \(seconds) s have brought it no work: restarting, so that it can boot its own disk")
            Restart.now()
        }
    }

    /// What the supervisor wrote down when the agent before this one ended.
    private func reportCrash() {
        guard let text = SystemFile.text(Supervisor.crashPath) else { return }
        unlink(Supervisor.crashPath)
        let lines = text.split(whereSeparator: \.isNewline)
        log("THE AGENT CRASHED (\(lines.first ?? "?")) and was started again; the last that it said:")
        for line in lines.dropFirst().suffix(20) { log("  | \(line)") }
    }

    /// The port that the boot script's nonce was given to; any where it named none.
    private func findPort(_ boot: BootArguments, _ drivers: DriverBox) async -> Interfaces.Port {
        var tries = 0
        while true {
            let ports = Interfaces.all()
            Interfaces.turnOn(ports, log: log)
            if let mac = boot.mac {
                if let port = ports.first(where: { $0.mac == mac }) { return port }
            } else if let port = ports.first(where: { Interfaces.hasLink($0.name) }) {
                return port
            }
            tries += 1
            // Not where it is usually found: all drivers, then patience with slow ones.
            if tries == 4 { drivers.load(urgentOnly: false) }
            if tries % 100 == 50 {
                log(
                    "waiting for the network port \(boot.mac.map(\.description) ?? "with a link"); there is: "
                        + ports.map { "\($0.name) \($0.mac)" }.joined(separator: ", "))
            }
            if tries % 20 == 0 { drivers.load(urgentOnly: false) }
            try? await Task.sleep(for: .milliseconds(100))
        }
    }

    private func address(_ boot: BootArguments, _ port: Interfaces.Port) async -> (LeaseKeeper, LeaseKeeper.Lease) {
        let keeper = LeaseKeeper(port: port, log: log)
        let lease: LeaseKeeper.Lease
        if let address = boot.address {
            lease = LeaseKeeper.Lease(
                address: address, mask: boot.mask ?? IPv4Address(value: 0xffff_ff00), gateway: boot.gateway,
                server: boot.server ?? .any)
        } else {
            lease = await keeper.acquire()
        }
        keeper.apply(lease)
        return (keeper, lease)
    }

    /// Asks for work and does it, for as long as the machine is in this ramdisk.
    private func work(
        session: Session, drivers: DriverBox, poster: InventoryPoster, permit: RestartPermit, address: String, watchdog: Task<Void, any Error>?
    ) async {
        var seen = SystemFile.attribute(Self.generationPath).flatMap { UInt64($0) } ?? 0
        var next: AgentTask?
        while !Task.isCancelled {
            let begun = agent_uptime_milliseconds()
            guard let task = try? await ask(next, seen: seen, session: session) else { return }
            next = nil
            // The control plane has looked at this machine, and keeps it here.
            switch task.work {
            case .inspect, .reboot: break
            case .wait, .install, .wipe, .rescue: watchdog?.cancel()
            }
            if let operation = task.operation {
                guard task.generation >= seen else {
                    log("refusing \(operation): its generation \(task.generation) is older than \(seen)")
                    try? await Task.sleep(for: .seconds(5))
                    continue
                }
                if task.generation > seen {
                    seen = task.generation
                    try? SystemFile.write(Self.generationPath, String(seen))
                }
            }
            do {
                next = try await perform(task, session: session, drivers: drivers, poster: poster, permit: permit, address: address)
            } catch {
                log("\(task.operation?.description ?? "task") ended: \(error is Problem ? "failed" : "\(error)")")
            }
            // Whatever the control plane answers, it is not asked more than about once a second.
            if next == nil, agent_uptime_milliseconds() - begun < 1000 { try? await Task.sleep(for: .seconds(1)) }
        }
    }

    private func ask(_ known: AgentTask?, seen: UInt64, session: Session) async throws -> AgentTask {
        if let known { return known }
        return try await session.insist(on: "task") { client throws(TalkError) in
            try await client.post("task", TaskQuery(operation: nil, generation: seen), answer: AgentTask.self, timeoutSeconds: 45)
        }
    }

    /// The same installation, as the control plane has it once it knows what this boot finds on the disks: which former systems
    /// it puts out of force. Another task where that came meanwhile.
    private func informed(_ task: AgentTask, session: Session, poster: InventoryPoster) async throws -> AgentTask {
        do {
            try await poster.sendBeforeWork()
            return try await ask(nil, seen: task.generation, session: session)
        } catch {
            try Task.checkCancellation()
            log("going on without another inventory: \(error)")
            return task
        }
    }

    /// Returns the task that came meanwhile, where one did.
    private func perform(
        _ task: AgentTask, session: Session, drivers: DriverBox, poster: InventoryPoster, permit: RestartPermit, address: String
    ) async throws -> AgentTask? {
        if case .reboot(let reason) = task.work {
            let untouched = poster.disksChange.isSet ? "" : " This boot wrote nothing to the machine's disks."
            log("Restarting: \(reason).\(untouched)")
            log.milestone("restart")
            await LogStream.flush(log: log, session: session)
            Restart.now()
            return nil
        }
        guard let operation = task.operation else { return nil }
        let reporter = StepReporter(session: session, operation: operation, generation: task.generation)
        log.milestone("task")
        switch task.work {
        case .wait, .reboot: break
        case .inspect:
            try await reporter.step(.inventory) { _ in
                let inventory = try await poster.send()
                return [
                    "cpus": String(inventory.cpus.count), "memoryBytes": String(inventory.memory.totalBytes),
                    "nics": String(inventory.nics.count), "disks": String(inventory.disks.count),
                ]
            }
        case .install:
            let known = try await informed(task, session: session, poster: poster)
            guard known.operation == task.operation, known.generation == task.generation, case .install(let work) = known.work else {
                return known
            }
            poster.disksChange.set()
            log("installing \(work.record.image) for \(operation), generation \(task.generation)")
            try await Installer(work: work, reporter: reporter, drivers: drivers).run()
        case .wipe(let work):
            poster.disksChange.set()
            try await permit.without { try await Wiper(work: work, reporter: reporter, drivers: drivers).run() }
        case .rescue(let work):
            return try await permit.without { try await RescueShell(work: work, reporter: reporter, address: address).run() }
        }
        return nil
    }
}
