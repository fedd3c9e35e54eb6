internal import Model
internal import Synchronization

/// The last lines that each machine's agent said, in memory: what an operator
/// looks at, and what goes into a hold as its evidence.
final class AgentLogs: Sendable {
    /// Lines kept of one machine: about one boot's worth.
    static let lineLimit = 2000
    static let lineBytes = 1024
    /// Lines that go into a hold.
    static let tailLines = 30
    private let lines = Mutex<[MachineID: [String]]>([:])

    func append(_ batch: LogBatch, of machine: MachineID) {
        let texts = batch.lines.prefix(Self.lineLimit).map { line in
            let seconds = Double(max(0, line.uptimeMilliseconds)) / 1000
            let clean = line.text.unicodeScalars.lazy.filter { $0.value >= 32 || $0 == "\t" }.prefix(Self.lineBytes)
            return "[\(seconds)] " + String(String.UnicodeScalarView(clean))
        }
        lines.withLock {
            var all = $0[machine] ?? []
            all += texts
            if all.count > Self.lineLimit { all.removeFirst(all.count - Self.lineLimit) }
            $0[machine] = all
        }
    }

    func all(of machine: MachineID) -> [String] { lines.withLock { $0[machine] ?? [] } }
    func tail(of machine: MachineID) -> [String] { Array(all(of: machine).suffix(Self.tailLines)) }
}
