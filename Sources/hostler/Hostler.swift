import ArgumentParser

/// The one program.
@main
struct Hostler: AsyncParsableCommand {
    static let version = "0.1.0"
    static let configuration = CommandConfiguration(
        commandName: "hostler", abstract: "The operating system for the rack.", version: version,
        subcommands: [ServeCommand.self, LabCommand.self])
}
