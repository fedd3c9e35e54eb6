import Model

/// An operation under way, as text: a line for each step, redrawn on a terminal,
/// or a line for each change in a pipe.
struct OperationView {
    private let terminal: Terminal
    private var drawnLines = 0
    private var told: [StepName: String] = [:]
    private var samples: [(at: ContinuousClock.Instant, done: Int64)] = []
    private var sampledStep: StepName?

    init(terminal: Terminal = .standard) { self.terminal = terminal }

    mutating func show(_ operation: Model.Operation, now: Timestamp = .now, clock: ContinuousClock.Instant = .now) {
        sample(operation, clock)
        terminal.isInteractive ? redraw(operation, now) : tellChanges(operation, now)
    }

    mutating func note(_ text: String) {
        clear()
        Terminal.write(terminal.paint("  \(Table.printable(text))", .yellow) + "\n")
    }

    mutating func clear() {
        if drawnLines > 0 { Terminal.write("\u{1b}[\(drawnLines)A\u{1b}[J") }
        drawnLines = 0
    }

    private mutating func redraw(_ operation: Model.Operation, _ now: Timestamp) {
        let lines = operation.steps.map { line($0, now, of: operation) }
        clear()
        Terminal.write(lines.joined(separator: "\n") + "\n")
        drawnLines = lines.count
    }

    private mutating func tellChanges(_ operation: Model.Operation, _ now: Timestamp) {
        for step in operation.steps where step.state != .pending {
            let tenths = step.progress.map { Int($0.fraction * 10) }
            let key =
                "\(step.state.rawValue) \(step.attempts) \(step.state == .running ? tenths ?? 0 : 0) \(step.problem?.code ?? "") \(step.evidence["power"] ?? "")"
            guard told[step.name] != key else { continue }
            told[step.name] = key
            var text = "\(operation.id) \(step.name.rawValue) \(step.state.rawValue)"
            if step.attempts > 1 { text += " attempt=\(step.attempts)" }
            if step.state == .running, let progress = step.progress { text += " \(Int(progress.fraction * 100))%" }
            if step.state != .running, let took = Self.took(step, now) { text += " \(Quantity.duration(took))" }
            if let problem = step.problem {
                text += " (\(problem.title))"
            } else if step.state == .running, let power = step.evidence["power"] {
                text += " (power \(power))"
            }
            Terminal.write(Table.printable(text) + "\n")
        }
    }

    /// One step's line.
    func line(_ step: Step, _ now: Timestamp, of operation: Model.Operation) -> String {
        let (sign, colour): (String, Terminal.Colour) =
            switch step.state {
            case .pending: ("·", .grey)
            case .running: ("▶", .blue)
            case .succeeded: ("✔", .green)
            case .failed, .stuck: ("✘", .red)
            case .undoing, .undone: ("↩", .yellow)
            }
        var text = step.name.rawValue.padded(to: 14)
        if step.state == .running, let progress = step.progress, progress.total > 0 {
            text += " " + Self.bar(progress.fraction, width: max(10, min(30, terminal.columns - 60)))
            text += " \(Int(progress.fraction * 100))%".padded(to: 5)
            if progress.unit == .bytes, let rate = bytesPerSecond, step.name == sampledStep {
                text += "  \(Quantity.rate(bytesPerSecond: rate))"
                let left = Double(progress.total - progress.done) / max(rate, 1)
                text += "  \(Quantity.duration(.seconds(left))) left"
            }
        } else if let took = Self.took(step, now) {
            text += " \(Quantity.duration(took))"
        }
        if step.attempts > 1 { text += "  attempt \(step.attempts)" }
        if let problem = step.problem, step.state != .succeeded { text += "  \(problem.title)" }
        text = Table.printable(text)
        let limit = max(20, terminal.columns - 4)
        if text.columns > limit { text = String(text.prefix(limit - 1)) + "…" }
        return "\(terminal.paint(sign, colour)) \(step.state == .pending ? terminal.paint(text, .grey) : text)"
    }

    static func bar(_ fraction: Double, width: Int) -> String {
        let full = Int(Double(width) * min(1, max(0, fraction)))
        return "[" + String(repeating: "█", count: full) + String(repeating: "░", count: width - full) + "]"
    }

    /// How long a step took, or has been running.
    static func took(_ step: Step, _ now: Timestamp) -> Duration? {
        guard let start = step.startedAt else { return nil }
        if let end = step.finishedAt { return end - start }
        return step.state == .running ? now - start : nil
    }

    /// Of the last five seconds or so.
    private var bytesPerSecond: Double? {
        guard let first = samples.first, let last = samples.last else { return nil }
        let seconds = Double(first.at.duration(to: last.at).wholeMilliseconds) / 1000
        return seconds > 0.4 ? Double(last.done - first.done) / seconds : nil
    }

    private mutating func sample(_ operation: Model.Operation, _ clock: ContinuousClock.Instant) {
        guard let step = operation.currentStep, let progress = step.progress else { return }
        if sampledStep != step.name || progress.done < (samples.last?.done ?? 0) { samples = [] }
        sampledStep = step.name
        samples.append((clock, progress.done))
        while samples.count > 2, samples[0].at.duration(to: clock) > .seconds(5) { samples.removeFirst() }
    }
}

/// Where an operation's seconds went: its steps, and what they told of their parts.
enum StepTimes {
    static func table(_ operation: Model.Operation) -> Table {
        var table = Table(["STEP", "TIME", "ATTEMPTS"])
        for step in operation.steps {
            guard let start = step.startedAt, let end = step.finishedAt else { continue }
            table.add([step.name.rawValue, Quantity.duration(end - start), "\(step.attempts)"])
            for (name, duration) in parts(step.evidence) { table.add(["  \(name)", Quantity.duration(duration), ""]) }
        }
        if let end = operation.finishedAt {
            table.add(["total", Quantity.duration(end - operation.createdAt), ""])
        }
        return table
    }

    /// The parts of a boot as they follow on each other, then the rest by name.
    private static func order(_ key: String) -> (Int, String) {
        let boot = ["firmwareSeconds", "dhcpSeconds", "loadSeconds", "systemSeconds", "cloudInitSeconds"]
        return (boot.firstIndex(of: key) ?? boot.count, key)
    }

    /// Evidence whose name says that it is a time.
    static func parts(_ evidence: [String: String]) -> [(String, Duration)] {
        evidence.sorted { order($0.key) < order($1.key) }.compactMap { key, value in
            guard let number = Double(value), number.isFinite, number >= 0, number < 1e9 else { return nil }
            if key.hasSuffix("Milliseconds") { return (String(key.dropLast(12)), .milliseconds(Int64(number))) }
            if key.hasSuffix("Seconds") { return (String(key.dropLast(7)), .seconds(number)) }
            return nil
        }
    }
}
