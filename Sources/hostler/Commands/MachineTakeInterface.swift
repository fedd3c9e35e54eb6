import API
import ArgumentParser
import Model
import Wire

/// `hostler machine take-interface`
struct MachineTakeInterface: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "take-interface",
        abstract: "Give a network port to a machine, as after its card was moved there.",
        discussion: """
            A machine is known by the ports that it has booted by. An agent may name any port as its machine's; one that \
            another machine has stays there until a person says otherwise, by this.
            """)
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @Argument(help: "The machine that has the port from now on.") var machine: String
    @Argument(help: "The port's MAC address, as 52:54:00:12:34:56.") var mac: String
    @OptionGroup var consent: ConsentOptions

    func run() async throws {
        guard let address = MACAddress(mac) else { throw ValidationError("“\(mac)” is not a MAC address, as 52:54:00:12:34:56") }
        let question = "Whatever boots by port \(address) will be taken for \(machine)."
        try await APIClient.with(connection) { client in
            let path = MachineCommand.path(machine) + "/interfaces"
            let body = ["mac": address.description]
            guard let agreed = try await consent.ask(client, .POST, path, body: body, always: question, output) else { return }
            let changed = try await client.send(Machine.self, .POST, path, query: agreed, body: body)
            try output.print(changed) { MachineText.text($0) }
        }
    }
}
