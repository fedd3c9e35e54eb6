/// A moment of the years 1970 to 9999, in milliseconds since 1970-01-01T00:00:00Z.
///
/// In the API it is RFC 3339 text in UTC; in the store, where the encoder's
/// `userInfo[.timestampsAsMilliseconds]` is true, an integer. Arithmetic ends at
/// the first and the last moment: no number from outside can overflow it.
public struct Timestamp: Hashable, Sendable, Comparable, Codable, CustomStringConvertible {
    /// 1970-01-01T00:00:00.000Z.
    public static let first = Timestamp(milliseconds: 0)
    /// 9999-12-31T23:59:59.999Z.
    public static let last = Timestamp(milliseconds: lastMilliseconds)
    private static let lastMilliseconds: Int64 = 253_402_300_799_999

    public var milliseconds: Int64 { didSet { milliseconds = Self.clamped(milliseconds) } }

    /// A number before ``first`` or after ``last`` is taken for that.
    public init(milliseconds: Int64) { self.milliseconds = Self.clamped(milliseconds) }

    private static func clamped(_ milliseconds: Int64) -> Int64 { min(lastMilliseconds, max(0, milliseconds)) }

    public static func < (left: Self, right: Self) -> Bool { left.milliseconds < right.milliseconds }
    public static func + (left: Self, right: Duration) -> Self {
        let (sum, overflow) = left.milliseconds.addingReportingOverflow(right.wholeMilliseconds)
        // A moment is never negative, so only a positive duration can go too far.
        return overflow ? last : Timestamp(milliseconds: sum)
    }
    /// The time from `right` to `left`.
    public static func - (left: Self, right: Self) -> Duration {
        .milliseconds(left.milliseconds - right.milliseconds)
    }

    /// RFC 3339 with milliseconds, as in `2026-01-31T08:15:00.250Z`.
    public var description: String {
        let days = Int(milliseconds / 86_400_000)
        let inDay = Int(milliseconds % 86_400_000)
        let date = CivilDate(daysSinceEpoch: days)
        let clock = [inDay / 3_600_000, inDay / 60_000 % 60, inDay / 1000 % 60].map { padded($0, 2) }
        return "\(padded(date.year, 4))-\(padded(date.month, 2))-\(padded(date.day, 2))"
            + "T\(clock.joined(separator: ":")).\(padded(inDay % 1000, 3))Z"
    }

    /// From RFC 3339 text in UTC (`Z`), with or without a fraction, of the years 1970 to 9999.
    public init?(_ text: some StringProtocol) {
        let bytes = Array(text.utf8.prefix(31))
        guard bytes.count >= 20, bytes.count <= 30, bytes.last == UInt8(ascii: "Z"),
            bytes[4] == UInt8(ascii: "-"), bytes[7] == UInt8(ascii: "-"), bytes[10] == UInt8(ascii: "T"),
            bytes[13] == UInt8(ascii: ":"), bytes[16] == UInt8(ascii: ":")
        else { return nil }
        func number(_ range: Range<Int>) -> Int? {
            bytes[range].allSatisfy { (48...57).contains($0) } ? Int(String(decoding: bytes[range], as: UTF8.self)) : nil
        }
        guard let year = number(0..<4), let month = number(5..<7), let day = number(8..<10), let hour = number(11..<13),
            let minute = number(14..<16), let second = number(17..<19),
            year >= 1970, (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second < 61
        else { return nil }
        var fraction = 0
        if bytes.count > 20 {
            guard bytes[19] == UInt8(ascii: "."), bytes.count > 21, let digits = number(20..<bytes.count - 1) else { return nil }
            let places = bytes.count - 21
            fraction = places <= 3 ? digits * [1000, 100, 10, 1][places] : number(20..<23) ?? 0
        }
        let days = CivilDate(year: year, month: month, day: day).daysSinceEpoch
        // A day that the month does not have comes out as one of the next.
        guard CivilDate(daysSinceEpoch: days).day == day else { return nil }
        self.init(
            milliseconds: Int64(days) * 86_400_000 + Int64(hour * 3600 + minute * 60 + second) * 1000 + Int64(fraction))
    }

    /// Where `userInfo[.timestampsAsMilliseconds]` is true (the store), an integer out of range is the first or the last
    /// moment, since what an earlier version stored must open; elsewhere it is refused.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let number = try? container.decode(Int64.self) {
            let isStored = decoder.userInfo[.timestampsAsMilliseconds] as? Bool == true
            guard isStored || (0...Self.lastMilliseconds).contains(number) else {
                throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a time of the years 1970 to 9999: \(number) ms")
            }
            self.init(milliseconds: number)
            return
        }
        let text = try container.decode(String.self)
        guard let value = Timestamp(text) else {
            throw DecodingError.dataCorruptedError(
                in: container, debugDescription: "not an RFC 3339 UTC time of the years 1970 to 9999: \(text.prefix(40))")
        }
        self = value
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        if encoder.userInfo[.timestampsAsMilliseconds] as? Bool == true {
            try container.encode(milliseconds)
        } else {
            try container.encode(description)
        }
    }
}

extension CodingUserInfoKey {
    /// Set to true where timestamps are integers (the store).
    public static var timestampsAsMilliseconds: CodingUserInfoKey {
        // The initializer is failable in form only: it never returns nil.
        CodingUserInfoKey(rawValue: "hostler.timestampsAsMilliseconds").unsafelyUnwrapped
    }
}

extension Duration {
    /// Rounded towards zero; what does not fit is the largest or the smallest number.
    public var wholeMilliseconds: Int64 {
        let (seconds, attoseconds) = components
        let (whole, tooLong) = seconds.multipliedReportingOverflow(by: 1000)
        // Both parts have the same sign.
        let (sum, overflow) = whole.addingReportingOverflow(attoseconds / 1_000_000_000_000_000)
        return tooLong || overflow ? (seconds < 0 ? .min : .max) : sum
    }
}

private func padded(_ number: Int, _ width: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
}

/// A day of the proleptic Gregorian calendar.
private struct CivilDate {
    var year: Int, month: Int, day: Int

    init(year: Int, month: Int, day: Int) {
        (self.year, self.month, self.day) = (year, month, day)
    }

    // Years are counted from March so that the leap day is a year's last.
    init(daysSinceEpoch: Int) {
        let shifted = daysSinceEpoch + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    }

    var daysSinceEpoch: Int {
        let shiftedYear = month <= 2 ? year - 1 : year
        let era = (shiftedYear >= 0 ? shiftedYear : shiftedYear - 399) / 400
        let yearOfEra = shiftedYear - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }
}
