internal import NIOCore

/// How many transfers may be open at once.
public struct TFTPTransferLimits: Sendable {
    /// 256 windows of 64 blocks hold 24 MB, and a rack of machines that boot together has fewer.
    public var total = 256
    /// A boot ROM has one open, and perhaps one that it forgot.
    public var perClient = 8
    /// Of `total`, for known machines only.
    public var reservedForKnown = 64

    public init() {}
}

/// Which transfers are open, and which gives way when there is no room. Pure.
///
/// Anybody can write another's address into a read request. So a transfer whose client has acknowledged nothing yet gives way
/// before all others.
struct TFTPPlaces: Sendable {
    enum Admission: Equatable, Sendable {
        /// `inPlaceOf`: a transfer that is to end for it.
        case admitted(ticket: Int, inPlaceOf: Int?)
        /// Of one that is being served.
        case repetition
        case refused
    }

    private struct Place {
        /// Its address and its port.
        var client: SocketAddress
        var host: String
        var isKnown: Bool
        var isProved = false
    }

    private let limits: TFTPTransferLimits
    /// By ticket: a smaller one is older.
    private var places: [Int: Place] = [:]
    private var tickets: [SocketAddress: Int] = [:]
    private var nextTicket = 0

    init(_ limits: TFTPTransferLimits) { self.limits = limits }

    var count: Int { places.count }

    /// - Parameter isKnown: whether the address is a known machine's, as far as anybody can tell.
    mutating func admit(_ client: SocketAddress, host: String, isKnown: Bool) -> Admission {
        guard tickets[client] == nil else { return .repetition }
        guard limits.perClient > 0 else { return .refused }
        let own = places.values.count { $0.host == host }
        var victim: Int?
        if own >= limits.perClient {
            victim = oldest { $0.host == host && !$0.isProved }
        } else if !isKnown, places.values.count(where: { !$0.isKnown }) >= limits.total - limits.reservedForKnown {
            victim = oldest { !$0.isKnown && !$0.isProved } ?? oldestOfGreediest(own) { !$0.isKnown }
        } else if places.count >= limits.total {
            victim = oldest { !$0.isKnown && !$0.isProved } ?? oldestOfGreediest(isKnown ? 0 : own) { !$0.isKnown }
            if isKnown { victim = victim ?? oldest { !$0.isProved } ?? oldestOfGreediest(own + 1) { _ in true } }
        } else {
            return .admitted(ticket: add(client, host, isKnown), inPlaceOf: nil)
        }
        guard let victim else { return .refused }
        leave(victim)
        return .admitted(ticket: add(client, host, isKnown), inPlaceOf: victim)
    }

    private mutating func add(_ client: SocketAddress, _ host: String, _ isKnown: Bool) -> Int {
        nextTicket += 1
        places[nextTicket] = Place(client: client, host: host, isKnown: isKnown)
        tickets[client] = nextTicket
        return nextTicket
    }

    private func oldest(_ isOne: (Place) -> Bool) -> Int? { places.filter { isOne($0.value) }.keys.min() }

    /// Of the host that has most transfers, and more than `own`.
    private func oldestOfGreediest(_ own: Int, _ isOne: (Place) -> Bool) -> Int? {
        var counts: [String: Int] = [:]
        for place in places.values where isOne(place) { counts[place.host, default: 0] += 1 }
        guard let most = counts.values.max(), most > own else { return nil }
        return oldest { isOne($0) && counts[$0.host] == most }
    }

    /// The client acknowledged something: it is where it says.
    mutating func prove(_ ticket: Int) { places[ticket]?.isProved = true }

    func holds(_ ticket: Int) -> Bool { places[ticket] != nil }

    mutating func leave(_ ticket: Int) {
        guard let place = places.removeValue(forKey: ticket) else { return }
        tickets[place.client] = nil
    }
}
