internal import Control
internal import Logging
internal import Model
internal import Synchronization
internal import Wire

/// Tells of what was refused: a counter each time, a line of the log and, where somebody tried to be another, an event
/// once a minute for the same thing of the same one. Whoever floods the service fills neither the log nor the store,
/// and silences nobody that is better known than itself.
final class RefusalLog: Sendable {
    static let pause = Duration.seconds(60)

    /// How well the one that was refused is known. Each kind has room of its own.
    enum Standing: Hashable, CaseIterable {
        case machine
        /// A machine by its address alone, behind a router: whoever is there can take one address after another.
        case address
        /// A MAC address that is no machine's.
        case neighbour
        /// An address, of which by IPv6 everybody has as many as it likes.
        case nobody

        /// Different things told of in a minute, at most.
        var limit: Int {
            switch self {
            case .machine: 1024
            case .address: 256
            case .neighbour: 128
            case .nobody: 32
            }
        }
    }

    let counters: Counters
    private let service: String
    private let control: ControlPlane
    private let logger: Logger
    private let told = Mutex<[Standing: [String: Timestamp]]>([:])

    /// - Parameter service: its name in the log and in events.
    init(service: String, control: ControlPlane, counters: Counters, logger: Logger) {
        self.service = service
        self.control = control
        self.counters = counters
        self.logger = logger
    }

    /// - Parameters:
    ///   - why: a stable word, the counter's name after `refused-`.
    ///   - mac: who it was on the wire, as far as the kernel knows; nil behind a router.
    ///   - event: the kind of the event to record; nil: none.
    func note(
        _ why: String, source: String, mac: MACAddress? = nil, event: String? = nil, machine: MachineID? = nil,
        evidence: [String: String] = [:]
    ) {
        counters.add("refused-\(why)")
        let standing: Standing = machine != nil ? (mac != nil ? .machine : .address) : mac != nil ? .neighbour : .nobody
        // Behind a router a machine is taken at its address's word: what is told of one must not hide what comes from another.
        let who = machine.map { mac == nil ? "\($0)|\(source)" : $0.rawValue }
        guard isFirst("\(why)|\(who ?? mac?.description ?? source)", standing) else { return }
        logger.notice(
            "\(service) refused",
            metadata: ["why": "\(why)", "source": "\(source)", "machine": "\(machine?.rawValue ?? "none")", "evidence": "\(evidence)"])
        guard let event else { return }
        counters.add("events")
        let control = control
        let service = service
        Task {
            var evidence = evidence
            evidence["source"] = source
            try? await control.recordEvent(
                kind: event, machine: machine, actor: service,
                message: "\(source) was refused by the \(service) service: \(why)", evidence: evidence)
        }
    }

    private func isFirst(_ key: String, _ standing: Standing) -> Bool {
        let now = control.now
        return told.withLock { all in
            if let last = all[standing]?[key], now < last + Self.pause { return false }
            if all[standing, default: [:]].count >= standing.limit {
                all[standing] = all[standing]?.filter { now < $0.value + Self.pause }
                guard all[standing, default: [:]].count < standing.limit else { return false }
            }
            all[standing, default: [:]][key] = now
            return true
        }
    }
}
