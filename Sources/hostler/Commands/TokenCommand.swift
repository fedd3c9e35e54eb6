public import API
public import ArgumentParser
import Glibc
import Model

struct TokenCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token", abstract: "Tokens for people and programs that use the API.",
        subcommands: [Create.self, List.self, Revoke.self])

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Make a token. It is shown this once.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "Whose it is, as “ci”.") var name: String
        @Option(help: "viewer reads; operator changes machines; admin also makes tokens.") var role: Role = .operator
        @Option(help: "When it ends by itself, as 2026-12-24T18:00:00Z; without it, when it is revoked.") var expires: String?
        @Flag(help: "Make it in the state directory of this host, as its owner or root; no token is needed, and no server need run.")
        var local = false

        private struct Request: Encodable {
            var name: String
            var role: Role
            var expiresAt: Timestamp?
        }

        func run() async throws {
            let expiresAt = expires.flatMap { Timestamp($0) }
            if let expires, expiresAt == nil { throw ValidationError("“\(expires)” is no time, as 2026-12-24T18:00:00Z.") }
            if local { return try output.print(leave(expiresAt)) { $0.secret } }
            try await APIClient.with(connection) { client in
                let made = try await client.send(
                    NewToken.self, .POST, "/v1/tokens", body: Request(name: name, role: role, expiresAt: expiresAt))
                try output.print(made) { $0.secret }
            }
        }

        /// Who may write to the state directory may do all that the server may; the server believes what lies there.
        private func leave(_ expiresAt: Timestamp?) throws -> NewToken {
            let directory = connection.stateDir
            return try StateOwner.acting(for: directory) {
                guard access(directory, F_OK) != 0 || access(directory, W_OK | X_OK) == 0 else {
                    throw Problem(
                        "state-unwritable", status: 403, title: "This user may not write to \(directory)",
                        remedy: "Run it as root, or as the user that the server runs as.")
                }
                guard access(directory + "/hostler.db", F_OK) == 0 else {
                    throw Problem(
                        "state-missing", title: "There is no server's record in \(directory)",
                        remedy: "Name the server's state directory with --state-dir, on the machine where it runs.")
                }
                let made = try LocalTokens(stateDirectory: directory).leave(name: name, role: role, expiresAt: expiresAt, now: .now)
                return NewToken(token: made.token, secret: made.secret)
            }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List tokens, without their secrets.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with(connection) { client in
                let tokens = try await client.get(ListReply<Token>.self, "/v1/tokens").items
                try output.printList(tokens, heading: ["ID", "NAME", "ROLE", "CREATED", "ENDS"], none: "There are no tokens.") {
                    [$0.id.rawValue, $0.name, $0.role.rawValue, $0.createdAt.description, $0.expiresAt?.description]
                }
            }
        }
    }

    struct Revoke: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Take a token's power away at once.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var consent: ConsentOptions
        @Argument(help: "The token's id, as t-….") var token: String

        func run() async throws {
            try await APIClient.with(connection) { client in
                let path = "/v1/tokens/\(token.percentEncoded)"
                guard let agreed = try await consent.ask(client, .DELETE, path, output) else { return }
                try await client.delete(path, query: agreed)
                print("\(token)  revoked")
            }
        }
    }
}

extension Role: ExpressibleByArgument {}
