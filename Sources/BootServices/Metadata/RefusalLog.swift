internal import Control
internal import Logging
internal import Model
internal import Synchronization

/// Tells of what was refused: a counter each time, a line of the log and, where somebody tried to be another, an event
/// once a minute for the same thing. Whoever floods the service fills neither the log nor the store.
final class RefusalLog: Sendable {
    static let pause = Duration.seconds(60)
    /// Different things told of in a minute, at most.
    static let limit = 64

    let counters: Counters
    private let control: ControlPlane
    private let logger: Logger
    private let told = Mutex<[String: Timestamp]>([:])

    init(control: ControlPlane, counters: Counters, logger: Logger) {
        self.control = control
        self.counters = counters
        self.logger = logger
    }

    /// - Parameters:
    ///   - why: a stable word, the counter's name after `refused-`.
    ///   - event: the kind of the event to record; nil: none.
    func note(_ why: String, source: String, event: String? = nil, machine: MachineID? = nil, evidence: [String: String] = [:]) {
        counters.add("refused-\(why)")
        guard isFirst("\(why)|\(source)|\(machine?.rawValue ?? "")") else { return }
        logger.notice(
            "metadata refused",
            metadata: ["why": "\(why)", "source": "\(source)", "machine": "\(machine?.rawValue ?? "none")", "evidence": "\(evidence)"])
        guard let event else { return }
        counters.add("events")
        let control = control
        Task {
            var evidence = evidence
            evidence["source"] = source
            try? await control.recordEvent(
                kind: event, machine: machine, actor: "metadata",
                message: "\(source) was refused by the metadata service: \(why)", evidence: evidence)
        }
    }

    private func isFirst(_ key: String) -> Bool {
        let now = control.now
        return told.withLock { told in
            if let last = told[key], now < last + Self.pause { return false }
            if told.count >= Self.limit {
                told = told.filter { now < $0.value + Self.pause }
                guard told.count < Self.limit else { return false }
            }
            told[key] = now
            return true
        }
    }
}
