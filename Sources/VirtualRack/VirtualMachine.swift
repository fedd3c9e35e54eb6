internal import Consoles
internal import FoundationEssentials
internal import Glibc
internal import Model
internal import VirtualBMC

/// One machine of the rack: its QEMU process, power, console and faults.
actor VirtualMachine {
    nonisolated let spec: VirtualMachineSpec
    /// Fixed for life; its taps are named after it.
    nonisolated let number: Int
    nonisolated let paths: MachinePaths
    nonisolated let console: Console

    private struct Running {
        let process: ProcessIdentity
        let plan: BootPlan
        let qmp: QMPClient
        let serial: ByteChannel
        /// Removes the fault nodes in use, by disk.
        var removeFaults: [Int: [DiskFaults.Step]] = [:]
        var diskFaults: [Int: DiskFaults] = [:]
        var latencyMilliseconds = 0
    }

    private let lab: LabName
    private let accelerator: Accelerator
    private let network: RackNetwork
    private let now: @Sendable () -> Timestamp
    private var running: Running?
    private var watch: Task<Void, Never>?
    private(set) var faults: [Fault]
    private var faultGeneration = 0
    private var lastEvent: (text: String, at: Timestamp)?
    private var guestResets = 0
    /// What the BMC wants of the next start.
    private var plan = BootPlan()
    /// The process ends at the guest's reset, because the next start is another than the one before.
    private var startsAnew = false
    nonisolated let bmcEvents: AsyncStream<BMCHardwareEvent>
    private let bmcSink: AsyncStream<BMCHardwareEvent>.Continuation
    private var isBusy = false
    private var queue: [CheckedContinuation<Void, Never>] = []

    init(
        spec: VirtualMachineSpec, number: Int, faults: [Fault], network: RackNetwork, paths: MachinePaths,
        accelerator: Accelerator, now: @escaping @Sendable () -> Timestamp
    ) {
        self.spec = spec
        self.number = number
        self.faults = faults
        self.network = network
        self.lab = network.lab
        self.paths = paths
        self.accelerator = accelerator
        self.now = now
        console = Console(Console.Keeping(path: paths.consoleLog))
        (bmcEvents, bmcSink) = AsyncStream.makeStream(of: BMCHardwareEvent.self, bufferingPolicy: .bufferingNewest(64))
    }

    // MARK: Life

    /// Makes the machine's folder, disks and taps where they are missing.
    func prepare() async throws {
        try FileManager.default.createDirectory(
            atPath: paths.directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        for (index, disk) in spec.disks.enumerated() { try makeDisk(at: paths.disk(index), sizeBytes: disk.sizeBytes) }
        if spec.firmware == .uefi, access(paths.firmwareVariables, F_OK) != 0 {
            try FileManager.default.copyItem(atPath: QEMUCommand.firmwareVariables, toPath: paths.firmwareVariables)
        }
        for nic in spec.nics.indices { try await network.addTap(QEMUCommand.tap(number: number, nic: nic)) }
        try await applyLoss()
        console.setSilent(faults.contains(.consoleSilence))
    }

    /// Cuts the power and removes taps and files.
    func destroy() async throws {
        _ = try? await perform(.cut)
        console.close()
        bmcSink.finish()
        for nic in spec.nics.indices { try await network.removeTap(QEMUCommand.tap(number: number, nic: nic)) }
        try? FileManager.default.removeItem(atPath: paths.directory)
    }

    // MARK: Power

    func perform(_ action: PowerAction) async throws {
        try await exclusively {
            switch action {
            case .on: try await start()
            case .off: await stop(gently: true, why: "power off")
            case .cut: await stop(gently: false, why: "power cut")
            case .cycle:
                await stop(gently: true, why: "power off")
                try await start()
            case .reset: try await reset()
            case .button:
                try await running(for: "press the power button of").qmp.execute("system_powerdown")
                note("power button pressed")
            }
        }
    }

    private func reset() async throws {
        let qmp = try running(for: "reset").qmp
        guard startsOtherwise else {
            try await qmp.execute("system_reset")
            return
        }
        await stop(gently: true, why: "reset", tellsBMC: false)
        try await start(as: .reset)
    }

    // MARK: The BMC's wishes

    var nextPlan: BootPlan { plan }

    /// From the next start or reset on.
    func setPlan(_ change: @Sendable (inout BootPlan) -> Void) async throws {
        try await exclusively {
            change(&plan)
            try await applyPlan()
        }
    }

    /// Takes the disc out of the drive, where there is one, without asking the guest.
    func ejectDisc() async {
        guard let running, running.plan.cd != nil else { return }
        _ = try? await running.qmp.execute("eject", ["id": .string(QEMUCommand.driveDevice), "force": true])
    }

    /// A restart that begins as a shutdown by the guest.
    func shutDownAndStart() async throws {
        try await exclusively {
            let qmp = try running(for: "restart").qmp
            startsAnew = true
            try await qmp.execute("system_powerdown")
            note("power button pressed, to start again")
        }
    }

    func interrupt() async throws { try await running(for: "interrupt").qmp.execute("inject-nmi") }

    /// On the serial port; nothing where the machine is off.
    func sendBreak() async { _ = try? await running?.qmp.execute("chardev-send-break", ["id": .string(QEMUCommand.serialDevice)]) }

    private var startsOtherwise: Bool { running.map { $0.plan != plan || plan.httpURI != nil } ?? false }

    /// Where the next start is another than this one, a reset ends the process, and it is started anew.
    private func applyPlan() async throws {
        guard let qmp = running?.qmp else { return }
        try await qmp.execute("set-action", ["reboot": startsOtherwise ? "shutdown" : "reset"])
    }

    /// OVMF reads its variables when it starts.
    private func writeFirmwareVariables() throws {
        guard spec.firmware == .uefi, let data = FileManager.default.contents(atPath: paths.firmwareVariables) else {
            return
        }
        do {
            var store = try UEFIVariableStore(image: Array(data))
            store.clearNextBoot()
            if let uri = plan.httpURI { try store.setNextBoot(httpURI: uri) }
            guard store.image != Array(data) else { return }
            try Data(store.image).write(to: URL(filePath: paths.firmwareVariables), options: .atomic)
        } catch let failure as UEFIVariableStore.Failure {
            throw LabError(
                .fileFailed, "\(paths.firmwareVariables): \(failure)",
                remedy: "Power the machine off, remove the file and power it on: it gets new variables.")
        }
    }

    func power() async -> PowerStatus {
        var state = PowerStatus.State.off
        var evidence = "no QEMU process"
        if let running {
            let alive = running.process.isAlive
            state = alive ? .on : .off
            evidence = "pid \(running.process.pid) \(alive ? "is alive" : "has ended")"
            if alive {
                let word = try? await running.qmp.execute("query-status", timeout: .seconds(2))
                evidence += word?["status"]?.text.map { "; QMP query-status: \($0)" } ?? "; QMP does not answer"
            }
        }
        return PowerStatus(
            state: state, evidence: evidence, pid: running?.process.pid, lastEvent: lastEvent?.text,
            lastEventAt: lastEvent?.at, guestResets: guestResets)
    }

    var isOn: Bool { running?.process.isAlive ?? false }

    func status(bmc: BMCStatus?) async -> MachineStatus {
        MachineStatus(
            spec: spec, power: await power(), faults: faults, bmc: bmc, consoleSocket: paths.consoleSocket,
            consoleLog: paths.consoleLog, consoleBytes: console.totalBytes)
    }

    // MARK: Faults

    /// Breaks it; one of the same key is replaced.
    func inject(_ fault: Fault) async throws {
        let fault = try fault.resolved(among: spec.disks)
        if case .linkDown(let nic) = fault, !spec.nics.indices.contains(nic) {
            throw LabError(
                .invalidFault, "machine “\(spec.name)” has no network card \(nic)",
                remedy: "It has \(spec.nics.count), counted from 0.")
        }
        try await change { $0.filter { $0.key != fault.key } + [fault] }
    }

    /// Mends it; nil mends everything.
    func clear(_ fault: Fault?) async throws {
        let key = try fault?.resolved(among: spec.disks).key
        try await change { $0.filter { key != nil && $0.key != key } }
    }

    private func change(_ edit: @Sendable ([Fault]) -> [Fault]) async throws {
        try await exclusively {
            let before = faults
            faults = edit(before)
            do {
                try await applyLoss()
                try await applyToRunning()
            } catch {
                faults = before
                throw error
            }
            for fault in faults where !before.contains(fault) {
                console.mark("lab: fault \(fault) \(now())")
            }
            for fault in before where !faults.contains(fault) {
                console.mark("lab: cleared \(fault) \(now())")
            }
            console.setSilent(faults.contains(.consoleSilence))
        }
    }

    private func applyLoss() async throws {
        let percent = faults.compactMap { if case .packetLoss(let percent) = $0 { percent } else { nil } }.first ?? 0
        for nic in spec.nics.indices {
            try await network.setLoss(percent: percent, on: QEMUCommand.tap(number: number, nic: nic))
        }
    }

    private func applyToRunning() async throws {
        guard let qmp = running?.qmp else { return }
        for nic in spec.nics.indices {
            let up = !faults.contains(.linkDown(nic: nic))
            try await qmp.execute("set_link", ["name": .string(QEMUCommand.netdev(nic)), "up": .bool(up)])
        }
        try await applyLatency(qmp)
        for disk in spec.disks.indices { try await applyDiskFaults(disk, qmp) }
    }

    private func applyLatency(_ qmp: QMPClient) async throws {
        let wanted = faults.compactMap { if case .latency(let delay) = $0 { delay } else { nil } }.first ?? 0
        guard let present = running?.latencyMilliseconds, present != wanted else { return }
        for nic in spec.nics.indices {
            let name = JSONValue.string("latency\(nic)")
            if present > 0 { try await qmp.execute("object-del", ["id": name]) }
            if wanted > 0 {
                try await qmp.execute(
                    "object-add",
                    [
                        "qom-type": "filter-buffer", "id": name, "netdev": .string(QEMUCommand.netdev(nic)),
                        "queue": "all", "interval": .integer(Int64(wanted) * 1000),
                    ])
            }
        }
        running?.latencyMilliseconds = wanted
    }

    private func applyDiskFaults(_ disk: Int, _ qmp: QMPClient) async throws {
        let wanted = DiskFaults(faults, serial: spec.disks[disk].serial)
        let healthy = DiskFaults([], serial: "")
        guard wanted != running?.diskFaults[disk] ?? healthy else { return }
        faultGeneration += 1
        let plan = wanted.plan(disk: disk, generation: faultGeneration)
        // QEMU allows a file one user with these permissions: the old chain goes before the new one comes.
        let removal = healthy.plan(disk: disk, generation: 0).build + (running?.removeFaults[disk] ?? [])
        for step in removal { try await qmp.execute(step.command, step.arguments) }
        running?.removeFaults[disk] = []
        for step in plan.build { try await qmp.execute(step.command, step.arguments) }
        running?.removeFaults[disk] = plan.remove
        running?.diskFaults[disk] = wanted
    }

    /// QEMU's human monitor, as for `qemu-io`, which tries a disk from below the guest.
    func monitor(_ line: String) async throws {
        try await running(for: "ask").qmp.execute(
            "human-monitor-command", ["command-line": .string(line)], timeout: .seconds(30))
    }

    // MARK: The process

    private func start(as event: BMCHardwareEvent = .poweredOn) async throws {
        if let running, running.process.isAlive { return }
        await end()
        startsAnew = false
        if spec.firmware == .uefi, access(paths.firmwareVariables, F_OK) != 0 {
            try FileManager.default.copyItem(atPath: QEMUCommand.firmwareVariables, toPath: paths.firmwareVariables)
        }
        try writeFirmwareVariables()
        let plan = plan
        for stale in [paths.qmpSocket, paths.serialSocket] { unlink(stale) }
        let command = QEMUCommand(lab: lab, spec: spec, number: number, paths: paths, accelerator: accelerator, plan: plan)
        let process = try Spawn.start(
            command.arguments, namespace: lab.namespace, logPath: paths.qemuLog, diesWithParent: true)
        do {
            try process.write(to: paths.processFile)
            let qmp = try await connect(to: process)
            let console = console
            let serial = try await ByteChannel.connect(
                paths.serialSocket, onBytes: { console.received($0) }, onClose: {})
            running = Running(process: process, plan: plan, qmp: qmp, serial: serial)
            console.setKeyboard { bytes in
                serial.send(bytes)
                return true
            }
            try await applyToRunning()
            guestResets = 0
            note(event == .reset ? "reset, as another start" : "power on")
            bmcSink.yield(event)
            if let used = plan.override {
                bmcSink.yield(.bootOverrideUsed)
                if used.isOnce { self.plan.override = nil }
            }
            try await applyPlan()
            watch = Task { [weak self] in
                for await event in qmp.events { await self?.noticed(event) }
                await self?.processEnded(process)
            }
            try await qmp.execute("cont")
        } catch {
            process.kill()
            _ = await process.waitForEnd(atMost: .seconds(5))
            await end()
            throw error
        }
    }

    private func connect(to process: ProcessIdentity) async throws -> QMPClient {
        let deadline = ContinuousClock.now + .seconds(15)
        while process.isAlive, ContinuousClock.now < deadline {
            if access(paths.qmpSocket, F_OK) == 0, let client = try? await QMPClient.connect(paths.qmpSocket) {
                return client
            }
            try await Task.sleep(for: .milliseconds(20))
        }
        let said = FileManager.default.contents(atPath: paths.qemuLog).map { String(decoding: $0, as: UTF8.self) }
        throw LabError(
            .qemuFailed,
            "QEMU for “\(spec.name)” \(process.isAlive ? "did not answer in 15 s" : "ended at once"): "
                + (said ?? "").split(separator: "\n").suffix(3).joined(separator: "; "),
            remedy: "See \(paths.qemuLog).")
    }

    private func stop(gently: Bool, why: String, tellsBMC: Bool = true) async {
        guard let running else { return }
        watch?.cancel()
        watch = nil
        if gently {
            _ = try? await running.qmp.execute("quit", timeout: .seconds(2))
            _ = await running.process.waitForEnd(atMost: .seconds(3))
        }
        running.process.kill()
        _ = await running.process.waitForEnd(atMost: .seconds(10))
        await end()
        note(why)
        if tellsBMC { bmcSink.yield(.poweredOff) }
    }

    /// Forgets the process and lets go of its sockets.
    private func end() async {
        console.setKeyboard(nil)
        running?.qmp.close()
        running?.serial.close()
        running = nil
        for path in [paths.processFile, paths.qmpSocket, paths.serialSocket] { unlink(path) }
    }

    private func noticed(_ event: QMPEvent) {
        switch event.name {
        case "RESET":
            let byGuest = event.data["guest"]?.flag == true
            if byGuest { guestResets += 1 }
            note(byGuest ? "reset by the guest" : "reset")
            bmcSink.yield(.reset)
        case "SHUTDOWN" where event.data["reason"]?.text == "guest-reset":
            guestResets += 1
            startsAnew = true
        case "SHUTDOWN" where event.data["guest"]?.flag == true: note("guest shut down")
        case "GUEST_PANICKED": note("guest panicked")
        default: break
        }
    }

    private func processEnded(_ process: ProcessIdentity) async {
        guard !Task.isCancelled else { return }
        _ = await process.waitForEnd(atMost: .seconds(10))
        guard !Task.isCancelled, running?.process == process, !process.isAlive else { return }
        guard !startsAnew else {
            // A reset by the guest, and the next start is another.
            try? await exclusively {
                guard !Task.isCancelled, running?.process == process else { return }
                await end()
                try await start(as: .reset)
            }
            return
        }
        if lastEvent?.text != "guest shut down" { note("QEMU ended by itself") }
        await end()
        bmcSink.yield(.poweredOff)
    }

    private func note(_ text: String) {
        let time = now()
        lastEvent = (text, time)
        console.mark("lab: \(text) \(time)")
    }

    private func running(for what: String) throws(LabError) -> Running {
        guard let running, running.process.isAlive else {
            throw LabError(
                .wrongPowerState, "cannot \(what) “\(spec.name)”: it is off", remedy: "Power it on first.")
        }
        return running
    }

    private func makeDisk(at path: String, sizeBytes: Int64) throws {
        guard access(path, F_OK) != 0 else { return }
        let file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard file >= 0, ftruncate(file, Int(sizeBytes)) == 0 else {
            let why = String(cString: strerror(errno))
            if file >= 0 { close(file) }
            throw LabError(.fileFailed, "\(path): \(why)", remedy: "Make room, or choose another --state-dir.")
        }
        close(file)
    }

    /// One change of power or faults at a time, in the order they came.
    private func exclusively(_ body: () async throws -> Void) async throws {
        if isBusy { await withCheckedContinuation { queue.append($0) } }
        isBusy = true
        defer {
            if queue.isEmpty { isBusy = false } else { queue.removeFirst().resume() }
        }
        try await body()
    }
}
