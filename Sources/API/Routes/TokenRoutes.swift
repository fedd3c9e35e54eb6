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
            access: .role(.admin), reply: .none
        ) { call in
            try await call.server.tokens.revoke(call.id("token", TokenID.self, noun: "token"))
            return .nothing
        },
    ]
}

struct TokenRequest: RequestBodyForm {
    static let fields = ["name", "role", "expiresAt"]
    var name: String
    var role: Role
    var expiresAt: Timestamp?
}
