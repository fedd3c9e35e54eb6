internal import Synchronization

/// The drivers, shared between the parts of the agent that ask for some.
final class DriverBox: Sendable {
    private let drivers: Mutex<Drivers>

    init(log: AgentLog) { drivers = Mutex(Drivers(log: log)) }

    func load(urgentOnly: Bool) { drivers.withLock { $0.load(urgentOnly: urgentOnly) } }
    func load(_ names: [String]) { drivers.withLock { $0.load(names: names) } }
}
