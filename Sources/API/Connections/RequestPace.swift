/// Whether a connection goes on as it should: what was begun is ended in time. A value, told what happens and what time
/// it is; it has neither clock nor socket.
struct RequestPace: Equatable {
    enum Lateness: String, Equatable, Sendable {
        case opening, idle, body, stall, drain
    }

    private enum Inbound: Equatable {
        /// No request yet.
        case opening(since: ContinuousClock.Instant)
        /// Between requests.
        case idle(since: ContinuousClock.Instant)
        /// The body comes: so many bytes since then.
        case body(since: ContinuousClock.Instant, bytes: Int)
        /// The request is whole; the answer is the server's to give.
        case whole
    }

    private let limits: ConnectionLimits
    private var inbound: Inbound
    /// Requests whose answer is not written.
    private var open = 0
    /// Writes that the client has not taken, and since when none was.
    private var unwritten = 0
    private var stalledSince: ContinuousClock.Instant
    /// Since when the rest of a body that nobody wants is thrown away, and how much of it.
    private var draining: (since: ContinuousClock.Instant, bytes: Int)?
    /// The server reads: what does not come is the client's doing.
    private var isReading = true

    init(_ limits: ConnectionLimits, now: ContinuousClock.Instant) {
        self.limits = limits
        inbound = .opening(since: now)
        stalledSince = now
    }

    static func == (left: Self, right: Self) -> Bool {
        left.inbound == right.inbound && left.open == right.open && left.unwritten == right.unwritten
            && left.stalledSince == right.stalledSince && left.isReading == right.isReading
            && left.draining?.since == right.draining?.since && left.draining?.bytes == right.draining?.bytes
    }

    // MARK: What happens

    mutating func headCame(_ now: ContinuousClock.Instant) {
        open += 1
        inbound = .body(since: now, bytes: 0)
    }

    mutating func bodyCame(_ bytes: Int, _ now: ContinuousClock.Instant) {
        draining?.bytes += bytes
        guard draining == nil, case .body(let since, let before) = inbound else { return }
        let sum = before + bytes
        // Enough for this time; the next one begins.
        inbound = sum >= limits.bodyBytes ? .body(since: now, bytes: 0) : .body(since: since, bytes: sum)
    }

    mutating func requestEnded(_ now: ContinuousClock.Instant) {
        inbound = open > 0 ? .whole : .idle(since: now)
    }

    /// The server waits for more, or does not: it has as much as it can take for now.
    mutating func reading(_ isReading: Bool, _ now: ContinuousClock.Instant) {
        guard isReading != self.isReading else { return }
        self.isReading = isReading
        // What the client could not send meanwhile does not count against it.
        if isReading, case .body(_, let bytes) = inbound { inbound = .body(since: now, bytes: bytes) }
    }

    mutating func writeBegan(_ now: ContinuousClock.Instant) {
        if unwritten == 0 { stalledSince = now }
        unwritten += 1
    }

    mutating func writeEnded(_ now: ContinuousClock.Instant) {
        unwritten = max(0, unwritten - 1)
        stalledSince = now
    }

    /// The answer's end was written. True: the request is not over, so nothing more can come on this connection but the
    /// rest of it, which is thrown away.
    mutating func answered(_ now: ContinuousClock.Instant) -> Bool {
        open = max(0, open - 1)
        switch inbound {
        case .whole where open == 0: inbound = .idle(since: now)
        case .body where open == 0:
            draining = (now, 0)
            return true
        default: break
        }
        return false
    }

    /// Whether the request that is answered has come as a whole.
    var requestIsWhole: Bool { if case .body = inbound { false } else { true } }

    // MARK: What time it is

    /// Why the connection has to go; nil: it need not.
    func lateness(_ now: ContinuousClock.Instant) -> Lateness? {
        if unwritten > 0, now - stalledSince >= limits.stall { return .stall }
        if let draining {
            return now - draining.since >= limits.drain || draining.bytes > limits.drainBytes ? .drain : nil
        }
        switch inbound {
        case .opening(let since): return now - since >= limits.opening ? .opening : nil
        case .idle(let since): return now - since >= limits.idle ? .idle : nil
        case .body(let since, _): return isReading && now - since >= limits.bodyWindow ? .body : nil
        case .whole: return nil
        }
    }

    /// Whether more of a body that nobody wants has come than is thrown away.
    var isDrained: Bool { draining.map { $0.bytes > limits.drainBytes } ?? false }
}
