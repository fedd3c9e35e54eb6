import ArgumentParser
import Model
import Store
import VirtualRack

/// The one program.
@main
struct Hostler: AsyncParsableCommand {
    static let version = "0.1.0"
    static let configuration = CommandConfiguration(
        commandName: "hostler", abstract: "The operating system for the rack.",
        discussion: """
            The server is found by --server and --token, then HOSTLER_SERVER and HOSTLER_TOKEN (HOSTLER_CA names a CA \
            file), then the last `hostler login`, then the server on this host.

            Exit codes: 0 all well; 1 what was asked for failed; 2 wrong usage; 3 the server cannot be reached; \
            4 not authorised; 5 not found; 6 conflict, as a machine that is busy; 7 something would be lost, and nobody said \
            yes; 8 the rack is frozen, or a limit for the whole rack is reached.
            """,
        version: version,
        subcommands: [
            ServeCommand.self, MachineCommand.self, BMCCommand.self, ImageCommand.self, OperationCommand.self, EventCommand.self,
            LabCommand.self, IdentityCommand.self, SSHAuthorityCommand.self, LoginCommand.self, TokenCommand.self,
            StatusCommand.self, DoctorCommand.self, FreezeCommand.self, ThawCommand.self,
            BackupCommand.self, RestoreCommand.self, StoreCommand.self, VersionCommand.self,
        ])

    static func main() async {
        PrintableLog.bootstrap()
        do {
            var command = try parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch {
            end(error)
        }
    }

    /// Says what went wrong, and ends with the code that stands for it.
    private static func end(_ error: any Error) -> Never {
        if let problem = problem(of: error) {
            Terminal.writeError(ProblemText.text(problem, terminal: .standardError))
            exit(withError: ExitCode(ExitStatus(problem).rawValue))
        }
        let code = exitCode(for: error)
        if code == .validationFailure {
            Terminal.writeError(fullMessage(for: error))
            exit(withError: ExitCode(ExitStatus.usage.rawValue))
        }
        if code == .success { exit(withError: error) }
        Terminal.writeError(fullMessage(for: error))
        exit(withError: code)
    }

    /// Errors of all our rooms in the one form that people get.
    static func problem(of error: any Error) -> Problem? {
        switch error {
        case let problem as Problem: problem
        case let error as StoreError: Problem(error.code, status: 500, title: error.description, remedy: error.remedy)
        case let error as LabError:
            Problem(
                error.code.rawValue.replacing("_", with: "-"), status: error.code == .noSuchMachine ? 404 : 400,
                title: error.what, remedy: error.remedy)
        default: nil
        }
    }
}

struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "version", abstract: "Show the version.")
    func run() { print("hostler \(Hostler.version)") }
}
