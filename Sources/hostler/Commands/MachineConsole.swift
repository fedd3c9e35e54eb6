import API
import ArgumentParser
import Consoles
import FoundationEssentials
import Model
import VirtualRack

/// `hostler machine console`
struct MachineConsole: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "console", abstract: "Sit at a machine's serial console; Ctrl-] leaves.",
        discussion: """
            The server holds the console by the machine's BMC and records it; any number of people may sit at it. \
            With --lab it is a lab machine's own serial port, as root on the host of the lab.
            """)
    @OptionGroup var connection: ConnectionOptions
    @Flag(help: "Print what was recorded, as lines without control sequences, and end.") var log = false
    @Flag(help: "Print what was recorded as it came, and end.") var raw = false
    @Option(help: "A lab whose machine it is, past any BMC.") var lab: String?
    @Option(help: "Where labs keep their files.") var labDir = LabPaths.defaultStateDirectory
    @Argument(help: "Hostler's name or id of the machine, or with --lab the lab's.") var machine: String

    func run() async throws {
        if let lab { return try await atLabMachine(lab) }
        let path = MachineCommand.path(machine) + "/console"
        try await APIClient.with(connection) { client in
            // As it came is for those who want just that; lines are text like any other.
            if raw { return Terminal.write(try await client.text(path + "/log?raw=true")) }
            if log { return print(try await client.text(path + "/log"), terminator: "") }
            let state = try await client.get(ConsoleState.self, path)
            // A lab machine without a BMC has its serial port all the same.
            if !state.connected, state.recordedBytes == 0, state.problem?.code == "machine-without-bmc", isInLab {
                return try await atLabMachine(LabName.standard)
            }
            if !state.connected {
                Terminal.writeError(
                    "The console of \(machine) is not heard now\(state.problem.map { ": \($0.title)" } ?? ""). What comes is shown.")
            }
            try await ConsoleConnection.sit(at: machine, path: path + "/socket", client)
        }
    }

    private var isInLab: Bool {
        guard let name = try? LabName(LabName.standard), let client = try? LabClient(lab: name, stateDirectory: labDir) else { return false }
        return FileManager.default.fileExists(atPath: client.socketPath)
    }

    private func atLabMachine(_ lab: String) async throws {
        let client = try LabClient(lab: LabName(lab), stateDirectory: labDir)
        let inLab = try await client.status().machines
        let name: String
        if let known = inLab.first(where: { $0.spec.name == machine }) {
            name = known.spec.name
        } else {
            let found = try await APIClient.with(connection) {
                try await $0.get(Machine.self, MachineCommand.path(machine))
            }
            guard let match = inLab.first(where: { $0.spec.nics.contains { found.owns($0.mac) } }) else {
                throw Problem(
                    "console-not-found", status: 404, title: "\(machine) is no machine of the lab “\(lab)”",
                    remedy: "See: hostler lab status")
            }
            name = match.spec.name
        }
        try ConsoleSession.attach(socketPath: client.socketPath, machine: name)
    }
}
