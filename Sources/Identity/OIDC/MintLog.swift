public import Model

/// Keeps the audit log from growing with every token: the first token of a
/// machine for an audience is told at once, those after it once an hour with
/// their number. A pure state machine.
public struct MintLog: Sendable {
    public static let interval: Duration = .seconds(3600)
    /// Audiences of one machine that are told apart; the rest count as one.
    public static let audiencesEach = 8
    private struct Line {
        var toldAt: Timestamp
        var untold = 0
    }
    private var lines: [MachineID: [String: Line]] = [:]

    public init() {}

    /// Notes that something was given or refused, and returns how many have not been told when it is time to tell.
    public mutating func note(_ machine: MachineID, _ what: String, now: Timestamp) -> Int? {
        var known = lines[machine] ?? [:]
        let key = known[what] != nil || known.count < Self.audiencesEach ? what : ""
        defer { lines[machine] = known }
        guard var line = known[key] else {
            known[key] = Line(toldAt: now)
            return 1
        }
        line.untold += 1
        guard line.toldAt + Self.interval <= now else {
            known[key] = line
            return nil
        }
        known[key] = Line(toldAt: now)
        return line.untold
    }

    /// Forgets machines of which nothing is left to tell and nothing was heard for a while.
    public mutating func tidy(now: Timestamp) {
        for (machine, known) in lines {
            let left = known.filter { $0.value.untold > 0 || $0.value.toldAt + Self.interval > now }
            lines[machine] = left.isEmpty ? nil : left
        }
    }
}
