import API
import Model
import Foundation

/// JSON in which one leaf at a time is replaced by a value that nobody expects there.
struct ExtremeValues {
    /// As they stand in JSON text: numbers that no type holds, too.
    static let values: [String] = [
        "-9223372036854775808", "-9223372036854775809", "9223372036854775807", "9223372036854775808", "18446744073709551615",
        "18446744073709551616", "4294967296", "2147483648", "-1", "0", "1", "0.5", "-0.0", "1e308", "-1e308", "1e18", "1e999", "1e-999",
        "253402300800000", "-62135596800000", "null", "true", "[]", "{}", "\"\"", "\"NaN\"", "\"-inf\"", "\"-9223372036854775808\"",
        "\"0000-01-01T00:00:00Z\"", "\"9999-12-31T23:59:60Z\"", "\"1970-01-01T00:00:00Z\"", "\"\\u0000\\u001b]0;x\\u0007\\u009b2J\\u202e\"",
        "\"../../../../etc/passwd\"", "\"" + String(repeating: "9", count: 70_000) + "\"",
        String(repeating: "[", count: 600) + String(repeating: "]", count: 600), String(repeating: "9", count: 4000),
        "[" + Array(repeating: "0", count: 2000).joined(separator: ",") + "]",
    ]

    private indirect enum Tree {
        case leaf(String)
        case array([Tree])
        case object([(String, Tree)])

        init(_ value: JSONValue) {
            switch value {
            case .array(let items) where !items.isEmpty: self = .array(items.map(Tree.init))
            case .object(let members) where !members.isEmpty: self = .object(members.sorted { $0.key < $1.key }.map { ($0.key, Tree($0.value)) })
            default: self = .leaf(ExtremeValues.text(value))
            }
        }

        var leaves: Int {
            switch self {
            case .leaf: 1
            case .array(let items): items.reduce(0) { $0 + $1.leaves }
            case .object(let members): members.reduce(0) { $0 + $1.1.leaves }
            }
        }

        /// Its text, with the leaf of that number replaced.
        func text(replacing number: inout Int, with value: String) -> String {
            switch self {
            case .leaf(let text):
                number -= 1
                return number == -1 ? value : text
            case .array(let items): return "[" + items.map { $0.text(replacing: &number, with: value) }.joined(separator: ",") + "]"
            case .object(let members):
                return "{"
                    + members.map { ExtremeValues.text(.string($0.0)) + ":" + $0.1.text(replacing: &number, with: value) }.joined(separator: ",")
                    + "}"
            }
        }
    }

    private let tree: Tree

    init(_ json: String) throws { tree = Tree(try JSONDecoder().decode(JSONValue.self, from: Data(json.utf8))) }

    init(_ value: some Encodable, stored: Bool = false) throws {
        let encoder = JSONEncoder()
        if stored { encoder.userInfo[.timestampsAsMilliseconds] = true }
        try self.init(String(decoding: encoder.encode(value), as: UTF8.self))
    }

    /// Every leaf with every value, one after the other.
    func forEach(_ body: (String) throws -> Void) rethrows {
        for leaf in 0..<tree.leaves {
            for value in Self.values {
                var number = leaf
                try body(tree.text(replacing: &number, with: value))
            }
        }
    }

    fileprivate static func text(_ value: JSONValue) -> String {
        // A value's JSON always encodes.
        String(decoding: (try? JSONEncoder().encode([value])) ?? Data("[0]".utf8), as: UTF8.self).dropFirst().dropLast().description
    }
}
