internal import Control
internal import FoundationEssentials
internal import Hummingbird
internal import Logging
internal import Model
internal import Store

/// A problem in the form of RFC 9457 §3.
struct ProblemReply: Encodable {
    var problem: Problem
    var instance: String?

    enum Key: String, CodingKey { case type, code, title, detail, remedy, status, instance }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode("urn:hostler:problem:\(problem.code)", forKey: .type)
        try container.encode(problem.code, forKey: .code)
        try container.encode(problem.title, forKey: .title)
        try container.encode(problem.status, forKey: .status)
        try container.encodeIfPresent(problem.detail, forKey: .detail)
        try container.encodeIfPresent(problem.remedy, forKey: .remedy)
        try container.encodeIfPresent(instance, forKey: .instance)
    }
}

extension Response {
    static func problem(_ problem: Problem, instance: String? = nil, headers: HTTPFields = [:]) -> Response {
        var headers = headers
        headers[.contentType] = "application/problem+json"
        headers[.cacheControl] = "no-store"
        // Strings and numbers always encode.
        let body = (try? APIJSON.encode(ProblemReply(problem: problem, instance: instance))) ?? ByteBuffer()
        return Response(
            status: .init(code: (400...599).contains(problem.status) ? problem.status : 500), headers: headers,
            body: .init(byteBuffer: body))
    }
}

/// Turns whatever was thrown into a problem. What we did not foresee gets an id
/// that stands in the log with the error itself.
struct ProblemMiddleware: RouterMiddleware {
    typealias Context = APIContext

    func handle(
        _ request: Request, context: APIContext, next: (Request, APIContext) async throws -> Response
    ) async throws -> Response {
        do {
            return try await next(request, context)
        } catch let problem as Problem {
            return .problem(problem)
        } catch let error as StoreError {
            return storeReply(error, context)
        } catch let error as HTTPError where error.status == .notFound {
            return .problem(
                Problem(
                    "route-not-found", status: 404, title: "There is nothing at \(request.uri.path)",
                    remedy: "The paths stand in /openapi.json."))
        } catch let error as any HTTPResponseError {
            return .problem(
                Problem(
                    "request-invalid", status: error.status.code, title: "The request is not valid", detail: "\(error)"))
        } catch is CancellationError {
            return .problem(
                Problem("server-stopping", status: 503, title: "The server is stopping", remedy: "Try again soon."))
        } catch {
            return unforeseen(error, context)
        }
    }

    private func storeReply(_ error: StoreError, _ context: APIContext) -> Response {
        switch error {
        case .conflict:
            return .problem(
                Problem(error.code, status: 409, title: "It was changed meanwhile", remedy: error.remedy))
        case .diskFull, .unavailable, .closed:
            context.logger.error("store: \(error)")
            return .problem(
                Problem(
                    error.code, status: 503, title: "The state cannot be written or read now", detail: error.description,
                    remedy: error.remedy))
        case .compacted, .watcherTooSlow:
            return .problem(
                Problem(
                    "compacted", status: 410, title: "The history asked for is gone", detail: error.description,
                    remedy: error.remedy))
        default: return unforeseen(error, context)
        }
    }

    private func unforeseen(_ error: any Error, _ context: APIContext) -> Response {
        var generator = SystemRandomNumberGenerator()
        let id = String(generator.next(), radix: 32)
        context.logger.error("unforeseen error", metadata: ["id": "\(id)", "error": "\(String(reflecting: error))"])
        return .problem(
            Problem(
                "internal", status: 500, title: "Something went wrong inside Hostler",
                detail: "it stands in the server's log as id=\(id)",
                remedy: "Look there, and report it with that part of the log."),
            instance: "urn:hostler:error:\(id)")
    }
}
