import API
import ArgumentParser
import FoundationEssentials
import Model

/// `hostler machine bios`
struct MachineBIOS: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bios", abstract: "Show a machine's firmware settings, or stage some for its next start, by its BMC.",
        discussion: "hostler machine bios node1 BootMode=Uefi SriovGlobalEnable=Enabled; names differ by vendor and model.")
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @Argument var machine: String
    @Argument(help: "KEY=VALUE to stage.") var change: [String] = []
    @Option(help: "Show only those whose name holds this text.") var name: String?

    private struct Change: Encodable { var attributes: [String: SettingValue] }

    func run() async throws {
        let path = MachineCommand.path(machine) + "/bios"
        try await APIClient.with(connection) { client in
            var settings = try await client.get(FirmwareSettings.self, path)
            if !change.isEmpty {
                settings = try await client.send(
                    FirmwareSettings.self, .POST, path, body: Change(attributes: try Self.values(change, settings.attributes)))
            }
            if let name {
                settings.attributes = settings.attributes.filter { $0.key.lowercased().contains(name.lowercased()) }
            } else if !change.isEmpty {
                let staged = settings.staged
                settings.attributes = settings.attributes.filter { staged[$0.key] != nil }
            }
            let shown = settings
            try output.print(shown) { settings in
                var table = Table(["SETTING", "NOW", "FROM THE NEXT START"])
                for (name, value) in settings.attributes.sorted(by: { $0.key < $1.key }) {
                    table.add([name, value.description, settings.staged[name]?.description])
                }
                return table.text(terminal: .standard)
            }
        }
    }

    /// Each as the kind that the setting has now.
    static func values(_ changes: [String], _ known: [String: SettingValue]) throws -> [String: SettingValue] {
        var values: [String: SettingValue] = [:]
        for change in changes {
            let parts = change.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2, !parts[0].isEmpty else { throw ValidationError("“\(change)” is not KEY=VALUE") }
            guard let value = SettingValue(parts[1], like: known[parts[0]]) else {
                throw ValidationError("“\(parts[1])” is no value for \(parts[0]), which is \(known[parts[0]]?.description ?? "-") now")
            }
            values[parts[0]] = value
        }
        return values
    }
}

/// `hostler machine secure-boot`
struct MachineSecureBoot: AsyncParsableCommand {
    enum Wanted: String, ExpressibleByArgument, CaseIterable { case on, off }

    static let configuration = CommandConfiguration(
        commandName: "secure-boot", abstract: "Show or switch Secure Boot of a machine, by its BMC; takes effect at the next start.")
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @Argument var machine: String
    @Argument(help: "on or off; without it, ask.") var wanted: Wanted?

    func run() async throws {
        let path = MachineCommand.path(machine) + "/secure-boot"
        try await APIClient.with(connection) { client in
            let read: SecureBootSetting
            if let wanted {
                read = try await client.send(SecureBootSetting.self, .POST, path, body: SecureBootSetting(enabled: wanted == .on))
            } else {
                read = try await client.get(SecureBootSetting.self, path)
            }
            try output.print(read) { $0.enabled ? "on" : "off" }
        }
    }
}

/// `hostler machine media`
struct MachineMedia: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "media", abstract: "Put an image into a machine's virtual drive, by its BMC, or take it out.",
        discussion: "The BMC fetches the image, so the URL must be one that it can reach. Boot from it with: hostler machine boot NAME cd")
    @OptionGroup var connection: ConnectionOptions
    @Argument var machine: String
    @Argument(help: "The image's URL.") var image: String?
    @Flag(help: "Take out what is in the drive.") var eject = false

    private struct Insertion: Encodable { var image: String }

    func validate() throws {
        guard (image == nil) == eject else { throw ValidationError("Give either a URL or --eject") }
    }

    func run() async throws {
        let path = MachineCommand.path(machine) + "/media"
        try await APIClient.with(connection) { client in
            if let image {
                _ = try await client.bytes(.POST, path, body: Insertion(image: image))
                print("\(machine)  \(image) is in its virtual drive")
            } else {
                try await client.delete(path)
                print("\(machine)  its virtual drive is empty")
            }
        }
    }
}

/// `hostler machine firmware`
struct MachineFirmware: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "firmware", abstract: "Update a machine's firmware by its BMC, or show how far an update is.",
        discussion: "The BMC fetches the file, or is given it, and puts it in; its power is not switched until that is over.")
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @Argument var machine: String
    @Option(help: "Update from this URL, which the BMC must reach.") var from: String?
    @Option(help: "Update from this file, for a BMC that reaches no server.") var file: String?
    @Option(help: "A path of the BMC's firmware inventory; may be repeated. Without it the BMC chooses.") var target: [String] = []
    @OptionGroup var consent: ConsentOptions

    private struct Request: Encodable {
        var url: String
        var targets: [String]
    }

    func run() async throws {
        let path = MachineCommand.path(machine) + "/firmware-update"
        try await APIClient.with(connection) { client in
            let update: FirmwareUpdate
            if let file {
                guard from == nil, target.count <= 1 else { throw ValidationError("--file goes without --from, and with one --target at most") }
                guard let bytes = FileManager.default.contents(atPath: file) else {
                    throw Problem("file-unreadable", title: "\(file) cannot be read")
                }
                var query: [String: String?] = ["name": file.split(separator: "/").last.map(String.init) ?? file, "target": target.first]
                guard let agreed = try await consent.ask(client, .PUT, path, query: query, output) else { return }
                query.merge(agreed) { $1 }
                update = try await client.put(FirmwareUpdate.self, path, query: query, bytes: Array(bytes))
            } else if let from {
                let request = Request(url: from, targets: target)
                guard let agreed = try await consent.ask(client, .POST, path, body: request, output) else { return }
                update = try await client.send(FirmwareUpdate.self, .POST, path, query: agreed, body: request)
            } else {
                update = try await client.get(FirmwareUpdate.self, path)
            }
            try output.print(update) { update in
                let percent = update.percent.map { "  \($0) %" } ?? ""
                let said = (update.problem.map { [$0.title] } ?? update.messages).map { "\n" + Table.printable($0) }.joined()
                return "\(update.state.rawValue)\(percent)  \(Table.printable(update.url))" + said
            }
        }
    }
}
