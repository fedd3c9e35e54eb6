internal import NIOCore

/// How long a peer may take for what is its part.
struct ConnectionDeadlines: Sendable {
    /// From the connection, or the first byte of a request, to the end of its head.
    var head = TimeAmount.seconds(10)
    /// A body that takes longer must come at ``bodyBytesPerSecond`` from then on.
    var bodyGrace = TimeAmount.seconds(10)
    var bodyBytesPerSecond = 8 << 10
    /// Between two requests: the agent keeps a connection for 20 s.
    var idle = TimeAmount.seconds(60)
    /// For each piece of a reply (``ReplyBody/pieceBytes``).
    var piece = TimeAmount.seconds(90)
    /// For reading that it was refused, while it still sends.
    var linger = TimeAmount.seconds(2)
}

/// Where one connection is, and whether its peer took too long. Pure: the times are passed in.
struct ConnectionClock {
    enum Phase: Equatable {
        /// Before its first request.
        case fresh
        /// Between two requests.
        case idle
        case head
        case body
        /// Its request is whole: the time is the server's own.
        case answering
        case sending
        /// It was refused, and may still be sending.
        case lingering
    }

    enum Lateness: Equatable {
        case slowHead, slowBody, idle, untaken, lingered
    }

    private let deadlines: ConnectionDeadlines
    private(set) var phase = Phase.fresh
    private(set) var since: NIODeadline
    private var bodyBytes = 0

    init(_ deadlines: ConnectionDeadlines, now: NIODeadline) {
        self.deadlines = deadlines
        since = now
    }

    mutating func enter(_ phase: Phase, now: NIODeadline) {
        self.phase = phase
        since = now
        bodyBytes = 0
    }

    /// Bytes came, before it is known of what.
    mutating func heard(now: NIODeadline) {
        // A fresh connection has its time for the head since it began.
        if phase == .fresh { phase = .head } else if phase == .idle { enter(.head, now: now) }
    }

    mutating func heardBody(bytes: Int) { bodyBytes += bytes }

    /// Nil: the peer is in time.
    func lateness(at now: NIODeadline) -> Lateness? {
        let time = now - since
        switch phase {
        case .fresh, .head: return time > deadlines.head ? .slowHead : nil
        case .idle: return time > deadlines.idle ? .idle : nil
        case .body:
            guard time > deadlines.bodyGrace else { return nil }
            let owed = (time - deadlines.bodyGrace).nanoseconds / 1_000_000 * Int64(deadlines.bodyBytesPerSecond) / 1_000
            return Int64(bodyBytes) < owed ? .slowBody : nil
        case .answering: return nil
        case .sending: return time > deadlines.piece ? .untaken : nil
        case .lingering: return time > deadlines.linger ? .lingered : nil
        }
    }
}
