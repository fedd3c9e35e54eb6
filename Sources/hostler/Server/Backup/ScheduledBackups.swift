import API
import FoundationEssentials
import Logging
import Model
import Store
import Subprocess
import Synchronization

/// The server's own backups: taken when they are due, restored into a folder of their own to see that they can be, named,
/// handed to the operator's command, and thinned out. What goes wrong is an event and a warning, and is tried again.
final class ScheduledBackups: Sendable {
    /// What it needs of the server.
    struct Surroundings: Sendable {
        var stateDirectory: String
        /// The server's configuration, for a new host; nil: there is none.
        var configuration: String?
        var write: @Sendable (_ path: String) async throws -> Void
        var record: @Sendable (_ kind: String, _ message: String, _ evidence: [String: String]) async throws -> Void
        var now: @Sendable () -> Timestamp
        var logger: Logger
    }

    struct State: Sendable, Equatable {
        /// When the newest backup was taken.
        var last: Timestamp?
        var failedAt: Timestamp?
        var problem: Problem?
        /// What the newest does not have, or what of it does not open.
        var incomplete: Problem?
        /// The newest, where the command has not taken it yet.
        var notHandedOn: String?
    }

    private static let lookEvery = Duration.seconds(60)
    private static let commandLimit = Duration.seconds(3600)

    let settings: BackupSettings
    private let surroundings: Surroundings
    private let startedAt: Timestamp
    private let held: Mutex<State>

    init(_ settings: BackupSettings, _ surroundings: Surroundings) {
        self.settings = settings
        self.surroundings = surroundings
        let now = surroundings.now()
        startedAt = now
        var state = State(last: Self.names(in: settings.path).compactMap(BackupCalendar.time).filter { $0 <= now }.max())
        if settings.command != nil, let path = Self.unsent(in: settings.path) {
            state.notHandedOn = path
            state.failedAt = now
            state.problem = Problem(
                "backup-command-failed", status: 500, title: "A backup was not taken off this host yet", detail: "It is \(path).",
                remedy: "The command is tried again. See why it failed: hostler event list --kind backup")
        }
        held = Mutex(state)
    }

    var state: State { held.withLock { $0 } }

    /// Takes those that are due until it is cancelled.
    func run() async throws {
        while !Task.isCancelled {
            try await takeWhereDue()
            try await Task.sleep(for: Self.lookEvery)
        }
    }

    /// Takes a backup if one is due.
    func takeWhereDue() async throws {
        let now = surroundings.now()
        let before = state
        guard BackupCalendar.wait(now: now, last: before.last, failedAt: before.failedAt, hours: settings.hours) == .zero else { return }
        do {
            // One that is due is taken whether or not the last one could be handed on: a copy on this host is better than none.
            let isDue = BackupCalendar.wait(now: now, last: before.last, failedAt: nil, hours: settings.hours) == .zero
            if let path = before.notHandedOn, !isDue {
                try await handOn(path)
            } else {
                try await take(now)
            }
            held.withLock {
                $0.failedAt = nil
                $0.problem = nil
            }
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            let problem =
                Hostler.problem(of: error) ?? Problem("backup-failed", status: 500, title: "The backup could not be taken", detail: "\(error)")
            held.withLock {
                $0.failedAt = now
                $0.problem = problem
            }
            surroundings.logger.error("a scheduled backup failed; it is tried again", metadata: ["error": "\(problem)"])
            // Once, until it works again.
            guard before.problem?.code != problem.code else { return }
            try await tell("backup.failed", "A scheduled backup failed: \(problem.title)", ["code": problem.code, "detail": problem.detail ?? ""])
        }
    }

    private func take(_ now: Timestamp) async throws {
        let path = "\(settings.path)/\(BackupCalendar.name(now))"
        // Each time: the folder may be another one by now.
        let target = try BackupTarget(path, stateDirectory: surroundings.stateDirectory, mayReplace: true)
        let passphrase = try settings.passphraseFile.map { try ServerKeys.passphrase(in: $0) }
        let verified = try await target.write { temporary in
            try await surroundings.write(temporary)
            if let passphrase {
                let keys = ServerKeys(stateDirectory: surroundings.stateDirectory)
                try BackupKeys.add(keys.readAll(configuration: surroundings.configuration), toBackup: temporary, passphrase: passphrase)
            }
            let verification = try BackupVerification(
                file: temporary, passphrase: passphrase, localKeys: try ServerKeys(stateDirectory: surroundings.stateDirectory).read())
            return verification
        }
        var faults = verified.faults
        if passphrase != nil { faults += ServerKeys(stateDirectory: surroundings.stateDirectory).missing(from: verified.files) }
        let list = faults.prefix(5).joined(separator: "; ")
        held.withLock {
            $0.last = now
            $0.notHandedOn = settings.command == nil ? nil : path
            $0.incomplete =
                faults.isEmpty
                ? nil
                : Problem(
                    "backup-incomplete", status: 500, title: "The newest backup does not restore whole: \(path)", detail: list,
                    remedy: "Mend it on this host (hostler store check), then take one: hostler backup FILE --passphrase-file FILE")
        }
        if settings.command != nil { noteUnsent(BackupCalendar.name(now)) }
        // It is as the server is: better one with a damaged record than none.
        try await tell(
            "backup.taken", "A backup was taken and \(faults.isEmpty ? "restores" : "does not restore whole"): \(path)",
            [
                "revision": "\(verified.revision)", "keys": passphrase == nil ? "none" : "under the passphrase", "faults": "\(faults.count)",
                "first": list,
            ])
        if !faults.isEmpty { surroundings.logger.warning("the backup does not restore whole", metadata: ["faults": "\(list)"]) }
        let names = Self.names(in: settings.path)
        for name in BackupCalendar.surplus(names, keep: settings.kept, now: now, taken: BackupCalendar.name(now)) {
            try? FileManager.default.removeItem(atPath: "\(settings.path)/\(name)")
        }
        if settings.command != nil { try await handOn(path) }
    }

    /// Runs the operator's command on a backup.
    private func handOn(_ path: String) async throws {
        guard let command = settings.command, let program = command.first else { return }
        let arguments = command.dropFirst().map { $0.replacing("{file}", with: path) }
        let status = try await withThrowingTaskGroup(of: TerminationStatus?.self) { group in
            group.addTask {
                var options = PlatformOptions()
                options.createSession = true
                options.teardownSequence = [.send(signal: .kill, toProcessGroup: true, allowedDurationToNextStep: .milliseconds(100))]
                let executable: Executable = program.hasPrefix("/") ? .path(.init(program)) : .name(program)
                return try await Subprocess.run(
                    executable, arguments: Arguments(arguments), platformOptions: options, input: .none, output: .discarded,
                    error: .discarded
                ).terminationStatus
            }
            group.addTask {
                try await Task.sleep(for: Self.commandLimit)
                return nil
            }
            defer { group.cancelAll() }
            return try await group.next() ?? nil
        }
        guard case .exited(0)? = status else {
            throw Problem(
                "backup-command-failed", status: 500, title: "The command that takes backups off this host failed: \(program)",
                detail: status.map { "it ended with \($0)" } ?? "it did not end within an hour",
                remedy: "Try it by hand, as the server's user, with \(path).")
        }
        held.withLock { $0.notHandedOn = nil }
        try? FileManager.default.removeItem(atPath: Self.unsentPath(in: settings.path))
    }

    // MARK: What the command has not taken yet, over a restart

    private static func unsentPath(in folder: String) -> String { folder + "/.not-handed-on" }

    /// The name of the one that the command has not taken, in a file beside it.
    private func noteUnsent(_ name: String) {
        guard !FileManager.default.createFile(atPath: Self.unsentPath(in: settings.path), contents: Data(name.utf8)) else { return }
        surroundings.logger.warning("a restart will not know that a backup was not handed on", metadata: ["backup": "\(name)"])
    }

    private static func unsent(in folder: String) -> String? {
        guard let data = FileManager.default.contents(atPath: unsentPath(in: folder)) else { return nil }
        let name = String(decoding: data, as: UTF8.self)
        // A name of ours has no slash in it.
        guard BackupCalendar.time(of: name) != nil, names(in: folder).contains(name) else { return nil }
        return "\(folder)/\(name)"
    }

    private func tell(_ kind: String, _ message: String, _ evidence: [String: String]) async throws {
        do {
            try await surroundings.record(kind, message, evidence)
        } catch StoreError.closed {
            throw CancellationError()
        } catch {
            surroundings.logger.error("an event could not be kept", metadata: ["event": "\(kind)", "error": "\(error)"])
        }
    }

    /// For those who look at the server's state.
    var warnings: [Problem] {
        let state = state
        var warnings = [state.problem, state.incomplete].compactMap(\.self)
        if isOverdue {
            warnings.append(
                Problem(
                    "backup-overdue", status: 500,
                    title: state.last.map { "The newest backup is of \($0)" } ?? "No backup has been taken yet",
                    detail: "One is wanted every \(settings.hours) hours in \(settings.path).", remedy: "See why: hostler event list --kind backup"))
        }
        return warnings
    }

    var isOverdue: Bool {
        BackupCalendar.isOverdue(now: surroundings.now(), last: state.last, since: startedAt, hours: settings.hours)
    }

    /// What `/metrics` tells of backups.
    var vitals: BackupVitals { BackupVitals(lastAt: state.last, isFailing: state.problem != nil || state.incomplete != nil, isOverdue: isOverdue) }

    private static func names(in folder: String) -> [String] { (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] }
}
