internal import Consoles
internal import Model

/// Somebody who may sit at a machine's console.
struct ConsoleVisit: Sendable {
    static let path = "/v1/machines/{machine}/console/socket"
    static let logPath = "/v1/machines/{machine}/console/log"

    var machine: MachineID
    var console: Console
    /// What is known of it as they come.
    var state: ConsoleState
    /// A viewer reads along.
    var mayType: Bool
    var actor: String
    /// Their token, whose end is the visit's.
    var token: Token?
    private var tokens: TokenStore

    /// - Throws: where there is no such machine, or its console will not come and never was.
    init(_ name: String, _ token: Token?, _ server: ServerState) async throws {
        self.token = token
        tokens = server.tokens
        let consoles = try server.openConsoles()
        state = try await consoles.consoleState(machine: name)
        if let problem = state.problem, state.recordedBytes == 0, Self.lasting.contains(problem.code) { throw problem }
        machine = state.machine
        console = try await consoles.console(machine: name)
        mayType = token.map { $0.role >= .operator } ?? false
        actor = token.map { "token:\($0.name)" } ?? "anonymous"
    }

    /// Waits until they may not sit there any more; false where the task was cancelled before.
    func end() async -> Bool {
        if let token { return await tokens.end(of: token) }
        while (try? await Task.sleep(for: .seconds(3600))) != nil {}
        return false
    }

    private static let lasting: Set<String> = ["bmc-unsupported", "consoles-off", "machine-without-bmc"]

    /// The machine's name in the path of a request for the socket.
    static func machine(in target: String) -> String? {
        let parts = target.prefix { $0 != "?" }.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 6, parts[1] == "v1", parts[2] == "machines", parts[4] == "console", parts[5] == "socket" else { return nil }
        return String(parts[3]).percentDecoded.flatMap { $0.isEmpty ? nil : $0 }
    }
}

extension ServerState {
    /// Throws where this server has none.
    func openConsoles() throws(Problem) -> any ConsoleControl {
        guard let consoles else {
            throw Problem("consoles-off", status: 409, title: "This server holds no serial consoles")
        }
        return consoles
    }
}
