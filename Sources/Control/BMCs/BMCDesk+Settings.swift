internal import Hardware
public import Model
internal import Synchronization

/// Firmware settings, Secure Boot, virtual media and firmware updates, by a machine's BMC.
extension BMCDesk {
    /// At once in one request; a BIOS has some hundreds.
    static let settingLimit = 256

    public func firmwareSettings(machine name: String) async throws -> FirmwareSettings {
        try await asking(name) { try await $0.firmwareSettings() }.1
    }

    /// Stages settings for the machine's next start, and reads back what is staged then.
    public func stage(_ settings: [String: SettingValue], machine name: String, by actor: String) async throws -> FirmwareSettings {
        guard (1...Self.settingLimit).contains(settings.count), settings.keys.allSatisfy({ (1...128).contains($0.utf8.count) }) else {
            throw Problem("settings-invalid", status: 422, title: "There are 1 to \(Self.settingLimit) settings in one change")
        }
        let (machine, read) = try await changing(name) { way in
            try await way.stage(settings)
            return try await way.firmwareSettings()
        }
        let words = settings.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ", ")
        try await control.recordEvent(
            kind: "firmware.settings-staged", machine: machine.id, actor: actor,
            message: "\(machine.name): \(settings.count) firmware settings from the next start on", evidence: ["settings": words])
        return read
    }

    public func secureBoot(machine name: String) async throws -> SecureBootSetting {
        SecureBootSetting(enabled: try await asking(name) { try await $0.secureBoot() }.1)
    }

    public func setSecureBoot(_ setting: SecureBootSetting, machine name: String, by actor: String) async throws -> SecureBootSetting {
        let (machine, read) = try await changing(name) { way in
            try await way.setSecureBoot(setting.enabled)
            return try await way.secureBoot()
        }
        try await control.recordEvent(
            kind: "firmware.secure-boot", machine: machine.id, actor: actor,
            message: "\(machine.name): Secure Boot is \(read ? "on" : "off") from the next start on")
        return SecureBootSetting(enabled: read)
    }

    /// Puts an image by URL into the machine's virtual drive; nil takes out what is in it.
    public func setMedia(_ url: String?, machine name: String, by actor: String) async throws {
        if let url { try Self.check(url) }
        let (machine, _) = try await changing(name) { way -> Void in
            if let url { try await way.insertMedia(url) } else { try await way.ejectMedia() }
        }
        try await control.recordEvent(
            kind: url == nil ? "media.ejected" : "media.inserted", machine: machine.id, actor: actor,
            message: "\(machine.name): \(url.map { "\($0) is in its virtual drive" } ?? "its virtual drive is empty")")
    }

    // MARK: Firmware updates

    /// Has the BMC fetch firmware and put it in; returns once that is under way. While it is, nothing switches the power.
    public func updateFirmware(from url: String, targets: [String], machine name: String, by actor: String) async throws -> FirmwareUpdate {
        try Self.check(url)
        return try await begin(.url(url), targets, machine: name, by: actor)
    }

    /// Gives the BMC a firmware file, for one that can reach no server; as `updateFirmware` otherwise.
    public func pushFirmware(
        _ file: [UInt8], named fileName: String, targets: [String], machine name: String, by actor: String
    ) async throws -> FirmwareUpdate {
        guard !file.isEmpty else { throw Problem("firmware-empty", status: 422, title: "The firmware file is empty") }
        guard (1...128).contains(fileName.utf8.count), fileName.unicodeScalars.allSatisfy(MultipartPush.isPlain) else {
            throw Problem(
                "firmware-name-invalid", status: 422, title: "“\(fileName)” is no name of a firmware file",
                remedy: "BMCs know firmware by its file's name: 1 to 128 ASCII letters, digits and “._-”.")
        }
        let inFlight = pushedBytes.withLock { bytes in
            guard bytes + file.count <= Self.pushedLimitBytes else { return false }
            bytes += file.count
            return true
        }
        guard inFlight else {
            throw Problem(
                "firmware-too-much", status: 503, title: "Too many firmware files are on their way to BMCs already",
                detail: "together they may have \(Self.pushedLimitBytes >> 20) MiB in memory", remedy: "Try again when some are done.")
        }
        do {
            return try await begin(.file(file, name: fileName), targets, machine: name, by: actor)
        } catch {
            pushedBytes.withLock { $0 -= file.count }
            throw error
        }
    }

    private static let pushedLimitBytes = 1 << 30

    private func begin(_ source: FirmwareSource, _ targets: [String], machine name: String, by actor: String) async throws -> FirmwareUpdate {
        guard targets.count <= 16, targets.allSatisfy({ RedfishPath($0) != nil }) else {
            throw Problem("targets-invalid", status: 422, title: "Targets are paths of the BMC's firmware inventory, 16 at most")
        }
        try control.refuseWhileFrozen()
        let machine = try await control.machine(named: name).value
        let bmc = try await bmc(of: machine.id)
        let line = try line(bmc.id)
        guard line.power is any MachineSettings else { throw Self.unable(bmc) }
        try await proved(bmc, of: machine, by: line)
        let update = FirmwareUpdate(url: source.name, startedAt: control.now)
        let isFirst = updates.withLock { updates in
            guard updates[bmc.id]?.state != .running else { return false }
            updates[bmc.id] = update
            return true
        }
        guard isFirst else { throw Self.updating(bmc) }
        do {
            try await control.recordEvent(
                kind: "firmware.update-started", machine: machine.id, actor: actor,
                message: "\(machine.name): the BMC \(source.verb) \(source.name)")
        } catch {
            // It was not begun: nothing waits for its end.
            updates.withLock { $0[bmc.id] = nil }
            throw error
        }
        updateJobs.yield(UpdateJob(bmc: bmc.id, machine: machine.id, source: source, targets: targets))
        return update
    }

    /// The last one since the server started.
    public func firmwareUpdate(machine name: String) async throws -> FirmwareUpdate {
        let bmc = try await bmc(of: control.machine(named: name).value.id)
        guard let update = updates.withLock({ $0[bmc.id] }) else {
            throw Problem("firmware-update-none", status: 404, title: "No firmware update was asked for since the server started")
        }
        return update
    }

    /// Where firmware comes from.
    enum FirmwareSource: Sendable {
        case url(String)
        case file([UInt8], name: String)

        var name: String {
            switch self {
            case .url(let url): url
            case .file(_, let name): name
            }
        }

        /// What the BMC does to have it.
        var verb: String { if case .url = self { "fetches" } else { "gets" } }
    }

    struct UpdateJob: Sendable {
        var bmc: BMCID
        var machine: MachineID
        var source: FirmwareSource
        var targets: [String]
    }

    /// Carries out updates as they are asked for, until cancelled.
    func runUpdates() async {
        await withDiscardingTaskGroup { group in
            for await job in updateRequests { group.addTask { await self.carryOut(job) } }
        }
    }

    private func carryOut(_ job: UpdateJob) async {
        defer { if case .file(let file, _) = job.source { pushedBytes.withLock { $0 -= file.count } } }
        var failure: Problem?
        do {
            // Beside the line, which others need meanwhile to read the power.
            guard let way = try line(job.bmc).power as? any MachineSettings else { return }
            try mayAct()
            let tell: @Sendable (TaskProgress) -> Void = { progress in
                self.updates.withLock { updates in
                    updates[job.bmc]?.percent = progress.percent
                    updates[job.bmc]?.messages = progress.messages
                }
            }
            let deadline = Duration.seconds(3600)
            switch job.source {
            case .url(let url): try await way.updateFirmware(from: url, targets: job.targets, deadline: deadline, progress: tell)
            case .file(let file, let name):
                try await way.pushFirmware(file, name: name, targets: job.targets, deadline: deadline, progress: tell)
            }
        } catch {
            failure =
                error as? Problem
                ?? Problem("firmware-update-broken-off", status: 502, title: "The update was not followed to its end", detail: "\(error)")
        }
        let problem = failure
        let now = control.now
        updates.withLock { updates in
            updates[job.bmc]?.state = problem == nil ? .done : .failed
            updates[job.bmc]?.problem = problem
            updates[job.bmc]?.endedAt = now
        }
        let name = control.snapshot.machines[job.machine]?.name.text ?? job.machine.rawValue
        do {
            try await control.recordEvent(
                kind: problem == nil ? "firmware.updated" : "firmware.update-failed", machine: job.machine, actor: "bmc",
                message: "\(name): \(problem.map(\.title) ?? "the firmware \(job.source.name) is in, by the BMC's word")",
                evidence: Self.evidence(problem))
        } catch {
            control.environment.logger.error("the end of a firmware update was not recorded", metadata: ["error": "\(error)"])
        }
    }

    /// Power is not touched while firmware is being written.
    func refuseWhileUpdating(_ bmc: BMC) throws(Problem) {
        if updates.withLock({ $0[bmc.id]?.state == .running }) { throw Self.updating(bmc) }
    }

    // MARK: Parts

    /// As `asking`, for what changes something: nothing is done while the rack is frozen.
    private func changing<T: Sendable>(
        _ name: String, _ body: @Sendable @escaping (any MachineSettings) async throws -> T
    ) async throws -> (Machine, T) {
        try control.refuseWhileFrozen()
        let mayAct = mayAct
        return try await asking(name, changes: true) { way in
            try mayAct()
            return try await body(way)
        }
    }

    private func asking<T: Sendable>(
        _ name: String, changes: Bool = false, _ body: @Sendable @escaping (any MachineSettings) async throws -> T
    ) async throws -> (Machine, T) {
        let machine = try await control.machine(named: name).value
        let bmc = try await bmc(of: machine.id)
        let unable = Self.unable(bmc)
        let line = try line(bmc.id)
        if changes { try await proved(bmc, of: machine, by: line) }
        let value = try await line.ask(timeout: .seconds(180)) { way in
            guard let settings = way as? any MachineSettings else { throw unable }
            return try await body(settings)
        }
        return (machine, value)
    }

    private static func unable(_ bmc: BMC) -> Problem {
        Problem(
            "bmc-unsupported", status: 422, title: "A BMC of kind \(bmc.kind.rawValue) cannot do that",
            detail: "Settings, media and firmware go by Redfish.")
    }

    private static func updating(_ bmc: BMC) -> Problem {
        Problem(
            "firmware-update-running", status: 409, title: "The BMC at \(bmc.address) is putting in new firmware",
            remedy: "Wait for its end: hostler machine firmware")
    }

    private static func check(_ url: String) throws(Problem) {
        guard url.utf8.count <= 1024, ["http://", "https://", "nfs://", "cifs://", "ftp://", "tftp://"].contains(where: { url.hasPrefix($0) }),
            url.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
        else {
            throw Problem(
                "url-invalid", status: 422, title: "That is no URL that a BMC could fetch", remedy: "Give one of http, https, nfs, cifs, ftp or tftp."
            )
        }
    }
}
