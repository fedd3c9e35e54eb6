/// A request to a BMC, before anything of HTTP's own is added.
public struct RedfishRequest: Sendable, Equatable {
    public enum Method: String, Sendable { case get = "GET", post = "POST", patch = "PATCH", delete = "DELETE" }

    public var method: Method
    public var path: RedfishPath
    public var body: Body?
    public var headers: [String: String] = [:]
    /// For the whole answer.
    public var timeout: Duration?

    public enum Body: Sendable, Equatable {
        case json(JSON)
        case bytes([UInt8], contentType: String)
    }

    public init(_ method: Method, _ path: RedfishPath, body: JSON? = nil) {
        self.method = method
        self.path = path
        self.body = body.map { .json($0) }
    }
}

/// A BMC's answer, as it came.
public struct RedfishReply: Sendable, Equatable {
    public var status: Int
    /// Names in lower case.
    public var headers: [String: String]
    public var body: [UInt8]

    public init(status: Int, headers: [String: String] = [:], body: [UInt8] = []) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    public var isSuccess: Bool { (200..<300).contains(status) }
    var contentType: String { headers["content-type"] ?? "" }
}

/// A part of an answer that is told as it comes.
public enum StreamPart: Sendable, Equatable {
    case head(RedfishReply)
    case bytes([UInt8])
}

/// Carries requests to one BMC and its answers back. Follows no redirect and knows no session.
public protocol RedfishTransport: Sendable {
    /// Scheme, host and port, as `https://10.0.9.4:443`.
    var origin: String { get }
    func send(_ request: RedfishRequest) async throws -> RedfishReply
    /// An answer without end: its head, without a body, and then each piece as it comes. Returns when the BMC ended it.
    func stream(_ request: RedfishRequest, _ receive: (StreamPart) async throws -> Void) async throws
    func close() async
}
