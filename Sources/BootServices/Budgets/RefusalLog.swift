internal import Control
internal import Logging
internal import Model
internal import Wire

/// What one service refused: counted each time, and reported by the ``RefusalBook`` that all services of a network share, as a
/// line of the log and an event, at the first time and once an hour.
final class RefusalLog: Sendable {
    let counters: Counters
    private let service: String
    private let book: RefusalBook

    /// - Parameter service: its name in the log and in events.
    init(service: String, book: RefusalBook, counters: Counters) {
        self.service = service
        self.book = book
        self.counters = counters
    }

    /// With a book of its own, which nobody writes events from.
    convenience init(service: String, control: ControlPlane, counters: Counters, logger: Logger) {
        self.init(service: service, book: RefusalBook(interface: "", control: control, logger: logger), counters: counters)
    }

    /// - Parameters:
    ///   - why: a stable word, the counter's name after `refused-`.
    ///   - mac: who it was on the wire, as far as the kernel knows; nil behind a router.
    ///   - isClaim: source and MAC address stand in the packet, and nothing shows that they are the sender's.
    ///   - event: the kind of the event to record; nil: none.
    func note(
        _ why: String, source: String, mac: MACAddress? = nil, isClaim: Bool = false, event: String? = nil, machine: MachineID? = nil,
        evidence: [String: String] = [:]
    ) {
        counters.add("refused-\(why)")
        let standing: RefusalLedger.Standing =
            isClaim ? .claim : machine != nil ? (mac != nil ? .machine : .address) : mac != nil ? .neighbour : .nobody
        // Behind a router the address alone names the machine: reports of one sender must not hide those of another.
        let who = machine.map { mac == nil ? "\($0)|\(source)" : $0.rawValue }
        let refusal = Refusal(
            service: service, why: why, source: source, mac: mac, event: event, machine: machine, evidence: evidence)
        if book.note(refusal, of: who ?? mac?.description ?? source, standing) { counters.add("events") }
    }

    /// Of somebody that is counted as `caller`; an event of its service's kind `refused`.
    func note(_ why: String, of caller: Caller, source: String, evidence: [String: String] = [:]) {
        note(why, source: source, mac: caller.mac, event: "\(service).refused", evidence: evidence)
    }
}
