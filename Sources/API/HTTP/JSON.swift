internal import FoundationEssentials
internal import Hummingbird
internal import Model

/// JSON as the API speaks it: sorted keys, RFC 3339 times.
enum APIJSON {
    static func encode(_ value: some Encodable) throws -> ByteBuffer {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return ByteBuffer(bytes: try encoder.encode(value))
    }

    /// Decodes a body, refusing fields that `T` does not have.
    static func decode<T: RequestBodyForm>(_ type: T.Type, from body: ByteBuffer) throws(Problem) -> T {
        guard body.readableBytes > 0 else {
            throw Problem(
                "json-missing", title: "The request has no body", detail: "a JSON object was expected",
                remedy: "Send one with Content-Type: application/json; /openapi.json shows its form.")
        }
        do {
            return try JSONDecoder().decode(Strict<T>.self, from: Data(body.readableBytesView)).value
        } catch let problem as Problem {
            throw problem
        } catch let error as DecodingError {
            throw Problem(
                "json-invalid", title: "The body is not the JSON that was expected", detail: place(of: error),
                remedy: "Compare it with the schema in /openapi.json.")
        } catch {
            throw Problem("json-invalid", title: "The body is not the JSON that was expected", detail: "\(error)")
        }
    }

    private static func place(of error: DecodingError) -> String {
        func path(_ context: DecodingError.Context, _ last: (any CodingKey)? = nil) -> String {
            let keys = context.codingPath + (last.map { [$0] } ?? [])
            return keys.reduce("$") { path, key in
                key.intValue.map { "\(path)[\($0)]" } ?? "\(path).\(key.stringValue)"
            }
        }
        func whole(_ context: DecodingError.Context) -> String {
            let cause = context.underlyingError.map { ": \($0)" } ?? ""
            return "at \(path(context)): \(context.debugDescription)\(cause)"
        }
        switch error {
        case .keyNotFound(let key, let context): return "\(path(context, key)) is missing"
        case .valueNotFound(_, let context): return "\(path(context)) may not be null"
        case .typeMismatch(_, let context): return whole(context)
        case .dataCorrupted(let context): return whole(context)
        @unknown default: return "\(error)"
        }
    }
}

/// A request body whose fields are all known, so that a mistyped one is refused
/// and not passed over.
protocol RequestBodyForm: Decodable {
    static var fields: [String] { get }
}

struct Strict<T: RequestBodyForm>: Decodable {
    var value: T

    init(from decoder: any Decoder) throws {
        let keys = try decoder.container(keyedBy: AnyKey.self).allKeys.map(\.stringValue)
        if let unknown = keys.sorted().first(where: { !T.fields.contains($0) }) {
            let near = T.fields.min { editDistance($0, unknown) < editDistance($1, unknown) }
            let guess = near.flatMap { editDistance($0, unknown) <= 3 ? "Did you mean “\($0)”? " : nil } ?? ""
            throw Problem(
                "field-unknown", title: "There is no field “\(unknown)” here",
                detail: "the fields are: \(T.fields.joined(separator: ", "))",
                remedy: "\(guess)Take it out or correct it; nothing was done.")
        }
        value = try T(from: decoder)
    }
}

struct AnyKey: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}

/// Levenshtein's distance of the two texts' first 40 characters.
func editDistance(_ left: String, _ right: String) -> Int {
    let (left, right) = (Array(left.lowercased().prefix(40)), Array(right.lowercased().prefix(40)))
    var row = Array(0...right.count)
    for (i, a) in left.enumerated() {
        var diagonal = row[0]
        row[0] = i + 1
        for (j, b) in right.enumerated() {
            let above = row[j + 1]
            row[j + 1] = min(above + 1, row[j] + 1, diagonal + (a == b ? 0 : 1))
            diagonal = above
        }
    }
    return row[right.count]
}
