internal import Control
internal import Model
internal import Wire

/// How often the agent of one machine may say what. Each message is written down or computed upon, and a machine may be
/// anybody's. An agent that is refused asks again.
final class AgentPace: Sendable {
    /// The agent's messages, as they are named in the path.
    enum Message: String {
        case hello, inventory, task, report, log, prove
        case tpmEnrol = "tpm-enrol"
        case tpmQuote = "tpm-quote"

        var allowance: Allowance {
            switch self {
            // A machine that boots for ever does so once in half a minute; lost replies ask again after a tenth of a second.
            case .hello: Allowance(burst: 12, every: .seconds(5))
            // Two at its start, and one for each port that hears its switch.
            case .inventory: Allowance(burst: 16, every: .seconds(5))
            case .task: Allowance(burst: 32, every: .milliseconds(250))
            // Twice a second while it writes.
            case .report: Allowance(burst: 64, every: .milliseconds(200))
            case .log: Allowance(burst: 32, every: .milliseconds(250))
            // Of an agent that has not heard of its server for minutes.
            case .prove: Allowance(burst: 8, every: .seconds(5))
            case .tpmEnrol, .tpmQuote: Allowance(burst: 8, every: .seconds(5))
            }
        }
    }

    private struct Key: Hashable {
        var message: Message
        var name: String
    }
    /// Twenty racks of machines, each with all its messages.
    private let used = Allowances<Key>(limit: 16_384)

    func check(_ message: Message, of machine: MachineID, at now: Timestamp) throws(Problem) {
        try check(message, machine.rawValue, now)
    }

    /// Of a port, before it is known whose it is.
    func check(_ message: Message, of port: MACAddress, at now: Timestamp) throws(Problem) {
        try check(message, port.description, now)
    }

    private func check(_ message: Message, _ name: String, _ now: Timestamp) throws(Problem) {
        guard used.take(message.allowance, of: Key(message: message, name: name), at: now) else {
            throw Problem(
                "agent-too-fast", status: 429, title: "The agent says “\(message.rawValue)” too often", remedy: "Wait a few seconds, then ask again.")
        }
    }
}
