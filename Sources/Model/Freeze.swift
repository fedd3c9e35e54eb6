/// That nothing may change a machine until an admin ends it: no installation, wipe, power, firmware or boot order.
public struct Freeze: Codable, Sendable, Equatable {
    /// Why, as the person said it.
    public var reason: String
    public var by: String
    public var since: Timestamp

    public static let reasonLimitBytes = 512

    public init(reason: String, by: String, since: Timestamp) {
        self.reason = reason
        self.by = by
        self.since = since
    }

    /// What is answered to an order that would change a machine.
    public var refusal: Problem {
        Problem(
            "frozen", status: 423, title: "The rack is frozen: \(reason)",
            detail: "by \(by) since \(since); nothing may change a machine until then",
            remedy: "An admin ends it with: hostler thaw")
    }

    /// What status and doctor warn of.
    public var warning: Problem {
        Problem(
            "frozen", title: "The rack is frozen since \(since): \(reason)",
            detail: "By \(by). Operations stop before their next step that changes something; no power is switched.",
            remedy: "An admin ends it with: hostler thaw")
    }
}
