internal import Glibc

/// How many connections and transfers the services of one network may have, so that open files are left for the store, for the
/// API and for whatever else must go on: where files run out, nothing does.
struct OpenFileBudget: Equatable, Sendable {
    /// For the store, images, BMCs, consoles.
    static let reserve = 256
    /// Of what remains, in percent, for machines: the API has the rest.
    static let machinesPercent = 75

    let http: Int
    let metadata: Int
    let transfers: Int

    /// - Parameters:
    ///   - limit: of this process (RLIMIT_NOFILE).
    ///   - networks: that share it.
    init(limit: Int, networks: Int) {
        let own = max(0, limit - min(Self.reserve, limit / 4)) * Self.machinesPercent / 100 / max(1, networks)
        transfers = min(TFTPTransferLimits().total, max(8, own / 10))
        // Each may have a file open beside its socket.
        http = min(ConnectionBudget.Limits().total, max(16, own * 4 / 10 / 2))
        metadata = min(MetadataDoor.connectionLimit, max(16, own - transfers - 2 * http))
    }

    /// Of this process, as it is now.
    static func current(networks: Int) -> OpenFileBudget {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return OpenFileBudget(limit: 1024, networks: networks) }
        return OpenFileBudget(limit: Int(clamping: limit.rlim_cur), networks: networks)
    }
}
