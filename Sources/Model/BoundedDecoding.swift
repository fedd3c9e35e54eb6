internal import Wire

// Decoding of what comes from outside: text is made printable and cut, numbers are brought into their range, lists are
// cut, so that whatever was sent can be shown, stored and counted with. A store may hold what an earlier version took
// without looking; it must open all the same, and so nothing is refused here that has the right type.
extension KeyedDecodingContainer {
    /// One line of printable text.
    func word(_ key: Key, limitBytes: Int = AgentLimits.wordBytes) throws -> String {
        PrintableText.line(try decode(String.self, forKey: key), limitBytes: limitBytes)
    }

    func wordIfPresent(_ key: Key, limitBytes: Int = AgentLimits.wordBytes) throws -> String? {
        try decodeIfPresent(String.self, forKey: key).map { PrintableText.line($0, limitBytes: limitBytes) }
    }

    /// A whole number, brought into `range`.
    func number<N: FixedWidthInteger & Decodable>(_ key: Key, in range: ClosedRange<N>) throws -> N {
        min(range.upperBound, max(range.lowerBound, try decode(N.self, forKey: key)))
    }

    func numberIfPresent<N: FixedWidthInteger & Decodable>(_ key: Key, in range: ClosedRange<N>) throws -> N? {
        try decodeIfPresent(N.self, forKey: key).map { min(range.upperBound, max(range.lowerBound, $0)) }
    }

    /// The first `limit` items of a list.
    func list<T: Decodable>(_ type: T.Type, _ key: Key, limit: Int) throws -> [T] {
        Array(try decode([T].self, forKey: key).prefix(limit))
    }

    /// The first `limit` items of a list that can be decoded.
    func readable<T: Decodable>(_ type: T.Type, _ key: Key, limit: Int) throws -> [T] {
        Array(try decode([Readable<T>].self, forKey: key).lazy.compactMap(\.value).prefix(limit))
    }

    /// Bytes as base64 text of at most `limit` characters; longer text is refused.
    func bytes(_ key: Key, limit: Int) throws -> Base64Bytes {
        try checked(try decode(Base64Bytes.self, forKey: key), key, limit)
    }

    func bytesIfPresent(_ key: Key, limit: Int) throws -> Base64Bytes? {
        try decodeIfPresent(Base64Bytes.self, forKey: key).map { try checked($0, key, limit) }
    }

    private func checked(_ bytes: Base64Bytes, _ key: Key, _ limit: Int) throws -> Base64Bytes {
        guard bytes.text.utf8.count <= limit else {
            throw DecodingError.dataCorruptedError(
                forKey: key, in: self, debugDescription: "\(bytes.text.utf8.count) characters of base64, the limit is \(limit)")
        }
        return bytes
    }
}

/// An item of a list, nil where it cannot be read.
private struct Readable<T: Decodable>: Decodable {
    var value: T?
    init(from decoder: any Decoder) throws { value = try? T(from: decoder) }
}

/// The ranges of numbers that come from outside.
enum NumberRange {
    /// Sizes, counts and progress: two of them can be added, and percentages made of them.
    static let count: ClosedRange<Int64> = 0...(1 << 60)
    static let smallCount: ClosedRange<Int> = 0...(1 << 24)
    /// A machine's count of its operations: one more always fits.
    static let generation: ClosedRange<UInt64> = 0...(1 << 62)
    static let attempts: ClosedRange<Int> = 0...1_000_000
    /// In bytes; a disk's is a power of two of 512 at least.
    static let blockBytes: ClosedRange<Int> = 512...65_536
}
