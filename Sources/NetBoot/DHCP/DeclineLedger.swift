/// How often who said of late that an address is in use (DHCPDECLINE). A client that says so again and again is not believed:
/// each time takes an address from everybody for an hour.
struct DeclineLedger: Hashable, Sendable {
    static let windowMilliseconds: Int64 = 3_600_000
    /// Different clients remembered: more than this in an hour is a flood, of which none more is believed.
    static let clientLimit = 4_096

    private let limit: Int
    private var times: [DHCPClientKey: [Int64]] = [:]

    /// - Parameter limit: declines of one client within an hour.
    init(limit: Int) { self.limit = limit }

    /// Counts one more, where the client may.
    mutating func take(_ client: DHCPClientKey, nowMilliseconds now: Int64) -> Bool {
        func isRecent(_ time: Int64) -> Bool { time > now - Self.windowMilliseconds }
        if times[client] == nil, times.count >= Self.clientLimit {
            times = times.compactMapValues { $0.contains(where: isRecent) ? $0 : nil }
            guard times.count < Self.clientLimit else { return false }
        }
        var recent = times[client, default: []].filter(isRecent)
        guard recent.count < limit else { return false }
        recent.append(now)
        times[client] = recent
        return true
    }
}
