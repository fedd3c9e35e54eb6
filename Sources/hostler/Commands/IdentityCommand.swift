import API
import ArgumentParser
import FoundationEssentials
import Identity
import Model
import NIOCore

/// `hostler identity`
struct IdentityCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "identity", abstract: "The identities that machines prove themselves with to others (OIDC).",
        subcommands: [Show.self, MachineToken.self, ReplaceKeys.self])

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show the issuer and its keys, as relying parties find them.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions

        private struct Reply: Encodable {
            var configuration: DiscoveryDocument
            var keys: [PublishedKeys.Key]
        }

        func run() async throws {
            try await APIClient.with(connection) { client in
                let reply = Reply(
                    configuration: try await client.get(DiscoveryDocument.self, "/.well-known/openid-configuration"),
                    keys: try await client.get(PublishedKeys.self, "/.well-known/jwks.json").keys)
                try output.print(reply) { reply in
                    (["issuer  \(reply.configuration.issuer)", "keys at \(reply.configuration.jwksURI)"]
                        + reply.keys.map { "key     \($0.kid)  \($0.alg)" }).joined(separator: "\n")
                }
            }
        }
    }

    struct MachineToken: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "token", abstract: "Make a token as the machine itself would get it.",
            discussion: "A machine gets its own from its metadata service; this is for setting up a relying party.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @Argument var machine: String
        @Option(help: "Whom it is for: what the relying party expects in “aud”.") var audience: String
        @Option(help: "60 to 3600; 600 if not given.") var lifetimeSeconds: Int?

        private struct Request: Encodable {
            var audience: String
            var lifetimeSeconds: Int?
        }

        func run() async throws {
            try await APIClient.with(connection) { client in
                let token = try await client.send(
                    WorkloadToken.self, .POST, MachineCommand.path(machine) + "/identity-token",
                    body: Request(audience: audience, lifetimeSeconds: lifetimeSeconds))
                try output.print(token) { $0.token }
            }
        }
    }

    struct ReplaceKeys: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "replace-keys", abstract: "After a theft: make the issuer's keys anew.",
            discussion: "Keys change by themselves every 30 days, and no token breaks. This voids every token that is out.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var consent: ConsentOptions

        func run() async throws {
            try await APIClient.with(connection) { client in
                let path = "/v1/identity/replace-keys"
                guard let agreed = try await consent.ask(client, .POST, path, output) else { return }
                _ = try await client.open(.POST, path, query: agreed, deadline: .now() + .seconds(60))
                print("the issuer's keys were made anew")
            }
        }
    }
}
