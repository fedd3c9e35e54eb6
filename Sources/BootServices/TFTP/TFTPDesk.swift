import NIOCore
import NetBoot
import Synchronization

/// How a TFTP server's transfers went since it started.
public struct TFTPCounters: Equatable, Sendable {
    public var started = 0
    public var finished = 0
    /// The client stopped it, which boot ROMs do once they know the size.
    public var stopped = 0
    public var timedOut = 0
    /// The file could not be read, or the socket failed.
    public var failed = 0
    /// Answered with an error: no such file, a write, netascii.
    public var refused = 0
    /// Datagrams that were no TFTP packet, dropped.
    public var malformed = 0
    /// Requests dropped because too many transfers were open; the client asks again.
    public var overLimit = 0

    public init() {}

    /// By name, as other services count.
    var all: [String: Int] {
        [
            "started": started, "finished": finished, "stopped": stopped, "timed-out": timedOut, "failed": failed,
            "refused": refused, "malformed": malformed, "over-limit": overLimit,
        ]
    }
}

/// How many transfers may be open at once.
public struct TFTPTransferLimits: Sendable {
    /// 256 windows of 64 blocks hold 24 MB, and a rack of machines that boot together has fewer.
    public var total = 256
    /// A boot ROM has one open, and perhaps one that it forgot.
    public var perClient = 8

    public init() {}
}

/// The books of a TFTP server: who is being served, and how it went.
final class TFTPDesk: Sendable {
    struct Arrival: Sendable {
        let client: SocketAddress
        let request: TFTPRequest
        let path: TFTPPath
    }

    enum Outcome: Sendable { case finished, stopped, timedOut, failed }

    private struct State {
        var counters = TFTPCounters()
        var clients: Set<SocketAddress> = []
        var perHost: [String: Int] = [:]
    }

    private let state = Mutex(State())
    private let limits: TFTPTransferLimits
    private let continuation: AsyncStream<Arrival>.Continuation
    /// Requests that were let in, for one reader.
    let arrivals: AsyncStream<Arrival>

    init(limits: TFTPTransferLimits) {
        self.limits = limits
        // Never more waiting than may be open: `admit` sees to it.
        (arrivals, continuation) = AsyncStream.makeStream(bufferingPolicy: .unbounded)
    }

    var counters: TFTPCounters { state.withLock(\.counters) }

    func count(_ counter: any WritableKeyPath<TFTPCounters, Int> & Sendable) {
        state.withLock { $0.counters[keyPath: counter] += 1 }
    }

    func count(_ outcome: Outcome) {
        switch outcome {
        case .finished: count(\.finished)
        case .stopped: count(\.stopped)
        case .timedOut: count(\.timedOut)
        case .failed: count(\.failed)
        }
    }

    /// Lets a request in, unless it is a repetition of one that is being served, or one too many.
    func admit(_ arrival: Arrival) {
        let isIn = state.withLock { state in
            guard !state.clients.contains(arrival.client) else { return false }
            let host = arrival.client.ipAddress ?? ""
            guard state.clients.count < limits.total, state.perHost[host, default: 0] < limits.perClient else {
                state.counters.overLimit += 1
                return false
            }
            state.clients.insert(arrival.client)
            state.perHost[host, default: 0] += 1
            return true
        }
        if isIn { continuation.yield(arrival) }
    }

    func leave(_ client: SocketAddress) {
        state.withLock { state in
            guard state.clients.remove(client) != nil else { return }
            let host = client.ipAddress ?? ""
            state.perHost[host, default: 1] -= 1
            if state.perHost[host] == 0 { state.perHost[host] = nil }
        }
    }

    func close() { continuation.finish() }
}
