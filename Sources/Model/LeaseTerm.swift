/// The time for which a machine is lent to somebody.
public struct LeaseTerm: Codable, Sendable, Equatable {
    /// Stays the same when the end is moved; a machine that is lent anew has another.
    public var id: String
    public var endsAt: Timestamp
    /// When the end was noticed and told. From `endsAt` on, to the second, the machine has no identity in any case.
    public var endedAt: Timestamp?
    /// To whom it is lent, in the words of the one who lent it.
    public var holder: String?

    public init(id: String, endsAt: Timestamp, endedAt: Timestamp? = nil, holder: String? = nil) {
        self.id = id
        self.endsAt = endsAt
        self.endedAt = endedAt
        self.holder = holder
    }
}
