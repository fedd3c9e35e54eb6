/// Who may have how many connections, and how many bytes of requests are kept. Pure: the caller says how long each connection
/// has been quiet.
///
/// Known machines may use everything; others have a share. When the share is full, a newcomer takes the place of the connection
/// that has been quiet longest, of the owner that has most: an honest stranger gets in, and a flood closes its own connections.
struct ConnectionBudget: Sendable {
    struct Limits: Sendable {
        /// Open at once. A rack of a few hundred machines with eight connections each.
        var total = 4096
        /// Of these, by all that nobody knows.
        var unknown = 2048
        /// Of these, by all behind routers that nobody knows.
        var routed = 1024
        /// By one known machine: iPXE has several, the agent 14.
        var perKnown = 64
        /// By one that nobody knows: a machine at its first boot.
        var perUnknown = 32
        /// Bytes of requests that are not whole yet, of all connections. An inventory of a large machine is about 100 KiB.
        var bodyBytes = 48 << 20
        /// Of these, by all that nobody knows: they may send 64 KiB at most each.
        var unknownBodyBytes = 16 << 20
        var bodyBytesPerKnown = 8 << 20
        var bodyBytesPerUnknown = 512 << 10

        init() {}

        /// The usual ones for `total` connections.
        init(total: Int) {
            self.total = max(16, total)
            unknown = self.total / 2
            routed = self.total / 4
            perKnown = min(perKnown, self.total / 2)
            perUnknown = min(perUnknown, self.total / 4)
        }
    }

    enum Admission: Equatable, Sendable {
        /// `inPlaceOf`: a connection that is to be closed for it.
        case admitted(inPlaceOf: Int?)
        case refused
    }

    private struct Connection {
        var caller: Caller
        var bodyBytes = 0
    }

    /// What one owner has.
    private struct Holding {
        var connections: Set<Int> = []
        var bodyBytes = 0
        var isKnown: Bool
    }

    let limits: Limits
    private var connections: [Int: Connection] = [:]
    private var holdings: [Caller.Owner: Holding] = [:]
    private var unknown = 0
    private var routed = 0
    private(set) var bodyBytes = 0
    private var unknownBodyBytes = 0

    init(_ limits: Limits = Limits()) { self.limits = limits }

    var count: Int { connections.count }

    /// A place for a connection of that number, for which ``leave(_:)`` must follow.
    ///
    /// - Parameter quietSince: since when a connection is quiet; what is smallest gives way first.
    mutating func enter(_ number: Int, _ caller: Caller, quietSince: (Int) -> Int64) -> Admission {
        let own = holdings[caller.owner]?.connections.count ?? 0
        guard own < (caller.isKnown ? limits.perKnown : limits.perUnknown) else { return .refused }
        var victim: Int?
        if !caller.isKnown, caller.isRouted, routed >= limits.routed {
            victim = quietest(own, quietSince) { !$0.isKnown && $0.isRouted }
        } else if !caller.isKnown, unknown >= limits.unknown {
            victim = quietest(own, quietSince) { !$0.isKnown }
        } else if connections.count >= limits.total {
            victim = quietest(caller.isKnown ? 0 : own, quietSince) { !$0.isKnown }
            if caller.isKnown { victim = victim ?? quietest(own + 1, quietSince) { $0.isKnown } }
        } else {
            add(number, caller)
            return .admitted(inPlaceOf: nil)
        }
        guard let victim else { return .refused }
        leave(victim)
        add(number, caller)
        return .admitted(inPlaceOf: victim)
    }

    private mutating func add(_ number: Int, _ caller: Caller) {
        connections[number] = Connection(caller: caller)
        holdings[caller.owner, default: Holding(isKnown: caller.isKnown)].connections.insert(number)
        if !caller.isKnown { unknown += 1 }
        if !caller.isKnown, caller.isRouted { routed += 1 }
    }

    /// The connection that has been quiet longest, of the owners that have most; only of such as have more than `own`.
    private func quietest(_ own: Int, _ quietSince: (Int) -> Int64, of isOne: (Caller) -> Bool) -> Int? {
        var most = own
        var found: (number: Int, since: Int64)?
        for holding in holdings.values where holding.connections.count >= max(most, own + 1) {
            // All of one owner's came the same way.
            guard let first = holding.connections.first, let caller = connections[first]?.caller, isOne(caller) else { continue }
            if holding.connections.count > most {
                most = holding.connections.count
                found = nil
            }
            for number in holding.connections {
                let since = quietSince(number)
                if since < found?.since ?? .max { found = (number, since) }
            }
        }
        return found?.number
    }

    /// The connection is closed, or made room for another.
    mutating func leave(_ number: Int) {
        guard let connection = connections.removeValue(forKey: number) else { return }
        let caller = connection.caller
        if !caller.isKnown { unknown -= 1 }
        if !caller.isKnown, caller.isRouted { routed -= 1 }
        count(-connection.bodyBytes, caller)
        holdings[caller.owner]?.connections.remove(number)
        if holdings[caller.owner]?.connections.isEmpty == true { holdings[caller.owner] = nil }
    }

    // MARK: Bodies

    /// Whether `bytes` more of a request may be kept.
    mutating func take(_ bytes: Int, for number: Int) -> Bool {
        guard let connection = connections[number] else { return false }
        let caller = connection.caller
        let own = (holdings[caller.owner]?.bodyBytes ?? 0) + bytes
        guard bodyBytes + bytes <= limits.bodyBytes, own <= (caller.isKnown ? limits.bodyBytesPerKnown : limits.bodyBytesPerUnknown),
            caller.isKnown || unknownBodyBytes + bytes <= limits.unknownBodyBytes
        else { return false }
        connections[number]?.bodyBytes += bytes
        count(bytes, caller)
        return true
    }

    /// The request was handed on, or dropped.
    mutating func giveBack(_ number: Int) {
        guard let connection = connections[number], connection.bodyBytes > 0 else { return }
        connections[number]?.bodyBytes = 0
        count(-connection.bodyBytes, connection.caller)
    }

    private mutating func count(_ bytes: Int, _ caller: Caller) {
        bodyBytes += bytes
        if !caller.isKnown { unknownBodyBytes += bytes }
        holdings[caller.owner]?.bodyBytes += bytes
    }
}
