internal import NIOCore
internal import Synchronization

/// The connections of one server, with a ``ConnectionBudget`` that all its event loops share.
final class ConnectionGate: Sendable {
    /// The place of one connection.
    final class Place: Sendable {
        let number: Int
        let caller: Caller
        fileprivate let channel: any Channel
        /// Nanoseconds; what is smallest gives way first. See ``Quiet``.
        fileprivate let quietSince = Atomic<Int64>(0)

        fileprivate init(number: Int, caller: Caller, channel: any Channel) {
            self.number = number
            self.caller = caller
            self.channel = channel
        }

        func set(_ quiet: Quiet, since now: NIODeadline) {
            quietSince.store(quiet.rank + Int64(clamping: now.uptimeNanoseconds), ordering: .relaxed)
        }
    }

    /// What a connection is doing, in the order in which connections give way: a later one does before all the earlier ones
    /// are gone only if none of them is there.
    enum Quiet: Int64, Sendable {
        /// Between requests, before its first, or after its last.
        case idle
        case body
        /// An answer is made or sent.
        case answer

        /// Far above any uptime.
        fileprivate var rank: Int64 { rawValue << 60 }
    }

    private struct State {
        var budget: ConnectionBudget
        var places: [Int: Place] = [:]
        var next = 0
    }
    private let state: Mutex<State>

    init(_ limits: ConnectionBudget.Limits) { state = Mutex(State(budget: ConnectionBudget(limits))) }

    var count: Int { state.withLock { $0.budget.count } }
    /// Of requests that are not whole yet, of all connections.
    var bodyBytes: Int { state.withLock { $0.budget.bodyBytes } }

    enum Entry {
        /// `closing`: one that gave way.
        case place(Place, closing: Place?)
        case refused
    }

    /// A place, for which ``leave(_:)`` must follow; closes the connection that gives way.
    func enter(_ channel: any Channel, _ caller: Caller) -> Entry {
        let entry = state.withLock { state -> Entry in
            state.next += 1
            let place = Place(number: state.next, caller: caller, channel: channel)
            place.set(.idle, since: .now())
            let admission = state.budget.enter(place.number, caller) { number in
                state.places[number]?.quietSince.load(ordering: .relaxed) ?? .min
            }
            guard case .admitted(let victim) = admission else { return .refused }
            state.places[place.number] = place
            return .place(place, closing: victim.flatMap { state.places.removeValue(forKey: $0) })
        }
        if case .place(_, let closing?) = entry { closing.channel.close(promise: nil) }
        return entry
    }

    func leave(_ place: Place) {
        state.withLock {
            $0.budget.leave(place.number)
            $0.places[place.number] = nil
        }
    }

    /// Whether `bytes` more of a request may be kept.
    func take(_ bytes: Int, for place: Place) -> Bool { state.withLock { $0.budget.take(bytes, for: place.number) } }

    /// The request was handed on, or dropped.
    func giveBack(_ place: Place) { state.withLock { $0.budget.giveBack(place.number) } }
}
