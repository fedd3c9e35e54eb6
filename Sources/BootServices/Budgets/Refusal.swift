internal import Model
internal import Wire

/// Something that was refused to somebody: what a log and an event tell of it.
struct Refusal: Sendable, Equatable {
    /// Of the service, in the log and as the event's actor.
    var service: String
    /// A stable word, the counter's name after `refused-`.
    var why: String
    /// The address it came from, as far as the packets say.
    var source: String
    /// Of the neighbour by the kernel's table, or by the frame, or else as the packet itself names it.
    var mac: MACAddress?
    /// The kind of the event to record; nil: none.
    var event: String?
    var machine: MachineID?
    var evidence: [String: String] = [:]
    /// Nil: this is the first. Else how often it happened again in the hour before.
    var again: Int?

    /// For the event's reader.
    var message: String {
        guard let again else { return "\(source) was refused by the \(service) service: \(why)" }
        let times = again == 1 ? "once more" : "\(Self.grouped(again)) more times"
        return "\(source) was refused \(times) in the last hour by the \(service) service: \(why)"
    }

    /// With a comma before each three digits.
    static func grouped(_ number: Int) -> String {
        var text = ""
        for (index, digit) in String(number).reversed().enumerated() {
            if index > 0, index.isMultiple(of: 3), digit != "-" { text.append(",") }
            text.append(digit)
        }
        return String(text.reversed())
    }
}

/// Decides which refusals are reported: of the same kind and the same source the first at once, and the number of the others once
/// an hour. Each class of sources has a limit, and all sources beyond it share one place.
struct RefusalLedger: Sendable {
    static let window = Duration.seconds(3_600)

    /// How well the one that was refused is known. Each class has room of its own, so that nobody silences who is better known.
    enum Standing: Hashable, CaseIterable, Sendable {
        case machine
        /// A machine by its address alone, behind a router: a host there can take one address after another.
        case address
        /// A MAC address that is no machine's, as the kernel has it.
        case neighbour
        /// A MAC address or an address that stands in a packet, and that nothing shows to be the sender's.
        case claim
        /// An address, of which by IPv6 everybody has as many as it likes.
        case nobody

        /// Different kinds and sources reported in an hour, at most.
        var limit: Int {
            switch self {
            case .machine: 1024
            case .address: 256
            case .neighbour: 128
            case .claim: 64
            case .nobody: 32
            }
        }
    }

    private struct Key: Hashable {
        var service: String
        var why: String
        /// Nil: all for which there was no room.
        var who: String?
    }

    private struct Entry {
        var newest: Refusal
        var since: Timestamp
        var again = 0
    }

    private var entries: [Standing: [Key: Entry]] = [:]

    var count: Int { entries.values.reduce(0) { $0 + $1.count } }

    /// Counts one more. What comes back is to be reported now.
    ///
    /// - Parameter who: by which its repetitions are known.
    mutating func note(_ refusal: Refusal, of who: String, _ standing: Standing, at now: Timestamp) -> Refusal? {
        let key = Key(service: refusal.service, why: refusal.why, who: who)
        if entries[standing]?[key] != nil { return again(refusal, key, standing, now) }
        if entries[standing, default: [:]].count >= standing.limit {
            entries[standing] = entries[standing]?.filter { $0.value.again > 0 || now < $0.value.since + Self.window }
        }
        if entries[standing, default: [:]].count < standing.limit {
            entries[standing, default: [:]][key] = Entry(newest: refusal, since: now)
            return refusal
        }
        var others = refusal
        others.source = "one of more than \(standing.limit) sources, now \(refusal.source),"
        others.machine = nil
        // Beyond the limit services share what is left; each has its one.
        let rest = Key(service: refusal.service, why: "", who: nil)
        if entries[standing]?[rest] != nil { return again(others, rest, standing, now) }
        entries[standing, default: [:]][rest] = Entry(newest: others, since: now)
        return others
    }

    private mutating func again(_ refusal: Refusal, _ key: Key, _ standing: Standing, _ now: Timestamp) -> Refusal? {
        guard var entry = entries[standing]?[key] else { return nil }
        entry.newest = refusal
        if now < entry.since + Self.window {
            entry.again += 1
            entries[standing]?[key] = entry
            return nil
        }
        var report = refusal
        // After a quiet hour it is news again.
        if entry.again > 0 { report.again = entry.again + 1 }
        entries[standing]?[key] = Entry(newest: refusal, since: now)
        return report
    }

    /// What is to be reported because an hour is over.
    mutating func due(at now: Timestamp) -> [Refusal] {
        var reports: [Refusal] = []
        for (standing, known) in entries {
            for (key, entry) in known where now >= entry.since + Self.window {
                guard entry.again > 0 else {
                    entries[standing]?[key] = nil
                    continue
                }
                var refusal = entry.newest
                refusal.again = entry.again
                reports.append(refusal)
                entries[standing]?[key] = Entry(newest: entry.newest, since: now)
            }
        }
        return reports
    }
}
