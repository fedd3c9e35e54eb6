internal import Hummingbird
internal import Logging
internal import Model
internal import NIOCore

/// The route table as a Hummingbird router.
enum APIRouter {
    static let routes: [Route] =
        MachineRoutes.routes + OperationRoutes.routes + EventRoutes.routes + ImageRoutes.routes + TokenRoutes.routes
        + BMCRoutes.routes + MachineSettingRoutes.routes + IdentityRoutes.routes + SSHAuthorityRoutes.routes + ServerRoutes.routes

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
            let token = try await authenticate(request, context, server)
            guard token.role >= needed else {
                throw Problem(
                    "role-too-low", status: 403, title: "This token may not do that",
                    detail: "it is a \(token.role.rawValue)'s, and this needs \(needed.rawValue)",
                    remedy: "Use another token; an admin makes one with: hostler token create NAME --role \(needed.rawValue)")
            }
            call.token = token
        }
        try call.checkQuery()
        return try await route.handler(call)
    }

    private static func authenticate(
        _ request: Request, _ context: APIContext, _ server: ServerState
    ) async throws -> Token {
        guard let header = request.headers[.authorization] else {
            throw Problem(
                "token-missing", status: 401, title: "This needs a token",
                remedy: "Send Authorization: Bearer hst_…; with the CLI: hostler login URL --token hst_…")
        }
        let parts = header.split(separator: " ", maxSplits: 1)
        if parts.count == 2, parts[0].lowercased() == "bearer",
            let token = try await server.tokens.verify(String(parts[1]))
        {
            server.failedAttempts.succeeded(context.address)
            return token
        }
        let delay = server.failedAttempts.failed(context.address, at: .now)
        context.logger.warning(
            "a token was refused",
            metadata: ["address": "\(context.address)", "failures": "\(server.failedAttempts.count(context.address))"])
        try await Task.sleep(for: delay)
        throw Problem(
            "token-refused", status: 401, title: "This token is not valid",
            detail: "it was mistyped, revoked, or belongs to another server",
            remedy: "Ask an admin for another: hostler token create NAME")
    }
}
