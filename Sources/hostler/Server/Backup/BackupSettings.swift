import FoundationEssentials
import Model

/// `backup:` in the configuration: backups that the server takes by itself.
struct BackupSettings: Codable, Sendable, Equatable {
    /// A folder outside the state directory, better on another disk.
    var path: String
    /// Hours from one to the next.
    var everyHours: Int?
    /// How many stay in the folder.
    var keep: Int?
    /// The file whose first line seals the server's keys in each backup.
    var passphraseFile: String?
    /// Says that the keys are kept elsewhere.
    var withoutKeys: Bool?
    /// A program with its arguments that takes each backup off this host; `{file}` stands for the backup.
    var command: [String]?

    static let hours = 1...24 * 90
    static let keeps = 1...1000

    var hours: Int { everyHours ?? 24 }
    var kept: Int { keep ?? 14 }

    func check(stateDirectory: String) throws(Problem) {
        func invalid(_ title: String, _ remedy: String) -> Problem { Problem("config-invalid", title: "backup: \(title)", remedy: remedy) }
        guard path.hasPrefix("/") else { throw invalid("“\(path)” is no absolute path", "Write it as /var/backups/hostler.") }
        guard Self.hours.contains(hours) else {
            throw invalid("everyHours is \(hours)", "Write \(Self.hours.lowerBound) to \(Self.hours.upperBound).")
        }
        guard Self.keeps.contains(kept) else { throw invalid("keep is \(kept)", "Write \(Self.keeps.lowerBound) to \(Self.keeps.upperBound).") }
        guard (passphraseFile != nil) != (withoutKeys == true) else {
            throw invalid(
                "it does not say what becomes of the server's keys",
                "Name a passphraseFile; or, with copies of seal.key, identity.key, vault.key and tls/ kept elsewhere, withoutKeys: true.")
        }
        guard command?.isEmpty != true, command?.contains(where: { $0.contains("{file}") }) != false else {
            throw invalid("command does not name {file}", "Write it as [rclone, copy, \"{file}\", \"remote:hostler\"].")
        }
    }
}

/// When backups are due, and which there are: pure.
enum BackupCalendar {
    static let retry = Duration.seconds(900)
    private static let head = "hostler-"
    private static let tail = ".backup"

    /// As `hostler-2026-01-31T08-15-00Z.backup`; sorts by time.
    static func name(_ time: Timestamp) -> String {
        head + String(time.description.prefix(19)).replacing(":", with: "-") + "Z" + tail
    }

    /// When a backup of this name was taken; nil: it is not one of ours.
    static func time(of name: String) -> Timestamp? {
        guard name.hasPrefix(head), name.hasSuffix(tail), name.utf8.count == head.utf8.count + 20 + tail.utf8.count else { return nil }
        var text = Array(name.utf8.dropFirst(head.utf8.count).dropLast(tail.utf8.count))
        for index in [13, 16] {
            guard text[index] == UInt8(ascii: "-") else { return nil }
            text[index] = UInt8(ascii: ":")
        }
        return Timestamp(String(decoding: text, as: UTF8.self))
    }

    /// How long until the next; zero: now. A backup of the time to come, as after a step of the clock, does not put it off.
    static func wait(now: Timestamp, last: Timestamp?, failedAt: Timestamp?, hours: Int) -> Duration {
        let every = Duration.seconds(3600 * hours)
        if let failedAt, failedAt <= now, (last ?? .first) <= failedAt { return max(.zero, min(retry, every) - (now - failedAt)) }
        guard let last, last <= now else { return .zero }
        return max(.zero, every - (now - last))
    }

    /// Whether an operator should be told that there is no recent one.
    static func isOverdue(now: Timestamp, last: Timestamp?, since start: Timestamp, hours: Int) -> Bool {
        now - (last.map { max($0, .first) } ?? start) > .seconds(2 * 3600 * hours)
    }

    /// Those of a folder's files that are too many, the oldest. One of the time to come is from a clock that was ahead: when it
    /// was taken is not known, and it goes first. The one just taken stays, whatever the others say.
    static func surplus(_ names: [String], keep: Int, now: Timestamp, taken: String) -> [String] {
        let others = names.filter { $0 != taken }.compactMap { name in time(of: name).map { (name: name, time: $0) } }
        let sorted = others.sorted { ($0.time <= now ? 1 : 0, $0.time) < ($1.time <= now ? 1 : 0, $1.time) }
        return Array(sorted.map(\.name).dropLast(max(keep - 1, 0)))
    }
}
