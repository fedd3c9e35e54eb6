internal import NIOCore
internal import NetBoot
internal import Synchronization

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
    /// Requests dropped because too many transfers were open, or no file could be; the client asks again.
    public var overLimit = 0
    /// Transfers that ended for another's sake.
    public var gaveWay = 0
    /// Datagrams from a network that only watches, dropped.
    public var watched = 0

    public init() {}

    /// By name, as other services count.
    var all: [String: Int] {
        [
            "started": started, "finished": finished, "stopped": stopped, "timed-out": timedOut, "failed": failed,
            "refused": refused, "malformed": malformed, "over-limit": overLimit, "gave-way": gaveWay, "watched": watched,
        ]
    }
}

/// The books of a TFTP server: who is being served, and how it went.
final class TFTPDesk: Sendable {
    struct Arrival: Sendable {
        let client: SocketAddress
        let request: TFTPRequest
        let path: TFTPPath
        var ticket = 0
    }

    enum Outcome: Sendable { case finished, stopped, timedOut, failed, gaveWay }

    private struct State {
        var counters = TFTPCounters()
        var places: TFTPPlaces
        /// How a transfer is ended, by its ticket.
        var ends: [Int: @Sendable () -> Void] = [:]
        /// Let in and not left yet: with those that gave way and are still ending.
        var inside = 0
    }

    private let state: Mutex<State>
    private let limits: TFTPTransferLimits
    private let caller: @Sendable (SocketAddress) -> Caller
    private let serves: @Sendable (SocketAddress) -> Bool
    private let refusals: RefusalLog?
    private let continuation: AsyncStream<Arrival>.Continuation
    /// Requests that were let in, for one reader.
    let arrivals: AsyncStream<Arrival>

    /// - Parameter serves: whether who asks from there is answered at all.
    init(
        limits: TFTPTransferLimits, refusals: RefusalLog? = nil, serves: @escaping @Sendable (SocketAddress) -> Bool = { _ in true },
        caller: @escaping @Sendable (SocketAddress) -> Caller = { _ in Caller.nobody }
    ) {
        self.limits = limits
        self.refusals = refusals
        self.caller = caller
        self.serves = serves
        state = Mutex(State(places: TFTPPlaces(limits)))
        // Never more waiting than may be inside: `admit` sees to it.
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
        case .gaveWay: count(\.gaveWay)
        }
    }

    /// Whether a client is answered, be it with an error; counts those that are not.
    func answers(_ client: SocketAddress) -> Bool {
        guard !serves(client) else { return true }
        count(\.watched)
        return false
    }

    /// Lets a request in, unless it is a repetition of one that is being served, or one too many.
    func admit(_ request: Arrival) {
        var arrival = request
        let caller = caller(arrival.client)
        let (isIn, isRefused, end) = state.withLock { state -> (Bool, Bool, (@Sendable () -> Void)?) in
            // What gave way takes a moment to end.
            guard state.inside < 2 * limits.total else {
                state.counters.overLimit += 1
                return (false, true, nil)
            }
            switch state.places.admit(arrival.client, host: arrival.client.ipAddress ?? "", isKnown: caller.isKnown) {
            case .repetition: return (false, false, nil)
            case .refused:
                state.counters.overLimit += 1
                return (false, true, nil)
            case .admitted(let ticket, let victim):
                arrival.ticket = ticket
                state.inside += 1
                return (true, false, victim.flatMap { state.ends.removeValue(forKey: $0) })
            }
        }
        end?()
        // Its address stands in the datagram, and nothing shows that it is the sender's.
        if isRefused {
            refusals?.note(
                "transfers", source: arrival.client.ipAddress ?? "", mac: caller.mac, isClaim: true, event: "tftp.refused")
        }
        if isIn { continuation.yield(arrival) }
    }

    /// Says how a transfer is ended that has to give way. False: it has to already.
    func open(_ arrival: Arrival, end: @escaping @Sendable () -> Void) -> Bool {
        state.withLock { state in
            guard state.places.holds(arrival.ticket) else { return false }
            state.ends[arrival.ticket] = end
            return true
        }
    }

    /// The client acknowledged something.
    func prove(_ arrival: Arrival) { state.withLock { $0.places.prove(arrival.ticket) } }

    func leave(_ arrival: Arrival) {
        state.withLock { state in
            state.inside -= 1
            state.ends[arrival.ticket] = nil
            state.places.leave(arrival.ticket)
        }
    }

    func close() { continuation.finish() }
}
