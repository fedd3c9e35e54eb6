internal import Wire

/// Percent-encoded text of queries and forms (WHATWG URL §5.1).
enum FormText {
    /// A query of ours has two pairs, cloud-init's call home nine.
    static let pairLimit = 64

    static func decode(_ text: some StringProtocol) -> String {
        var bytes: [UInt8] = []
        var input = Array(text.utf8)[...]
        while let byte = input.popFirst() {
            if byte == UInt8(ascii: "%"), input.count >= 2,
                let value = Hex.decode(String(decoding: input.prefix(2), as: UTF8.self))
            {
                bytes += value
                input = input.dropFirst(2)
            } else {
                bytes.append(byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The pairs of a form, percent-decoded; of a name that stands twice the last counts.
    static func pairs(_ body: [UInt8]) -> [String: String] { pairs(String(decoding: body, as: UTF8.self)) }

    /// A request's target as its path, still encoded, and its query.
    static func split(_ uri: String) -> (path: String, query: [String: String]) {
        guard let mark = uri.firstIndex(of: "?") else { return (uri, [:]) }
        return (String(uri[..<mark]), pairs(uri[uri.index(after: mark)...]))
    }

    private static func pairs(_ text: some StringProtocol) -> [String: String] {
        var pairs: [String: String] = [:]
        for pair in text.split(separator: "&").prefix(pairLimit) {
            // "=" alone is a pair of two empty texts: the first part is always there.
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            pairs[decode(parts[0])] = parts.count > 1 ? decode(parts[1]) : ""
        }
        return pairs
    }
}
