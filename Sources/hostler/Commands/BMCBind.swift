import API
import ArgumentParser
import Model

extension BMCCommand {
    /// `hostler bmc bind`
    struct Bind: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Say in which machine a BMC is.",
            discussion: """
                A BMC is taken for a machine's by itself only where that is proved: the machine boots by a port that the BMC names, \
                or two facts agree and none differs. Everything else is proposed, with what speaks for it and against it.
                """)
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "The BMC's id or address.") var bmc: String
        @Argument(help: "The machine's id or name. Without it, the only one that is proposed.") var machine: String?
        @Flag(help: "Do not ask.") var yes = false

        private struct Request: Encodable { var machine: String? }

        func run() async throws {
            try await APIClient.with(connection) { client in
                let known = try await client.get(BMC.self, path(bmc))
                if !yes, !BMCText.proposals(known).isEmpty { Terminal.writeError(BMCText.proposals(known)) }
                try confirm(
                    yes,
                    "Power, boot order and firmware of \(machine ?? known.proposals?.first?.machine.rawValue ?? "it") will be changed through the BMC at \(known.address)."
                )
                let bound = try await client.send(BMC.self, .POST, path(bmc) + "/machine", body: Request(machine: machine))
                try output.print(bound) { BMCText.text($0) }
            }
        }
    }

    /// `hostler bmc unbind`
    struct Unbind: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Say that a BMC is not in the machine that it was taken for, or that is proposed.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "The BMC's id or address.") var bmc: String

        func run() async throws {
            try await APIClient.with(connection) { client in
                try output.print(await client.send(BMC.self, .DELETE, path(bmc) + "/machine")) { BMCText.text($0) }
            }
        }
    }
}
