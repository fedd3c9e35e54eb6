import API
public import ArgumentParser
import FoundationEssentials
public import Model

extension MachineCommand {
    struct Install: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Put an operating system on a machine, and wait until it has proved that it is up.",
            discussion: """
                All that is on the chosen disk is replaced. The disk is the smallest inside the machine that is big \
                enough, unless --disk names one; where two fit equally well nothing is done. A machine that has a system loses it: \
                what will be lost is shown and asked about, or with --yes not asked.
                """)
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var wait: WaitOptions
        @OptionGroup var consent: ConsentOptions
        @Argument var machine: String
        @Option(help: "The image's name, as debian-12.") var image: String
        @Option(help: "A public key's file; may be repeated.") var sshKey: [String] = []
        @Option(help: "A file of cloud-init user-data, at most 16 MiB.") var userData: String?
        @Option(help: "A file of cloud-init network-config, version 1 or 2.") var networkConfig: String?
        @Option(help: "The host name. Else the machine's own, else its id.") var hostname: String?
        @Option(help: "The disk by its name in machine show.") var disk: String?
        @Option(help: "reboot: through the firmware; kexec: straight into the installed kernel.")
        var restart: RestartMethod?
        @Option(help: "Where the system finds its first-boot data: \(DataSource.allCases.map(\.rawValue).joined(separator: ", ")).")
        var datasource: DataSource?

        func run() async throws {
            let keys = try sshKey.flatMap(InputFile.publicKeys)
            let userData = try userData.map { path in
                let bytes = try InputFile.bytes(path, limit: 16 << 20, code: "user-data-too-large", what: "user-data")
                return Base64Bytes(base64: Data(bytes).base64EncodedString())
            }
            let network = try networkConfig.map { path in
                String(decoding: try InputFile.bytes(path, limit: 1 << 20, code: "network-config-too-large", what: "network-config"), as: UTF8.self)
            }
            let request = InstallRequest(
                image: image, hostname: hostname, sshKeys: keys, userData: userData, networkConfig: network, disk: disk,
                restart: restart, dataSource: datasource)
            try await APIClient.with(connection) { client in
                guard let agreed = try await consent.ask(client, .POST, path(machine) + "/install", body: request, output) else { return }
                let operation = try await client.send(Model.Operation.self, .POST, path(machine) + "/install", query: agreed, body: request)
                try await OperationWait.finish(operation, wait, output, client)
            }
        }
    }
}

extension RestartMethod: ExpressibleByArgument {}
extension DataSource: ExpressibleByArgument {}

/// Files that commands are given.
enum InputFile {
    static func bytes(_ path: String, limit: Int, code: String, what: String) throws(Problem) -> [UInt8] {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw Problem("file-unreadable", title: "\(path) cannot be read", remedy: "Check the path and its permissions.")
        }
        guard data.count <= limit else {
            throw Problem(
                code, status: 413, title: "\(path) is too large for \(what)", detail: "it has \(data.count) bytes, the limit is \(limit)",
                remedy: "Let cloud-init fetch the larger part: #include URL.")
        }
        return Array(data)
    }

    /// The keys in a file of public keys, one a line.
    static func publicKeys(_ path: String) throws(Problem) -> [String] {
        let text = String(decoding: try bytes(path, limit: 1 << 20, code: "ssh-key-invalid", what: "a public key"), as: UTF8.self)
        if text.contains("PRIVATE KEY") {
            throw Problem(
                "ssh-key-private", title: "\(path) is a private key", detail: "it was not sent", remedy: "Give its .pub file.")
        }
        let keys = text.split(whereSeparator: \.isNewline).map { $0.trimmed }.filter { !$0.isEmpty && !$0.hasPrefix("#") }
        guard !keys.isEmpty else { throw Problem("ssh-key-invalid", title: "There is no public key in \(path)") }
        return keys
    }
}

extension Substring {
    var trimmed: String {
        var text = self
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text.drop(while: \.isWhitespace))
    }
}
