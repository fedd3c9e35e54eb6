import API
import ArgumentParser
import Model

/// `hostler freeze`
struct FreezeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "freeze", abstract: "Stop all that would change machines, until: hostler thaw.",
        discussion: """
            Installations, wipes, power, firmware, boot overrides and tasks of agents. An operation that is under way stops \
            before its next step that changes something. Machines that run boot their disks as always. It survives restarts of \
            the server, and is shown by every command. Without a reason it says whether the rack is frozen.
            """)
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @Argument(help: "Why, for all who meet it.") var reason: String?

    private struct Request: Encodable { var reason: String }

    func run() async throws {
        try await APIClient.with(connection) { client in
            let reply: FreezeReply
            if let reason {
                reply = try await client.send(FreezeReply.self, .POST, "/v1/freeze", body: Request(reason: reason))
            } else {
                reply = try await client.get(FreezeReply.self, "/v1/freeze")
            }
            try output.print(reply) { reply in
                reply.freeze.map { "frozen since \($0.since) by \($0.by): \($0.reason)" } ?? "not frozen"
            }
        }
    }
}

/// `hostler thaw`
struct ThawCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "thaw", abstract: "End a freeze: operations go on where they stopped.")
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        try await APIClient.with(connection) { client in
            _ = try await client.send(FreezeReply.self, .POST, "/v1/thaw")
            print("the rack is no longer frozen")
        }
    }
}
