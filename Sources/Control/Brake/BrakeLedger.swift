internal import Glibc
internal import Model

/// How long this host has been up, and which of its starts that is. No step of the wall clock moves it.
public struct HostUptime: Sendable, Equatable {
    /// Differs after each start of the host.
    public var boot: String
    public var milliseconds: Int64

    public init(boot: String, milliseconds: Int64) {
        self.boot = boot
        self.milliseconds = milliseconds
    }

    /// That of this host now, time asleep included. Where the start's name cannot be read, each start of the program counts as
    /// one of the host.
    @Sendable public static func ofHost() -> HostUptime {
        let now = host.read()
        return HostUptime(boot: now.boot.isEmpty ? "\(getpid())" : now.boot, milliseconds: now.sinceBoot.wholeMilliseconds)
    }

    private static let host = HostClock.system()
}

/// What was begun within the last hour, as the record keeps it: a value that is written in the transaction that begins.
///
/// Ages are by uptime, so that a step of the wall clock neither empties the hour nor fills it. While the host was off nobody
/// knows how long: after its start each entry is as old as it was when the ledger was written last.
struct BrakeLedger: Codable, Equatable, Sendable {
    struct Entry: Codable, Equatable, Sendable {
        var kind: BrakedKind
        var machine: MachineID
        var operation: OperationID?
        /// In the uptime of the ledger's boot; negative for one that began before it.
        var beganAt: Int64
    }

    private var boot: String
    private var writtenAt: Int64
    private(set) var entries: [Entry] = []

    static let key = "/control/brake"
    static let windowMilliseconds: Int64 = 3_600_000
    /// More than all limits together: what approvals add beyond them pushes the oldest out.
    static let entryLimit = 4 * BrakeLimits.largest

    init(_ now: HostUptime) {
        boot = now.boot
        writtenAt = now.milliseconds
    }

    /// Whatever a record says: times are at most what sums of two still hold.
    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let range = -(Int64(1) << 53)...(Int64(1) << 53)
        boot = try container.decode(String.self, forKey: .boot)
        writtenAt = min(max(try container.decode(Int64.self, forKey: .writtenAt), 0), range.upperBound)
        entries = try container.decode([Entry].self, forKey: .entries).suffix(Self.entryLimit).map { entry in
            var entry = entry
            entry.beganAt = min(max(entry.beganAt, range.lowerBound), range.upperBound)
            return entry
        }
    }

    /// Whether it counts in the uptime of this start of the host.
    func isOf(_ now: HostUptime) -> Bool { boot == now.boot }

    /// How many of a kind were begun within the last hour.
    func begun(_ kind: BrakedKind) -> Int { entries.count { $0.kind == kind && isYoung($0) } }

    private func isYoung(_ entry: Entry) -> Bool { writtenAt - entry.beganAt < Self.windowMilliseconds }

    /// The same ledger now: what is older than an hour is gone, unless its operation is open.
    mutating func advance(to now: HostUptime, isOpen: (OperationID) -> Bool) {
        if now.boot != boot || now.milliseconds < writtenAt {
            for index in entries.indices { entries[index].beganAt += now.milliseconds - writtenAt }
            boot = now.boot
        }
        writtenAt = now.milliseconds
        let kept = entries.filter { isYoung($0) || $0.operation.map(isOpen) == true }
        entries = kept
    }

    mutating func add(_ kind: BrakedKind, machine: MachineID, operation: OperationID?) {
        entries.append(Entry(kind: kind, machine: machine, operation: operation, beganAt: writtenAt))
        if entries.count > Self.entryLimit { entries.removeFirst(entries.count - Self.entryLimit) }
    }
}
