internal import Hummingbird
internal import Model

enum TokenRoutes {
    static let routes: [Route] = [
        Route(
            method: .get, path: "/v1/tokens", name: "listTokens", summary: "The API's tokens, without their secrets",
            access: .role(.admin), reply: .json("TokenList")
        ) { call in
            let revision = try await call.server.records.store.currentRevision().rawValue
            return try .json(ListReply(items: await call.server.tokens.list(), revision: revision, next: nil))
        },
        Route(
            method: .post, path: "/v1/tokens", name: "createToken", summary: "Make a token; its secret is told this once",
            access: .role(.admin), body: "TokenRequest", reply: .json("NewToken", status: .created)
        ) { call in
            let request = try await call.body(TokenRequest.self)
            let made = try await call.server.tokens.create(name: request.name, role: request.role, expiresAt: request.expiresAt)
            return try .json(
                NewToken(token: made.token, secret: made.secret), status: .created,
                headers: [.location: "/v1/tokens/\(made.token.id)"])
        },
        Route(
            method: .delete, path: "/v1/tokens/{token}", name: "revokeToken", summary: "Take a token's power away",
            access: .role(.admin), reply: .none, foresee: { try await revocation($0).consequence }
        ) { call in
            let token = try await revocation(call).token
            try await call.server.tokens.revoke(token.id)
            try await call.server.control.recordEvent(
                kind: "token.revoked", machine: nil, operation: nil, actor: call.actor,
                message: "The token “\(token.name)” (\(token.role.rawValue)) was revoked", evidence: ["token": token.id.rawValue])
            return .nothing
        },
    ]

    private static func revocation(_ call: Call) async throws -> (token: Token, consequence: Consequence) {
        let id = try call.id("token", TokenID.self, noun: "token")
        let tokens = try await call.server.tokens.list()
        guard let token = tokens.first(where: { $0.id == id }) else { throw Problem.notFound("token", id.rawValue) }
        try TokenStore.refuseIfLast(token, among: tokens)
        var what = "the power of “\(token.name)” (\(token.role.rawValue), made \(token.createdAt)); what it has open ends within two seconds"
        if token.id == call.token?.id { what += "; it is the token that this request was made with" }
        return (token, .naming(.revokeToken, target: id.rawValue, name: token.name, losses: [.init(.token, id: id.rawValue, what)]))
    }
}

struct TokenRequest: RequestBodyForm {
    static let fields = ["name", "role", "expiresAt"]
    var name: String
    var role: Role
    var expiresAt: Timestamp?
}
