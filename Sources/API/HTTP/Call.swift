internal import Hummingbird
internal import Model
internal import NIOCore
internal import Store
internal import Synchronization

/// One authenticated request to one route.
struct Call: Sendable {
    var request: Request
    var context: APIContext
    var route: Route
    var server: ServerState
    /// Nil on routes that are open to all.
    var token: Token?
    private let read = ReadBody()

    init(request: Request, context: APIContext, route: Route, server: ServerState) {
        self.request = request
        self.context = context
        self.route = route
        self.server = server
    }

    /// The confirmation of what the caller agrees to lose.
    var agreement: String? { query("confirm") }

    /// Who acts, as events and operations tell it.
    var actor: String { token.map { "token:\($0.name)" } ?? "anonymous" }

    /// A part of the path, percent-decoded.
    func path(_ name: String) throws(Problem) -> String {
        guard let raw = context.parameters.get(name), let text = raw.percentDecoded, !text.isEmpty else {
            throw Problem("path-invalid", title: "The path is not valid UTF-8 in percent-encoding")
        }
        return text
    }

    func id<ID: ResourceID>(_ name: String, _ type: ID.Type, noun: String) throws(Problem) -> ID {
        let text = try path(name)
        guard let id = ID(rawValue: text) else { throw Problem.notFound(noun, text) }
        return id
    }

    /// A query parameter; nil where it is absent or empty.
    func query(_ name: String) -> String? {
        let value = request.uri.queryParameters.get(name)?.replacing("+", with: " ")
        return value.flatMap { $0.isEmpty ? nil : $0 }
    }

    /// Refuses query parameters that the route does not have.
    func checkQuery() throws(Problem) {
        var seen: Set<Substring> = []
        for (name, _) in request.uri.queryParameters where !seen.insert(name).inserted {
            throw Problem("query-twice", title: "The query parameter “\(name)” is given twice", remedy: "Give it once.")
        }
        for (name, _) in request.uri.queryParameters where !route.parametersOfQuery.contains(where: { $0.name == name }) {
            let known = route.parametersOfQuery.map(\.name)
            throw Problem(
                "query-unknown", title: "There is no query parameter “\(name)” here",
                detail: known.isEmpty ? "this path takes none" : "the parameters are: \(known.joined(separator: ", "))",
                remedy: "Take it out or correct it.")
        }
    }

    func number(_ name: String, in range: ClosedRange<Int>, default standard: Int) throws(Problem) -> Int {
        guard let text = query(name) else { return standard }
        guard let number = Int(text), range.contains(number) else {
            throw Problem(
                "query-invalid", title: "“\(name)” is not a number from \(range.lowerBound) to \(range.upperBound)",
                detail: "it is “\(text)”")
        }
        return number
    }

    func choice<T: RawRepresentable<String> & CaseIterable>(_ name: String, _ type: T.Type) throws(Problem) -> T? {
        guard let text = query(name) else { return nil }
        guard let value = T(rawValue: text) else {
            throw Problem(
                "query-invalid", title: "“\(text)” is no \(name)",
                detail: "it is one of: \(T.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return value
    }

    /// One that is given without a value is no “false”: who writes `?dryRun` means it.
    func flag(_ name: String) throws(Problem) -> Bool {
        switch request.uri.queryParameters.get(name) {
        case nil, "false": return false
        case "true": return true
        case let text?: throw Problem("query-invalid", title: "“\(name)” is true or false, not “\(text)”")
        }
    }

    /// The revision in `If-Match`; nil where there is none or it is `*`.
    func expectedRevision() throws(Problem) -> Revision? {
        guard let text = request.headers[.ifMatch], text != "*" else { return nil }
        let digits = text.drop { $0 == "\"" }.prefix { $0 != "\"" }
        guard let number = Int64(digits) else {
            throw Problem(
                "if-match-invalid", title: "If-Match is not a revision", detail: "it is \(text)",
                remedy: "Send the ETag of the last reply as it was.")
        }
        return Revision(rawValue: number)
    }

    func body<T: RequestBodyForm>(_ type: T.Type) async throws -> T { try APIJSON.decode(type, from: await buffer()) }

    /// The whole body, for what is no JSON.
    func bytes() async throws -> [UInt8] { Array(try await buffer(isKept: false).readableBytesView) }

    private func buffer(isKept: Bool = true) async throws -> ByteBuffer {
        if let known = read.bytes.withLock({ $0 }) { return known }
        let limit = route.bodyLimit
        if let length = request.headers[.contentLength].flatMap({ Int($0) }), length > limit { throw Self.tooLarge(limit) }
        do {
            let bytes = try await request.body.collect(upTo: limit)
            try await requireToken()
            if isKept { read.bytes.withLock { $0 = bytes } }
            return bytes
        } catch is NIOTooManyBytesError {
            throw Self.tooLarge(limit)
        }
    }

    /// A body may take its time; what comes with a token that was revoked meanwhile is not done.
    private func requireToken() async throws {
        guard let token else { return }
        guard try await server.tokens.current(token.id)?.role == token.role else {
            throw Problem("token-refused", status: 401, title: "The token was revoked while the request came in", remedy: "Log in anew.")
        }
    }

    private static func tooLarge(_ limit: Int) -> Problem {
        Problem(
            "body-too-large", status: 413, title: "The request's body is too large",
            detail: "the limit here is \(limit >> 20) MiB",
            remedy: "user-data may have 16 MiB; put larger things where cloud-init can fetch them.")
    }
}

/// The body, once it was read: what a request would do is asked before it is done.
private final class ReadBody: Sendable {
    let bytes = Mutex<ByteBuffer?>(nil)
}

extension String {
    /// Nil where an escape is broken or the bytes are not UTF-8.
    public var percentDecoded: String? {
        var bytes: [UInt8] = []
        var rest = Array(utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard rest.count >= 2, let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) else {
                return nil
            }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        return String(validating: bytes, as: UTF8.self)
    }
}
