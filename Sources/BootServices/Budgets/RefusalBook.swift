internal import Control
internal import Logging
internal import Model
internal import Synchronization
internal import Wire

/// The refusals of all services of one network: writes them to the log, and to the record as far as they are events. Services
/// call it on any thread; the record is written by ``run()``.
final class RefusalBook: Sendable {
    /// How often it is looked whether an hour is over.
    private static let interval = Duration.seconds(60)
    /// Events that wait for a slow store; more than the ledger lets through in a minute.
    private static let waitingLimit = 2_048

    private let interface: String
    private let control: ControlPlane
    private let logger: Logger
    private let ledger = Mutex(RefusalLedger())
    private let events: AsyncStream<Refusal>
    private let waiting: AsyncStream<Refusal>.Continuation

    /// - Parameter interface: by which all of them came.
    init(interface: String, control: ControlPlane, logger: Logger) {
        self.interface = interface
        self.control = control
        self.logger = logger
        (events, waiting) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(Self.waitingLimit))
    }

    /// True where an event of it is recorded now.
    func note(_ refusal: Refusal, of who: String, _ standing: RefusalLedger.Standing) -> Bool {
        let now = control.steady
        guard let report = ledger.withLock({ $0.note(refusal, of: who, standing, at: now) }) else { return false }
        write(report)
        return report.event != nil
    }

    /// Reports what an hour collected.
    func reportDue() {
        let now = control.steady
        for refusal in ledger.withLock({ $0.due(at: now) }) { write(refusal) }
    }

    private func write(_ refusal: Refusal) {
        logger.notice(
            "\(refusal.service) refused",
            metadata: [
                "why": "\(refusal.why)", "source": "\(refusal.source)", "interface": "\(interface)",
                "mac": "\(refusal.mac?.description ?? "unknown")", "machine": "\(refusal.machine?.rawValue ?? "none")",
                "again": "\(refusal.again ?? 0)", "evidence": "\(refusal.evidence)",
            ])
        if refusal.event != nil { waiting.yield(refusal) }
    }

    /// Writes the events until it is cancelled.
    func run() async {
        await withDiscardingTaskGroup { tasks in
            tasks.addTask { for await refusal in self.events { await self.record(refusal) } }
            tasks.addTask {
                while (try? await Task.sleep(for: Self.interval)) != nil { self.reportDue() }
            }
        }
    }

    private func record(_ refusal: Refusal) async {
        guard let event = refusal.event else { return }
        var evidence = refusal.evidence
        evidence["source"] = refusal.source
        evidence["interface"] = interface
        if let mac = refusal.mac { evidence["mac"] = evidence["mac"] ?? mac.description }
        if let again = refusal.again { evidence["again"] = "\(again)" }
        do {
            try await control.recordEvent(
                kind: event, machine: refusal.machine, actor: refusal.service, message: refusal.message, evidence: evidence)
        } catch {
            logger.error("an event could not be kept", metadata: ["event": "\(event)", "error": "\(error)"])
        }
    }
}
