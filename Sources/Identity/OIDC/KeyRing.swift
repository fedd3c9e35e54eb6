public import Model

/// How long keys are published, sign, and stay published afterwards.
public struct KeySchedule: Sendable, Equatable {
    /// How long a key is published before it signs: longer than relying parties keep an old key set.
    public var lead: Duration
    /// From one key's making to the next one's taking over.
    public var period: Duration
    /// The longest life of what is signed.
    public var longestLife: Duration
    /// How far a relying party's clock may be behind.
    public var skew: Duration

    public init(
        lead: Duration = .seconds(86_400), period: Duration = .seconds(30 * 86_400),
        longestLife: Duration = .seconds(3600), skew: Duration = .seconds(300)
    ) {
        self.lead = lead
        self.period = period
        self.longestLife = longestLife
        self.skew = skew
    }
}

/// Which signing keys there are, which signs, and which go: a pure state
/// machine over time.
///
/// A key is published `lead` before it signs, and stays published until the
/// last thing that it may have signed is over. Where no key has been published
/// long enough (the first start, or a start after months), the oldest signs:
/// it is the one that relying parties are likeliest to know.
public struct KeyRing: Codable, Sendable, Equatable {
    public struct Entry: Codable, Sendable, Equatable {
        public var id: String
        public var createdAt: Timestamp
        public init(id: String, createdAt: Timestamp) {
            self.id = id
            self.createdAt = createdAt
        }
    }

    public enum Action: Equatable, Sendable {
        /// Make a key and add it.
        case make
        /// Nothing that it signed is valid any more: take it out.
        case drop(String)
        /// Nothing to do before then.
        case rest(until: Timestamp)
    }

    /// Oldest first. All of them are published.
    public private(set) var entries: [Entry] = []

    public init() {}

    /// The key that signs at `now`; nil before the first was made.
    public func signer(at now: Timestamp, _ schedule: KeySchedule) -> Entry? {
        entries.last { $0.createdAt + schedule.lead <= now } ?? entries.first
    }

    /// The next thing to be done; ask again after it is done.
    public func action(at now: Timestamp, _ schedule: KeySchedule) -> Action {
        guard let newest = entries.last else { return .make }
        if entries.count > 1, droppableAt(schedule) <= now { return .drop(entries[0].id) }
        let due = newest.createdAt + (schedule.period - schedule.lead)
        // The bound keeps a clock that jumps about from filling the ring.
        if due <= now, entries.count < Self.limit { return .make }
        return .rest(until: entries.count > 1 ? min(due, droppableAt(schedule)) : due)
    }

    /// More keys than a schedule ever needs at a time.
    public static let limit = 4

    /// Adds a key made just now. A clock that went back does not reorder the ring.
    public mutating func add(_ id: String, at now: Timestamp) {
        entries.append(Entry(id: id, createdAt: max(now, entries.last?.createdAt ?? now)))
    }

    public mutating func remove(_ id: String) { entries.removeAll { $0.id == id } }

    /// When the oldest key may go: its successor signs since `lead` after its own making.
    private func droppableAt(_ schedule: KeySchedule) -> Timestamp {
        entries[1].createdAt + schedule.lead + schedule.longestLife + schedule.skew
    }
}
