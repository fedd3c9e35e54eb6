internal import Model
internal import Synchronization
internal import Wire

/// The other DHCP servers of a wire: by whom and when each was last heard of.
///
/// Anybody can claim that there is one, so what is kept has a limit.
final class ForeignServers: Sendable {
    /// A wire with more servers than this has a problem that a longer list does not explain better.
    static let limit = 16
    /// One that was not heard of for so long is not told any more.
    static let memory = Duration.seconds(86_400)

    private let lastHeard = Mutex<[IPv4Address: Timestamp]>([:])

    /// Notes a server. True where it is news: one that was not known, or not heard of for long.
    func hear(_ server: IPv4Address, at now: Timestamp) -> Bool {
        lastHeard.withLock { known in
            known = known.filter { now - $0.value < Self.memory }
            guard known[server] != nil || known.count < Self.limit else { return false }
            return known.updateValue(now, forKey: server) == nil
        }
    }

    func known(at now: Timestamp) -> [IPv4Address: Timestamp] {
        lastHeard.withLock { $0.filter { now - $0.value < Self.memory } }
    }
}
