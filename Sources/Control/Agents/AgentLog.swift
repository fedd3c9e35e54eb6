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
    /// Of one machine: a boot's log is some 30 KiB.
    private let machineBytes: Int
    /// Of all machines together. Beyond, the longest log is cut to its half: who says most loses most.
    private let totalBytes: Int

    init(machineBytes: Int = 256 << 10, totalBytes: Int = 48 << 20) {
        self.machineBytes = machineBytes
        self.totalBytes = totalBytes
    }

    private struct Log {
        var lines: [String] = []
        var bytes = 0

        mutating func drop(_ count: Int) {
            bytes -= lines.prefix(count).reduce(0) { $0 + $1.utf8.count }
            lines.removeFirst(min(count, lines.count))
        }
    }
    private let state = Mutex<(logs: [MachineID: Log], bytes: Int)>(([:], 0))

    func append(_ batch: LogBatch, of machine: MachineID) {
        let texts = batch.lines.prefix(Self.lineLimit).map { line in
            let seconds = Double(max(0, line.uptimeMilliseconds)) / 1000
            let clean = line.text.unicodeScalars.lazy.filter { $0.value >= 32 || $0 == "\t" }.prefix(Self.lineBytes)
            return "[\(seconds)] " + String(String.UnicodeScalarView(clean))
        }
        state.withLock { state in
            var log = state.logs[machine] ?? Log()
            state.bytes -= log.bytes
            log.lines += texts
            log.bytes += texts.reduce(0) { $0 + $1.utf8.count }
            if log.lines.count > Self.lineLimit { log.drop(log.lines.count - Self.lineLimit) }
            while log.bytes > machineBytes { log.drop(max(1, log.lines.count / 8)) }
            state.logs[machine] = log
            state.bytes += log.bytes
            while state.bytes > totalBytes, let longest = state.logs.max(by: { $0.value.bytes < $1.value.bytes })?.key {
                var cut = state.logs[longest] ?? Log()
                let before = cut.bytes
                cut.drop(max(1, cut.lines.count / 2))
                state.bytes -= before - cut.bytes
                state.logs[longest] = cut
            }
        }
    }

    /// A machine that is in the record no longer.
    func forget(_ machine: MachineID) {
        state.withLock { $0.bytes -= $0.logs.removeValue(forKey: machine)?.bytes ?? 0 }
    }

    func all(of machine: MachineID) -> [String] { state.withLock { $0.logs[machine]?.lines ?? [] } }
    func tail(of machine: MachineID) -> [String] { Array(all(of: machine).suffix(Self.tailLines)) }
}
