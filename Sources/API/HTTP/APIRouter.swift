internal import HTTPTypes
internal import Hummingbird
internal import Model
internal import NIOCore

/// The route table as a Hummingbird router.
enum APIRouter {
    static let routes: [Route] =
        MachineRoutes.routes + OperationRoutes.routes + EventRoutes.routes + ImageRoutes.routes + TokenRoutes.routes
        + BMCRoutes.routes + ConsoleRoutes.routes + MachineSettingRoutes.routes + IdentityRoutes.routes + SSHAuthorityRoutes.routes
        + ServerRoutes.routes + FreezeRoutes.routes + MachineTakingRoutes.routes

    static func build(_ server: ServerState) -> Router<APIContext> {
        let router = Router(context: APIContext.self)
        router.add(middleware: ProblemMiddleware())
        for route in routes {
            router.on(RouterPath(route.path), method: route.method) { request, context in
                try await respond(to: request, context, route, server)
            }
        }
        for (path, methods) in methodsByPath {
            let allowed = methods.map(\.rawValue).joined(separator: ", ")
            for method in HTTPRequest.Method.known where !methods.contains(method) {
                router.on(RouterPath(path), method: method) { request, _ in
                    Response.problem(
                        Problem(
                            "method-not-allowed", status: 405,
                            title: "\(request.method.rawValue) is not possible here", detail: "possible: \(allowed)"),
                        headers: [.allow: allowed])
                }
            }
        }
        return router
    }

    private static var methodsByPath: [String: [HTTPRequest.Method]] {
        Dictionary(grouping: routes, by: \.path).mapValues { $0.map(\.method) }
    }

    private static func respond(
        to request: Request, _ context: APIContext, _ route: Route, _ server: ServerState
    ) async throws -> Response {
        var call = Call(request: request, context: context, route: route, server: server)
        if case .role(let needed) = route.access {
            call.token = try await server.token(
                in: request.headers[.authorization], of: needed, from: context.address, logger: context.logger)
        }
        try call.checkQuery()
        var response = try await guarded(call)
        // Percent-encoded: a header is ASCII.
        if call.token != nil, let freeze = server.control.freeze, let name = HTTPFields.Element.Name("Hostler-Frozen") {
            response.headers[name] = freeze.reason.percentEncoded
        }
        return call.token.map { response.ending(with: $0, of: server.tokens, context.close) } ?? response
    }
}

extension APIRouter {
    /// What every route that destroys or changes something goes through: the freeze, the dry run, and the agreement to what
    /// will be lost.
    private static func guarded(_ call: Call) async throws -> Response {
        if call.route.stopsInFreeze, let freeze = call.server.control.freeze { throw freeze.refusal }
        if let foresee = call.route.foresee {
            let consequence = try await foresee(call)
            if try call.flag("dryRun") { return try .json(consequence) }
            try consequence.check(call.agreement)
        }
        return try await call.route.handler(call)
    }
}

extension Response {
    /// How long a stream may go on after its token's end, to say why it ends.
    private static var lastWords: Duration { .seconds(2) }
    /// What is shorter, and whole, ends by itself.
    private static var shortBytes: Int { 1 << 20 }

    /// The answer to a request with a token: where it lasts, its connection ends soon after the token.
    fileprivate func ending(with token: Token, of tokens: TokenStore, _ close: @escaping @Sendable () -> Void) -> Response {
        if let bytes = body.contentLength, bytes <= Self.shortBytes { return self }
        var response = self
        let body = body
        response.body = ResponseBody(contentLength: body.contentLength) { writer in
            // Cancelled at the end of the body.
            async let _: Void = {
                guard await tokens.end(of: token) else { return }
                // Only a stream can say why it ends; the rest of a download would arrive meanwhile.
                if body.contentLength == nil { guard (try? await Task.sleep(for: Self.lastWords)) != nil else { return } }
                close()
            }()
            try await body.write(writer)
        }
        return response
    }
}
