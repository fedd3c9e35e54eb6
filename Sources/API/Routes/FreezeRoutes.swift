internal import Control
internal import Hummingbird
public import Model

/// Stopping all that would change machines, and letting it go on.
enum FreezeRoutes {
    static let routes: [Route] = [
        Route(
            method: .get, path: "/v1/freeze", name: "getFreeze", summary: "Whether the rack is frozen, since when and why",
            access: .role(.viewer), reply: .json("FreezeState")
        ) { call in try .json(FreezeReply(freeze: call.server.control.freeze)) },
        Route(
            method: .post, path: "/v1/freeze", name: "freeze",
            summary: "Stop all that would change machines: installations, wipes, power, firmware, boot overrides, tasks of agents",
            access: .role(.admin), body: "FreezeRequest", reply: .json("FreezeState")
        ) { call in
            let request = try await call.body(FreezeRequest.self)
            return try .json(FreezeReply(freeze: await call.server.control.beginFreeze(request.reason, by: call.actor)))
        },
        Route(
            method: .post, path: "/v1/thaw", name: "thaw", summary: "End a freeze: operations go on where they stopped",
            access: .role(.admin), reply: .json("FreezeState")
        ) { call in
            guard try await call.server.control.thaw(by: call.actor) else {
                throw Problem("not-frozen", status: 409, title: "The rack is not frozen")
            }
            return try .json(FreezeReply(freeze: call.server.control.freeze))
        },
    ]
}

/// Whether the rack is frozen.
public struct FreezeReply: Codable, Sendable {
    /// Nil: it is not.
    public var freeze: Freeze?
}

struct FreezeRequest: RequestBodyForm {
    static let fields = ["reason"]
    var reason: String
}

extension Call {
    /// What is done to the machine in the path will cost.
    func consequence(of act: MachineAct) async throws -> Consequence {
        try await server.control.consequence(of: act, on: path("machine"))
    }
}

extension Schemas {
    static let guarding: [String: JSONValue] = [
        "Freeze": object(["reason": text, "by": text, "since": time]),
        "FreezeState": object([:], optional: ["freeze": reference("Freeze")]),
        "FreezeRequest": object(["reason": text]),
        "Consequence": object(
            [
                "act": words(DestructiveAct.self), "target": text, "name": text,
                "losses": list(object(["kind": words(Consequence.Loss.Kind.self), "id": text, "what": text])),
                "warnings": list(reference("ProblemRecord")),
            ], optional: ["waits": reference("ProblemRecord"), "confirmation": text]),
    ]
}
