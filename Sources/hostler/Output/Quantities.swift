internal import FoundationEssentials
internal import Model

/// Quantities as people read them.
enum Quantity {
    /// In binary units, as `1.5 GiB`.
    static func bytes(_ count: Int64) -> String {
        guard count >= 1024 else { return "\(count) B" }
        var value = Double(count)
        var unit = 0
        let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
        while value >= 1024, unit < units.count - 1 {
            value /= 1024
            unit += 1
        }
        return "\(oneDecimal(value)) \(units[unit])"
    }

    /// In megabytes (10⁶ bytes) a second.
    static func rate(bytesPerSecond: Double) -> String { "\(oneDecimal(bytesPerSecond / 1e6)) MB/s" }

    /// As `12.3 s`, `4 min 05 s`, `3 h 07 min`.
    static func duration(_ duration: Duration) -> String {
        let seconds = Double(max(0, duration.wholeMilliseconds)) / 1000
        if seconds < 60 { return "\(oneDecimal(seconds)) s" }
        let whole = Int(seconds)
        if whole < 3600 { return "\(whole / 60) min \(twoDigits(whole % 60)) s" }
        if whole < 86_400 { return "\(whole / 3600) h \(twoDigits(whole / 60 % 60)) min" }
        return "\(whole / 86_400) d \(whole / 3600 % 24) h"
    }

    static func ago(_ time: Timestamp?, now: Timestamp = .now) -> String? {
        time.map { duration(now - $0) + " ago" }
    }

    private static func oneDecimal(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10)"
    }
    private static func twoDigits(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
}

extension Timestamp {
    static var now: Timestamp { Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)) }
}
