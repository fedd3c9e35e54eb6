import API
import ArgumentParser
import Control
import FoundationEssentials
import Model

struct MachineCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "machine", abstract: "The machines of the rack: find, look at, install, wipe, rescue.",
        subcommands: [
            List.self, Show.self, Install.self, Wipe.self, Inspect.self, Rescue.self, Set.self, Delete.self,
            Release.self, Log.self, MachineConsole.self, MachineSSH.self, MachinePower.self, MachineBoot.self,
            MachineHealthCommand.self, MachineHardwareLog.self,
            MachineBIOS.self, MachineSecureBoot.self, MachineMedia.self, MachineFirmware.self, MachineAttestationCommand.self,
            MachineTakeInterface.self, MachineAdd.self, MachineTake.self,
        ])

    static func path(_ name: String) -> String { "/v1/machines/\(name.percentEncoded)" }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List machines.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @Option(help: "Only in this state: \(MachineState.allCases.map(\.rawValue).joined(separator: ", ")).")
        var state: String?
        @Option(help: "Only with this label: KEY or KEY=VALUE.") var label: String?
        @Option(help: "Only whose name holds this text.") var name: String?

        func run() async throws {
            try await APIClient.with(connection) { client in
                let machines = try await client.list(
                    Machine.self, "/v1/machines", query: ["state": state, "label": label, "name": name])
                let heading = ["ID", "NAME", "STATE", "SYSTEM", "DISK", "MEMORY", "ADDRESS", "OS", "SEEN"]
                try output.printList(
                    machines, heading: heading + (output.isWide ? ["MAC", "FIRMWARE", "SERIAL", "LABELS"] : []),
                    none:
                        "No machine was seen yet. Power one on with network boot first in its boot order; on a network whose policy is known: hostler machine add MAC"
                ) { $0.row(isWide: output.isWide) }
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show a machine: what it is made of, what it runs, its holds.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @Argument var machine: String

        func run() async throws {
            try await APIClient.with(connection) { client in
                try output.print(await client.get(Machine.self, path(machine))) { MachineText.text($0) }
            }
        }
    }

    struct Wipe: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Wipe a machine's disks, and read back that they are.",
            discussion: """
                Without --disk, the disks inside the machine are wiped, as the record has them now. Disks that other hosts may \
                share (SAN, NVMe over a fabric, behind a SAS expander, reached by several paths) and disks on USB are wiped \
                only if --disk names them.
                """)
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var wait: WaitOptions
        @Argument var machine: String
        @Option(help: "A disk by its name in machine show; may be repeated.")
        var disk: [String] = []
        @OptionGroup var consent: ConsentOptions

        func run() async throws {
            try await APIClient.with(connection) { client in
                let request = WipeRequest(disks: disk.isEmpty ? nil : disk)
                guard let agreed = try await consent.ask(client, .POST, path(machine) + "/wipe", body: request, output) else { return }
                let operation = try await client.send(Model.Operation.self, .POST, path(machine) + "/wipe", query: agreed, body: request)
                try await OperationWait.finish(operation, wait, output, client)
            }
        }
    }

    struct Inspect: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Boot a machine into the agent and look what it is made of.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var wait: WaitOptions
        @OptionGroup var consent: ConsentOptions
        @Argument var machine: String

        func run() async throws {
            try await APIClient.with(connection) { client in
                guard let agreed = try await consent.ask(client, .POST, path(machine) + "/inspect", output) else { return }
                let operation = try await client.send(Model.Operation.self, .POST, path(machine) + "/inspect", query: agreed)
                try await OperationWait.finish(operation, wait, output, client)
            }
        }
    }

    struct Rescue: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Boot a machine into a shell over SSH; ends with: hostler operation cancel.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var consent: ConsentOptions
        @Argument var machine: String
        @Option(help: "A public key's file; may be repeated.") var sshKey: [String]

        func run() async throws {
            let request = RescueRequest(sshKeys: try sshKey.flatMap(InputFile.publicKeys))
            try await APIClient.with(connection) { client in
                guard let agreed = try await consent.ask(client, .POST, path(machine) + "/rescue", body: request, output) else { return }
                let operation = try await client.send(
                    Model.Operation.self, .POST, path(machine) + "/rescue", query: agreed, body: request)
                try output.print(operation) {
                    OperationWait.begun($0)
                        + "\nthen: hostler machine ssh \($0.machine), end with: hostler operation cancel \($0.id)"
                }
            }
        }
    }

    struct Delete: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Forget a machine. It comes back as new when it is seen again.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var consent: ConsentOptions
        @Argument var machine: String

        func run() async throws {
            try await APIClient.with(connection) { client in
                let found = try await client.get(Machine.self, path(machine))
                let target = path(found.id.rawValue)
                guard let agreed = try await consent.ask(client, .DELETE, target, output) else { return }
                try await client.delete(target, query: agreed)
                print("\(found.id)  \(found.name)  forgotten")
            }
        }
    }

    struct Release: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Say that a person looked: take holds off a machine.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var consent: ConsentOptions
        @Argument var machine: String
        @Argument(help: "The hold's id; see: hostler machine show.") var hold: String?
        @Flag(help: "All its holds.") var all = false

        func validate() throws {
            guard (hold != nil) != all else { throw ValidationError("Give a hold's id, or --all.") }
        }

        func run() async throws {
            try await APIClient.with(connection) { client in
                let found = try await client.get(Machine.self, path(machine))
                let holds = hold.map { [$0] } ?? found.holds.map(\.id.rawValue)
                for id in holds {
                    let target = path(found.id.rawValue) + "/holds/\(id.percentEncoded)"
                    guard let agreed = try await consent.ask(client, .DELETE, target, output) else { continue }
                    let left = try await client.send(Machine.self, .DELETE, target, query: agreed)
                    print("\(found.id)  \(id)  taken off")
                    if left.unproved != nil, left.holds.isEmpty { print("It boots its disk. " + left.adviceOnUnproved) }
                }
                if holds.isEmpty { print("\(found.id)  has no holds") }
            }
        }
    }

    struct Log: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show the last lines of a machine's agent.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @Argument var machine: String

        func run() async throws {
            try await APIClient.with(connection) { client in
                try output.print(await client.get(LogReply.self, path(machine) + "/log")) {
                    $0.lines.map(Table.printable).joined(separator: "\n")
                }
            }
        }
    }
}
