import API
import ArgumentParser
import Model
import Wire

/// `hostler machine add`
struct MachineAdd: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add",
        abstract: "Put a machine into the record by the port that it boots from.",
        discussion: """
            For networks whose policy is `known`: they boot only machines that are in the record. At its next start from the \
            network the machine is inspected. A machine with a BMC comes into the record by it: hostler bmc add --new-machine.
            """)
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @Argument(help: "The port's MAC address, as 52:54:00:12:34:56.") var mac: String
    @Option(help: "What people call the machine.") var name: String?

    func run() async throws {
        guard let address = MACAddress(mac) else { throw ValidationError("“\(mac)” is not a MAC address, as 52:54:00:12:34:56") }
        try await APIClient.with(connection) { client in
            let body = ["mac": address.description].merging(name.map { ["name": $0] } ?? [:]) { $1 }
            let machine = try await client.send(Machine.self, .POST, "/v1/machines", body: body)
            try output.print(machine) { MachineText.text($0) }
        }
    }
}

/// `hostler machine take`
struct MachineTake: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "take",
        abstract: "Say that nobody needs what a machine's disks hold, so that it waits for work instead of booting them.",
        discussion: """
            A machine whose disks hold what Hostler did not put there boots its own disk, so that nobody's server is kept \
            from its system. This takes it over; nothing is written. From its next start from the network on it waits in \
            the agent. An install or a wipe takes the machine as well.
            """)
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var consent: ConsentOptions
    @Argument var machine: String

    func run() async throws {
        try await APIClient.with(connection) { client in
            let found = try await client.get(Machine.self, MachineCommand.path(machine))
            let path = MachineCommand.path(found.id.rawValue) + "/take"
            let question = "\(found.name) (\(found.id)) will no longer boot what its disks hold."
            guard let agreed = try await consent.ask(client, .POST, path, always: question, output) else { return }
            let taken = try await client.send(Machine.self, .POST, path, query: agreed)
            try output.print(taken) { MachineText.text($0) }
        }
    }
}
