internal import Wire

/// What waits to be written of leases, in two classes: known machines go first, and strangers have a limit of their own.
/// What is said of one address stays in its order.
struct LeaseQueue<Change> {
    struct Limits {
        /// More than a rack has; some 100 MB at the most. A client that gets no answer asks again.
        var total = 65_536
        var unknown = 32_768
    }

    private let limits: Limits
    private var known: [(address: IPv4Address, change: Change)] = []
    private var unknown: [(address: IPv4Address, change: Change)] = []
    /// How often an address is among `unknown`.
    private var unknownAddresses: [IPv4Address: Int] = [:]

    init(limits: Limits = Limits()) { self.limits = limits }

    var count: Int { known.count + unknown.count }
    var isEmpty: Bool { count == 0 }

    /// Whether one more may wait.
    func hasRoom(isKnown: Bool) -> Bool { count < limits.total && (isKnown || unknown.count < limits.unknown) }

    mutating func append(_ change: Change, at address: IPv4Address, isKnown: Bool) {
        // What waits of this address must be written before.
        if isKnown, unknownAddresses[address] == nil { return known.append((address, change)) }
        unknown.append((address, change))
        unknownAddresses[address, default: 0] += 1
    }

    /// Takes the next `limit` off.
    mutating func take(_ limit: Int) -> [Change] {
        let first = known.prefix(limit)
        let rest = unknown.prefix(limit - first.count)
        for (address, _) in rest {
            unknownAddresses[address, default: 1] -= 1
            if unknownAddresses[address] == 0 { unknownAddresses[address] = nil }
        }
        let taken = first.map(\.change) + rest.map(\.change)
        known.removeFirst(first.count)
        unknown.removeFirst(rest.count)
        return taken
    }
}
