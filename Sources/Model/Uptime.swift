/// How long the server has been up, over all its starts: milliseconds that no change of the wall clock moves.
///
/// What it waits for is measured by it: while it was away it could hear nobody, so that time is nobody's silence.
public struct Uptime: Hashable, Sendable, Comparable, Codable {
    /// 0 to 2^53: some 285,000 years, and JSON's numbers end there.
    public let milliseconds: Int64

    /// A number out of range is taken for the nearest that is in it.
    public init(milliseconds: Int64) { self.milliseconds = min(1 << 53, max(0, milliseconds)) }

    public static func < (left: Self, right: Self) -> Bool { left.milliseconds < right.milliseconds }
    public static func + (left: Self, right: Duration) -> Self {
        let (sum, overflow) = left.milliseconds.addingReportingOverflow(right.wholeMilliseconds)
        return Uptime(milliseconds: overflow ? .max : sum)
    }
    /// The time from `right` to `left`.
    public static func - (left: Self, right: Self) -> Duration { .milliseconds(left.milliseconds - right.milliseconds) }

    public init(from decoder: any Decoder) throws {
        self.init(milliseconds: try decoder.singleValueContainer().decode(Int64.self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(milliseconds)
    }
}
