internal import Consoles
internal import Hummingbird
internal import Model
internal import NIOCore

enum ConsoleRoutes {
    static let routes: [Route] = [
        Route(
            method: .get, path: "/v1/machines/{machine}/console", name: "getConsole",
            summary: "Whether a machine's serial console is heard, since when, and why not", access: .role(.viewer),
            reply: .json("ConsoleState")
        ) { call in try .json(await call.server.openConsoles().consoleState(machine: call.path("machine"))) },
        Route(
            method: .get, path: "/v1/machines/{machine}/console/log", name: "getConsoleLog",
            summary: "What a machine wrote to its serial console lately, at most 2 MiB of it, as lines without control sequences",
            access: .role(.viewer),
            query: [.init(name: "raw", summary: "The bytes as they came.", type: "boolean")],
            reply: .init(status: .ok, schema: nil, contentType: "text/plain"), handler: log),
        Route(
            method: .get, path: ConsoleVisit.path, name: "sitAtConsole",
            summary: """
                A websocket (RFC 6455): binary messages are the machine's bytes and, from an operator, what is typed; \
                text messages are notes of the server's
                """,
            access: .role(.viewer), reply: .init(status: .switchingProtocols, schema: nil, contentType: "application/octet-stream")
        ) { call in
            // A request that may be upgraded never comes here: it is told why it could not be, or what it is not.
            _ = try await ConsoleVisit(call.path("machine"), call.token, call.server)
            throw Problem(
                "upgrade-required", status: 426, title: "This is a websocket",
                remedy: "Send Connection: Upgrade and Upgrade: websocket, version 13; or read \(ConsoleVisit.logPath).")
        },
    ]

    static let limitBytes = 2 << 20

    private static func log(_ call: Call) async throws -> Response {
        let isRaw = try call.flag("raw")
        let bytes = try await call.server.openConsoles().console(machine: call.path("machine")).recorded(limitBytes)
        let body =
            isRaw
            ? ByteBuffer(bytes: bytes)
            : ByteBuffer(string: ConsoleText.lastLines(.max, of: bytes).map { $0 + "\n" }.joined())
        return Response(
            status: .ok,
            headers: [
                .contentType: isRaw ? "application/octet-stream" : "text/plain; charset=utf-8", .cacheControl: "no-store",
                .xContentTypeOptions: "nosniff",
            ], body: .init(byteBuffer: body))
    }
}
