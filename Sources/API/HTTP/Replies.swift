internal import Hummingbird
public import Model

/// One page of a list.
public struct ListReply<Item: Codable & Sendable>: Codable, Sendable, PartialReply {
    public var items: [Item]
    /// A watch after it sees all that is not listed.
    public var revision: Int64
    /// What to pass as `after` for the next page; absent on the last.
    public var next: String?
    /// The ids of those that were passed over because their records cannot be read; absent where there are none.
    public var skipped: [String]?
}

/// A reply that may lack what could not be read.
public protocol PartialReply {
    var skipped: [String]? { get }
}

/// The server's own state.
public struct StatusReply: Codable, Sendable {
    public var version: String
    public var startedAt: Timestamp
    public var uptimeSeconds: Int64
    public var revision: Int64
    /// Machines by state, and how many are held.
    public var machines: [String: Int]
    public var heldMachines: Int
    public var openOperations: Int
    /// Of the open ones, those that wait for a second word.
    public var waitingOperations: Int?
    /// That nothing may change a machine; nil: the rack is not frozen.
    public var freeze: Freeze?
    public var images: Int
    /// Resident memory in bytes.
    public var memoryBytes: Int64
    /// The network namespace that the machines' network is in; absent: the server's own.
    public var machineNamespace: String?
    /// What an operator should know, as another DHCP server on the wire.
    public var warnings: [Problem]
    /// What the services for machines counted since the start: by network, service and counter.
    public var counters: [String: [String: [String: Int]]]
}

/// A token just made; the only time that its secret is told.
public struct NewToken: Codable, Sendable {
    public var token: Token
    public var secret: String

    public init(token: Token, secret: String) {
        self.token = token
        self.secret = secret
    }
}

/// The agent's log of one machine, oldest first.
public struct LogReply: Codable, Sendable {
    public var lines: [String]
}

/// What became of one item of a bulk request.
public struct BulkResult<Value: Codable & Sendable>: Codable, Sendable {
    public var machine: String
    public var value: Value?
    public var problem: Problem?
}

public struct BulkReply<Value: Codable & Sendable>: Codable, Sendable {
    public var results: [BulkResult<Value>]
}

/// An image as the API shows it: there, or on its way.
public struct ImageReply: Codable, Sendable {
    public var name: String
    public var state: ImageState
    /// Once it is ready.
    public var image: ImageSummary?
    public var progress: Progress?
    /// Why the import failed.
    public var problem: Problem?
}

public enum ImageState: String, Codable, Sendable, CaseIterable { case importing, ready, failed }

extension Response {
    static func json(
        _ value: some Encodable, status: HTTPResponse.Status = .ok, headers: HTTPFields = [:],
        contentType: String = "application/json"
    ) throws -> Response {
        var headers = headers
        headers[.contentType] = contentType
        headers[.cacheControl] = "no-store"
        return Response(status: status, headers: headers, body: .init(byteBuffer: try APIJSON.encode(value)))
    }

    static var nothing: Response { Response(status: .noContent) }
}
