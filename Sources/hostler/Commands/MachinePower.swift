import API
public import ArgumentParser
public import Model

/// `hostler machine power`
struct MachinePower: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "power", abstract: "Switch a machine by its BMC, and see it proved.",
        discussion: "on, off (at once), shutdown (asks the system), restart, cycle (off, seen to be off, on), status.")
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @Argument(help: "on, off, shutdown, restart, cycle or status.") var action: String
    @OptionGroup var consent: ConsentOptions
    @Argument var machine: String
    @Flag(help: "With an admin's token: also where a limit for the whole rack is reached.") var beyondLimits = false

    private struct Request: Encodable { var action: PowerAction }

    func run() async throws {
        if action == "status" {
            try await APIClient.with(connection) { client in
                try output.print(await client.get(ObservedPower.self, MachineCommand.path(machine) + "/power")) { $0.state.rawValue }
            }
            return
        }
        guard let wanted = PowerAction(rawValue: action) else {
            throw ValidationError("“\(action)” is none of on, off, shutdown, restart, cycle, status")
        }
        try await APIClient.with(connection) { client in
            let found = try await client.get(Machine.self, MachineCommand.path(machine))
            let path = MachineCommand.path(found.id.rawValue) + "/power"
            guard var query = try await consent.ask(client, .POST, path, body: Request(action: wanted), output) else { return }
            if beyondLimits { query["beyondLimits"] = "true" }
            let proof = try await client.send(PowerProof.self, .POST, path, query: query, body: Request(action: wanted))
            try output.print(proof) { proof in
                "\(found.id)  \(wanted.rawValue): proved, it reads \(proof.state.rawValue)"
                    + (output.isWide ? "\n" + proof.evidence.joined(separator: "\n") : "")
            }
        }
    }
}

/// `hostler machine boot`
struct MachineBoot: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "boot", abstract: "Say where a machine boots from next, by its BMC; without a target, ask.")
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @Argument var machine: String
    @Argument(help: "none, pxe, http, disk, cd, bios.") var target: BootTarget?
    @Option(help: "With http: what to boot.") var uri: String?
    @Flag(help: "Until it is changed, not only once.") var persistent = false

    func run() async throws {
        try await APIClient.with(connection) { client in
            let path = MachineCommand.path(machine) + "/boot"
            let read: BootOverride
            if let target {
                read = try await client.send(
                    BootOverride.self, .POST, path, body: BootOverride(target: target, persistent: persistent, uri: uri))
            } else {
                read = try await client.get(BootOverride.self, path)
            }
            try output.print(read) { read in
                read.target == .none
                    ? "no override" : "\(read.target.rawValue)\(read.uri.map { " \($0)" } ?? ""), \(read.persistent ? "until it is changed" : "once")"
            }
        }
    }
}

extension BootTarget: ExpressibleByArgument {}

/// `hostler machine health`
struct MachineHealthCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "health", abstract: "Show a machine's sensors and health, read now by its BMC.")
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @Argument var machine: String
    @Flag(help: "What was read in the last hour, without asking the BMC.") var history = false

    func run() async throws {
        try await APIClient.with(connection) { client in
            guard !history else {
                let read = try await client.get(SensorHistories.self, MachineCommand.path(machine) + "/sensors")
                return try output.print(read) { BMCText.histories($0) }
            }
            try output.print(await client.get(MachineHealth.self, MachineCommand.path(machine) + "/health")) { BMCText.health($0) }
        }
    }
}

/// `hostler machine sel`
struct MachineHardwareLog: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "sel", abstract: "Show or clear the BMC's event log of a machine.")
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @Argument var machine: String
    @Option(help: "At most so many.") var limit = 100
    @Flag(help: "Clear it.") var clear = false
    @OptionGroup var consent: ConsentOptions

    func run() async throws {
        let path = MachineCommand.path(machine) + "/hardware-log"
        try await APIClient.with(connection) { client in
            if clear {
                guard let agreed = try await consent.ask(client, .DELETE, path, output) else { return }
                try await client.delete(path, query: agreed)
                print("\(machine)  event log cleared")
                return
            }
            let entries = try await client.get(HardwareLogReply.self, path, query: ["limit": String(limit)]).entries
            try output.printList(entries, heading: ["ID", "TIME", "SEVERITY", "MESSAGE"], none: "The log is empty.") {
                [$0.id, $0.time, $0.severity.rawValue, $0.message]
            }
        }
    }
}
