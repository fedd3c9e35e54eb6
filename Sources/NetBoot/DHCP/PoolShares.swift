/// What clients that nobody knows hold of a pool, and which addresses are in quarantine, so that neither takes what known
/// machines need.
struct PoolShares: Sendable {
    /// Addresses that unknown clients may hold at once: offered, bound and declined.
    let unknownLimit: Int
    /// Addresses in quarantine by the word of unknown clients at once, and as many by that of known ones.
    let declinedLimit: Int
    /// A pool of a few addresses has no part that could be kept free.
    private let isShared: Bool

    /// Held by unknown clients until the deadline.
    private(set) var held = DeadlineHeap()
    /// Offered to unknown clients, and never requested, the oldest first.
    private var offers = DeadlineHeap()
    /// Granted to unknown clients at some time, what ran out longest ago first.
    private var granted = DeadlineHeap()
    private var declinedByUnknown = DeadlineHeap()
    private var declinedByKnown = DeadlineHeap()
    /// When the known ones among the unknown were looked for last.
    private var recountedMilliseconds = Int64.min

    init(dynamicCount: Int, unknownPercent: Int, declinedPercent: Int) {
        unknownLimit = max(1, dynamicCount - dynamicCount * (100 - unknownPercent) / 100)
        isShared = unknownLimit < dynamicCount
        declinedLimit = max(1, dynamicCount * declinedPercent / 100)
    }

    /// The record is now in this state.
    mutating func set(_ record: Int, _ state: DHCPLease.State, isKnown: Bool, busyUntil: Int64) {
        Self.put(record, in: &held, if: !isKnown, busyUntil)
        Self.put(record, in: &offers, if: !isKnown && state == .offered, busyUntil)
        Self.put(record, in: &granted, if: !isKnown && (state == .bound || state == .released), busyUntil)
        Self.put(record, in: &declinedByUnknown, if: !isKnown && state == .declined, busyUntil)
        Self.put(record, in: &declinedByKnown, if: isKnown && state == .declined, busyUntil)
    }

    mutating func remove(_ record: Int) {
        held.remove(record)
        offers.remove(record)
        granted.remove(record)
        declinedByUnknown.remove(record)
        declinedByKnown.remove(record)
    }

    private static func put(_ record: Int, in heap: inout DeadlineHeap, if isIn: Bool, _ deadline: Int64) {
        if isIn { heap.set(record, deadline: deadline) } else { heap.remove(record) }
    }

    /// Whether one more unknown client may hold an address.
    mutating func hasRoom(_ now: Int64) -> Bool {
        while let first = held.first, first.deadline <= now { held.remove(first.record) }
        return !isShared || held.count < unknownLimit
    }

    /// The records of unknown clients, to see which of them have become known; nil where that was just done. A machine
    /// becomes known within a minute of its first boot, and a scan of a /16 takes milliseconds.
    mutating func recordsToRecount(_ now: Int64) -> [Int]? {
        guard recountedMilliseconds == .min || now >= recountedMilliseconds + 1_000 || now < recountedMilliseconds else { return nil }
        recountedMilliseconds = now
        return held.records
    }

    func isHeld(_ record: Int) -> Bool { held.contains(record) }
    var oldestOffer: Int? { offers.first?.record }

    /// The lease of an unknown client that ran out longest ago.
    func oldestExpired(_ now: Int64) -> Int? { granted.first.flatMap { $0.deadline <= now ? $0.record : nil } }

    /// One that ran out, where more than `count` are remembered.
    func expired(beyond count: Int, _ now: Int64) -> Int? { granted.count > count ? oldestExpired(now) : nil }

    /// The quarantine that ends first, where there is one too many of its class.
    var oldestDeclineTooMany: Int? {
        if declinedByUnknown.count > declinedLimit { return declinedByUnknown.first?.record }
        return declinedByKnown.count > declinedLimit ? declinedByKnown.first?.record : nil
    }
}
