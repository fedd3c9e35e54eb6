/// A request to the service, as it came from the wire.
public struct RedfishRequest: Sendable {
    public var method: String
    /// Without the query.
    public var path: String
    public var query: [(name: String, value: String)]
    /// Names in lower case.
    public var headers: [(name: String, value: String)]
    public var body: [UInt8]

    /// - Parameter target: path and query, as in the request line.
    public init(method: String, target: String, headers: [(name: String, value: String)] = [], body: [UInt8] = []) {
        self.method = method
        let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        path = Self.decoded(parts[0])
        query =
            parts.count < 2
            ? []
            : parts[1].split(separator: "&").map { pair in
                let halves = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                return (Self.decoded(halves[0]), halves.count == 2 ? Self.decoded(halves[1]) : "")
            }
        self.headers = headers.map { ($0.name.lowercased(), $0.value) }
        self.body = body
    }

    func header(_ name: String) -> String? { headers.first { $0.name == name }?.value }

    /// The path below `/redfish/v1`, in its parts; nil where it is not below.
    var segments: [String]? {
        let parts = path.split(separator: "/").map(String.init)
        guard path.hasPrefix("/"), parts.count >= 2, parts[0] == "redfish", parts[1] == "v1" else { return nil }
        return Array(parts.dropFirst(2))
    }

    /// RFC 3986 §2.1; what is no escape stays as it is.
    private static func decoded(_ text: Substring) -> String {
        guard text.contains("%") else { return String(text) }
        var output: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), rest.count >= 2,
                let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            {
                output.append(value)
                rest = rest.dropFirst(2)
            } else {
                output.append(byte)
            }
        }
        return String(decoding: output, as: UTF8.self)
    }
}

/// What goes back.
public struct RedfishResponse: Hashable, Sendable {
    public struct Header: Hashable, Sendable {
        public var name: String
        public var value: String

        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    public var status: Int
    public var headers: [Header]
    public var body: [UInt8]

    public init(status: Int, headers: [Header] = [], body: [UInt8] = []) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    public func header(_ name: String) -> String? {
        headers.first { $0.name.lowercased() == name.lowercased() }?.value
    }

    static func json(_ value: JSON, status: Int = 200, headers: [Header] = []) -> RedfishResponse {
        RedfishResponse(
            status: status, headers: [Header("Content-Type", "application/json; charset=utf-8")] + headers,
            body: value.bytes)
    }

    static let noContent = RedfishResponse(status: 204)

    /// An error in the form of DSP0266 §8.6.
    static func error(_ status: Int, _ messages: BaseMessage..., headers: [Header] = []) -> RedfishResponse {
        error(status, messages, headers: headers)
    }

    static func error(_ status: Int, _ messages: [BaseMessage], headers: [Header] = []) -> RedfishResponse {
        let first = messages.first ?? .internalError
        return json(
            [
                "error": [
                    "code": .string(messages.count == 1 ? first.id : BaseMessage.generalError.id),
                    "message": .string(messages.count == 1 ? first.message : BaseMessage.generalError.message),
                    "@Message.ExtendedInfo": .array(messages.map(\.json)),
                ]
            ], status: status, headers: headers)
    }
}
