internal import Hummingbird
internal import Model

/// One method of one path: what runs, who may, and what OpenAPI says of it.
struct Route: Sendable {
    var method: HTTPRequest.Method
    /// With parameters in braces, as `/v1/machines/{machine}`.
    var path: String
    /// OpenAPI's operationId.
    var name: String
    var summary: String
    var access: Access
    var query: [QueryParameter] = []
    /// The name of the body's schema.
    var body: String?
    /// In bytes.
    var bodyLimit = 1 << 20
    var reply: ReplyForm
    /// Whether it changes a machine: nothing of it is done while the rack is frozen.
    var stopsInFreeze = false
    /// What it would destroy, stop or forget. With it a route takes `dryRun` and `confirm`, and is carried out only where the request
    /// agrees to all that will be lost.
    var foresee: (@Sendable (Call) async throws -> Consequence)?
    var handler: @Sendable (Call) async throws -> Response

    enum Access: Sendable, Equatable {
        case open
        case role(Role)
    }

    struct QueryParameter: Sendable {
        var name: String
        var summary: String
        /// Of JSON Schema: string, integer, boolean.
        var type = "string"
        var values: [String] = []
    }

    /// What a route answers when all is well.
    struct ReplyForm: Sendable {
        var status: HTTPResponse.Status
        /// The name of the schema; nil: no JSON.
        var schema: String?
        var contentType = "application/json"
        /// Whether `?watch=true` makes it a stream of events.
        var isWatchable = false

        static func json(_ schema: String, status: HTTPResponse.Status = .ok, watch: Bool = false) -> ReplyForm {
            ReplyForm(status: status, schema: schema, isWatchable: watch)
        }
        static let none = ReplyForm(status: .noContent, schema: nil)
    }

    /// What may stand in the query.
    var parametersOfQuery: [QueryParameter] { foresee == nil ? query : query + [.dryRun, .confirm] }

    /// The names of the path's parameters.
    var parameters: [String] {
        path.split(separator: "/").filter { $0.hasPrefix("{") }.map { String($0.dropFirst().dropLast()) }
    }
}

extension Route.QueryParameter {
    static let limit = Self(name: "limit", summary: "At most so many, 1 to 1000; 100 if not given.", type: "integer")
    static let after = Self(
        name: "after", summary: "The cursor in the last page's `next`; with watch, the revision to watch from.")
    static let watch = Self(
        name: "watch", summary: "Answer with server-sent events of all changes after revision `after`.", type: "boolean")
    static let dryRun = Self(
        name: "dryRun", summary: "Do nothing; answer with what would be lost, and what to confirm.", type: "boolean")
    static let confirm = Self(
        name: "confirm", summary: "The `confirmation` that a dry run, or a refusal, gave: it names what will be lost.")
    static let paging = [limit, after]
    static let watching = [limit, after, watch]
}

extension HTTPRequest.Method {
    /// All that a path of ours could answer.
    static let known: [Self] = [.get, .post, .put, .patch, .delete]
}
