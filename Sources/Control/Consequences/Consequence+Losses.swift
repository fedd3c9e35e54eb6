internal import Crypto
public import Model
internal import Wire

// What an order for a machine will cost: pure functions of the order and the record.
extension Consequence {
    /// A consequence whose confirmation names what is lost.
    public static func naming(
        _ act: DestructiveAct, target: String, name: String, losses: [Loss], warnings: [Problem] = [], waits: Problem? = nil
    ) -> Consequence {
        var all = Consequence(act: act, target: target, name: name, losses: losses, warnings: warnings, waits: waits)
        guard !losses.isEmpty else { return all }
        let names = losses.map { "\($0.kind.rawValue) \($0.id)" }.sorted()
        let text = ([act.rawValue, target] + names).joined(separator: "\n")
        all.confirmation = String(Hex.encode(SHA256.hash(data: Array(text.utf8))).prefix(16))
        return all
    }

    /// Throws where something will be lost to which the order did not agree.
    ///
    /// - Parameter agreement: the confirmation of the consequence that the person saw.
    public func check(_ agreement: String?) throws(Problem) {
        guard let confirmation, agreement != confirmation else { return }
        let lost = lossLines.joined(separator: "\n")
        guard agreement == nil else {
            throw Problem(
                "confirmation-stale", status: 412, title: "What \(act.gerund) \(name) destroys is not what was confirmed",
                detail: "Now it is this:\n\(lost)", remedy: "If that is wanted, repeat the request with ?confirm=\(confirmation)")
        }
        throw Problem(
            "confirmation-needed", status: 428,
            title: "\(act.gerund.capitalisedFirst) \(name) destroys something, and the request does not agree to that",
            detail: (["This will be lost:", lost] + warnings.map(\.title)).joined(separator: "\n"),
            remedy: "If that is wanted, repeat the request with ?confirm=\(confirmation); ?dryRun=true asks without doing it. "
                + "`hostler` asks on a terminal, and takes --yes.")
    }

    // MARK: Machines

    /// - Parameters:
    ///   - request: with its disks chosen, as admission pins them.
    ///   - hasUserData: whether the installation gets user-data.
    static func of(
        _ request: OperationRequest, on machine: Machine, hasUserData: Bool, at now: Timestamp, waits: Problem? = nil
    ) -> Consequence {
        let act = DestructiveAct(request.kind)
        var losses: [Loss] = []
        var warnings: [Problem] = []
        switch request {
        case .inspect:
            // What is known to run is left to run (``MachineStart``); where nobody has looked, a BMC restarts the machine.
            if machine.systemOnDisk == nil, machine.observed.foreignDisks == nil { losses = machine.uptimeLoss("while it is inspected") }
        case .install(let install):
            losses =
                machine.systemLoss(isOverwritten: machine.systemIsOn(install)) + machine.foreignLoss("it no longer boots it")
                + machine.unseenLoss + install.retiredLosses
            if !hasUserData, install.sshKeys.isEmpty, machine.desired.sshKeys.isEmpty { warnings.append(noWayIn(machine)) }
        case .wipe(let wipe):
            losses = machine.wipeLosses(wipe)
            if let left = wipe.left { warnings.append(staying(left)) }
        case .rescue:
            losses = machine.uptimeLoss("for as long as the rescue shell is open")
        }
        let lease = machine.leaseLoss(at: now)
        if losses.isEmpty {
            // Nothing of theirs is known to be there, but the machine is theirs.
            if let lease = lease.first { warnings.append(lent(machine, lease)) }
        } else {
            losses += lease
        }
        return naming(act, target: machine.id.rawValue, name: machine.name.text, losses: losses, warnings: warnings, waits: waits)
    }

    static func of(_ action: PowerAction, on machine: Machine, operation: Operation?, at now: Timestamp) -> Consequence? {
        guard let act = DestructiveAct(action) else { return nil }
        var losses = machine.uptimeLoss(act == .powerOff || act == .shutdown ? "until it is switched on again" : "while it restarts")
        if let operation, operation.state == .running, operation.currentStep.map({ $0.name != .agent }) == true {
            let step = operation.currentStep
            let progress = step?.progress.map { ", \(Int($0.fraction * 100)) % done" } ?? ""
            losses.append(
                Loss(
                    .operation, id: "\(operation.id) \(step?.name.rawValue ?? "")",
                    "\(operation.kind.rawValue) \(operation.id) is cut off in \(step?.name.rawValue ?? "its last step")\(progress)"))
        }
        if !losses.isEmpty { losses += machine.leaseLoss(at: now) }
        return naming(act, target: machine.id.rawValue, name: machine.name.text, losses: losses)
    }

    static func deletion(of machine: Machine, at now: Timestamp) -> Consequence {
        var losses = [
            Loss(
                .record, id: machine.id.rawValue,
                "the record of \(machine.name) since \(machine.createdAt): its name, labels, user-data and inventory")
        ]
        losses += machine.systemLoss(
            isOverwritten: false, "it runs on, without identity and metadata; its next boot from the network is that of a stranger")
        losses += machine.leaseLoss(at: now)
        losses += machine.holds.map { Loss(.hold, id: $0.id.rawValue, "the hold since \($0.since): \($0.problem.title)") }
        return naming(.deleteMachine, target: machine.id.rawValue, name: machine.name.text, losses: losses)
    }

    static func release(of hold: Hold, on machine: Machine) -> Consequence {
        naming(
            .releaseHold, target: machine.id.rawValue, name: machine.name.text,
            losses: [
                Loss(
                    .hold, id: hold.id.rawValue,
                    "the hold since \(hold.since) (\(hold.problem.title)), with the last \(hold.evidence.count) lines that the machine said; work may go on then"
                )
            ])
    }

    /// - Parameter owners: all other machines that have the port.
    static func taking(_ mac: MACAddress, into machine: Machine, from owners: [Machine]) -> Consequence {
        let losses = owners.map { Loss(.port, id: "\(mac) \($0.id)", "\($0.name) (\($0.id)) no longer has port \(mac), by which it is known") }
        return naming(.takeInterface, target: machine.id.rawValue, name: machine.name.text, losses: losses)
    }

    static func taking(disksOf machine: Machine) -> Consequence {
        naming(.takeMachine, target: machine.id.rawValue, name: machine.name.text, losses: machine.foreignLoss("it no longer boots it"))
    }

    static func forgettingTPM(of machine: Machine) -> Consequence {
        let losses = machine.attestation.map { _ in
            [
                Loss(
                    .tpm, id: machine.id.rawValue,
                    "the TPM that \(machine.name) was enrolled with, and what its boots should be; the next TPM that it shows is believed")
            ]
        }
        return naming(.forgetTPM, target: machine.id.rawValue, name: machine.name.text, losses: losses ?? [])
    }

    static func clearingLog(of machine: Machine) -> Consequence {
        naming(
            .clearLog, target: machine.id.rawValue, name: machine.name.text,
            losses: [Loss(.log, id: machine.id.rawValue, "all entries of the event log in the BMC of \(machine.name)")])
    }

    static func firmware(from source: String, to machine: Machine, at now: Timestamp) -> Consequence {
        var losses = [
            Loss(
                .firmware, id: source,
                "the firmware of \(machine.name) as it is, replaced by \(source); if its power fails meanwhile, it may not start again")
        ]
        losses += machine.uptimeLoss("where the BMC restarts it")
        losses += machine.leaseLoss(at: now)
        return naming(.updateFirmware, target: machine.id.rawValue, name: machine.name.text, losses: losses)
    }

    private static func noWayIn(_ machine: Machine) -> Problem {
        Problem(
            "no-way-in", title: "Nobody will be able to log in to \(machine.name): there is no SSH key and no user-data",
            remedy: "Give --ssh-key FILE, or --user-data FILE; or set keys for good: hostler machine set \(machine.id) --ssh-key FILE")
    }

    /// A wipe that names no disk takes only those inside the machine.
    private static func staying(_ disks: [String]) -> Problem {
        Problem(
            "disks-left", title: "These disks stay as they are, as they are not the machine's own: \(disks.joined(separator: "; "))",
            remedy: "To wipe one of them, name it: --disk NAME")
    }

    private static func lent(_ machine: Machine, _ lease: Loss) -> Problem {
        Problem("machine-lent", title: "\(machine.name) is lent: \(lease.what)", remedy: "Ask its holder first.")
    }
}

extension Machine {
    /// - Parameter fate: what becomes of it; nil: it is overwritten, or no longer started.
    fileprivate func systemLoss(isOverwritten: Bool, _ fate: String? = nil) -> [Consequence.Loss] {
        guard let installed = systemOnDisk else { return [] }
        let fate = fate ?? (isOverwritten ? "it is overwritten" : "it is not started any more")
        let disk = installed.diskSerial.map { " on disk \($0)" } ?? ""
        return [
            .init(
                .system, id: installed.operation.rawValue,
                "\(installed.image) as \(installed.hostname)\(disk), installed by \(installed.operation) at \(installed.installedAt); \(fate)")
        ]
    }

    /// What its disks hold that Hostler did not put there, and that it boots until somebody takes the machine.
    fileprivate func foreignLoss(_ fate: String) -> [Consequence.Loss] {
        guard systemOnDisk == nil, let contents = foreignContents else { return [] }
        return [.init(.disk, id: (observed.foreignDisks ?? []).sorted().joined(separator: " "), "\(contents); \(fate)")]
    }

    /// Nobody has looked at what its disks hold, or an agent of before did, which could not tell.
    fileprivate var unseenLoss: [Consequence.Loss] {
        guard systemOnDisk == nil, observed.foreignDisks == nil, takenDisks?.isEmpty != false else { return [] }
        return [.init(.disk, id: "unseen", "whatever is on the disk that is chosen: nobody has looked at what the machine's disks hold")]
    }

    /// Whether its system may be on the disk that the installation writes; where that is not known, it is.
    func systemIsOn(_ install: InstallRequest, system: Installation? = nil) -> Bool {
        guard let installed = system ?? systemOnDisk else { return false }
        if let target = install.target, let disk = installed.disk, disk.wwn != nil || disk.serial != nil { return target.isSameDisk(as: disk) }
        guard let name = install.disk, let serial = installed.diskSerial else { return true }
        return serial == name || install.target?.serial == serial
            || observed.inventory?.disks.contains { $0.serial == serial && $0.wwn == name } == true
    }

    /// The disks that a wipe takes, as admission pinned them. Where they are not known, all that there are.
    fileprivate func wipeLosses(_ request: WipeRequest) -> [Consequence.Loss] {
        let targets = request.targets ?? (request.disks ?? []).map { DiskTarget(name: $0) }
        let known = observed.inventory?.disks ?? []
        var losses = targets.map { target in
            let size = target.bytes.map { "\($0 / 1_000_000) MB" }
            let facts = [target.model, size].compactMap(\.self).joined(separator: ", ")
            return Consequence.Loss(
                .disk, id: "\(target.name) \(target.wwn ?? "")", "all that is on \(target.name)" + (facts.isEmpty ? "" : " (\(facts))"))
        }
        if losses.isEmpty { losses = [.init(.disk, id: "all", "all that is on every disk of the machine; it was not inspected yet")] }
        guard let installed = systemOnDisk, request.wipes(installed, disks: known) else { return losses }
        return systemLoss(isOverwritten: true, "it is wiped") + losses
    }

    /// What runs there, known or not, unless it is an agent without work. One that has found somebody's system leaves it to run.
    fileprivate func uptimeLoss(_ howLong: String) -> [Consequence.Loss] {
        if let installed = systemOnDisk {
            return [
                .init(
                    .uptime, id: installed.operation.rawValue,
                    "\(installed.image) as \(installed.hostname), running since \(installed.installedAt) or its last start, stops \(howLong)")
            ]
        }
        guard observed.agent == nil || foreignContents != nil else { return [] }
        return [.init(.uptime, id: id.rawValue, "whatever runs on \(name) stops \(howLong); Hostler has not put it there")]
    }

    fileprivate func leaseLoss(at now: Timestamp) -> [Consequence.Loss] {
        guard let lease = desired.lease, lease.endedAt == nil, lease.endsAt > now else { return [] }
        return [
            .init(
                .lease, id: lease.id,
                "it is lent\(lease.holder.map { " to \($0)" } ?? "; the lease does not say to whom") until \(lease.endsAt) (\(lease.id))")
        ]
    }
}

extension String {
    fileprivate var capitalisedFirst: String { prefix(1).uppercased() + dropFirst() }
}
