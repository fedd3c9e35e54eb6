public import API
public import ArgumentParser
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

        private struct Request: Encodable {
            var name: String
            var role: Role
            var expiresAt: Timestamp?
        }

        func run() async throws {
            let expiresAt = expires.flatMap { Timestamp($0) }
            if let expires, expiresAt == nil { throw ValidationError("“\(expires)” is no time, as 2026-12-24T18:00:00Z.") }
            try await APIClient.with(connection) { client in
                let made = try await client.send(
                    NewToken.self, .POST, "/v1/tokens", body: Request(name: name, role: role, expiresAt: expiresAt))
                try output.print(made) { $0.secret }
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
