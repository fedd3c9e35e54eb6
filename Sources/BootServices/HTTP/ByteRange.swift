/// A single byte range of a request (RFC 9110 §14.1.2). Several ranges in one
/// request are answered with the whole, which that section allows.
enum ByteRange: Equatable {
    case whole
    case range(Range<Int>)
    case unsatisfiable

    static func parse(_ header: String?, of bytes: Int) -> ByteRange {
        guard let header, header.hasPrefix("bytes="), !header.contains(",") else { return .whole }
        let parts = header.dropFirst(6).split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2 else { return .whole }
        if parts[0].isEmpty {
            guard let suffix = Int(parts[1]), suffix >= 0 else { return .whole }
            return suffix == 0 || bytes == 0 ? .unsatisfiable : .range(max(0, bytes - suffix)..<bytes)
        }
        guard let first = Int(parts[0]), first >= 0 else { return .whole }
        guard parts[1].isEmpty || (Int(parts[1]).map { $0 >= first } ?? false) else { return .whole }
        guard first < bytes else { return .unsatisfiable }
        let last = min(Int(parts[1]) ?? bytes - 1, bytes - 1)
        return .range(first..<last + 1)
    }
}
