import API
public import ArgumentParser
import Control
import FoundationEssentials
public import Model
import Yams

extension MachineCommand {
    struct Set: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Change a machine's name, labels, and what it is told of itself.",
            discussion: """
                Tags, SSH keys and user-data reach a running machine through the metadata service: at once where it \
                watches http://169.254.169.254/hostler/v1/self?watch=true. Host name and network are the next installation's.
                """)
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @Argument var machine: String
        @Option(help: "Its name, in any script.") var name: String?
        @Option(help: "The host name that its next installation gets.") var hostname: String?
        @Option(help: "KEY=VALUE, or KEY- to take it away; may be repeated.") var label: [String] = []
        @Option(help: "A tag that the machine itself reads: KEY=VALUE, or KEY- to take it away; may be repeated.") var tag: [String] = []
        @Option(help: "A file of public keys; may be repeated. They replace the ones before; none: no keys.") var sshKey: [String] = []
        @Option(help: "A file of user-data, at most 16 MiB; none: take it away.") var userData: String?
        @Option(help: "How often it may be read: \(UserDataAccess.allCases.map(\.rawValue).joined(separator: ", ")).")
        var userDataAccess: UserDataAccess?
        @Option(help: "A file (YAML or JSON) with the network of its next installation; none: take it away.") var network: String?

        @Option(help: "Until when it is lent, as 2026-12-24T18:00:00Z, or for how long, as 90m, 8h, 14d; none: no longer.") var lease: String?

        @Option(help: "To whom, with --lease.") var lentTo: String?

        func validate() throws {
            if lentTo != nil, lease == nil || lease == "none" { throw ValidationError("--lent-to goes with --lease.") }
            if userDataAccess != nil, userData == nil { throw ValidationError("--user-data-access goes with --user-data.") }
        }

        func run() async throws {
            let (labels, tags) = (try Self.pairs(label), try Self.pairs(tag))
            let keys = sshKey == ["none"] ? [] : try sshKey.flatMap(InputFile.publicKeys)
            let patch = MachinePatch(
                name: name, hostname: hostname, labels: labels.isEmpty ? nil : labels, tags: tags.isEmpty ? nil : tags,
                sshKeys: sshKey.isEmpty ? nil : keys, userData: try userDataPatch(), network: try networkPatch(),
                lease: try leasePatch())
            guard
                name != nil || hostname != nil || patch.labels != nil || patch.tags != nil || patch.sshKeys != nil
                    || patch.userData != nil || patch.network != nil || patch.lease != nil
            else { throw ValidationError("Give what is to change: --name, --hostname, --label, --tag, --ssh-key, --user-data, --network, --lease.") }
            try await APIClient.with(connection) { client in
                try output.print(await client.send(Machine.self, .PATCH, path(machine), body: patch)) {
                    "\($0.id)  \($0.name)  changed"
                }
            }
        }

        private func userDataPatch() throws -> UserDataPatch? {
            guard let userData else { return nil }
            if userData == "none" { return UserDataPatch(content: nil) }
            let bytes = try InputFile.bytes(userData, limit: 16 << 20, code: "user-data-too-large", what: "user-data")
            return UserDataPatch(content: Base64Bytes(base64: Data(bytes).base64EncodedString()), access: userDataAccess)
        }

        private func leasePatch() throws -> LeasePatch? {
            guard let lease else { return nil }
            if lease == "none" { return LeasePatch(endsAt: nil) }
            if let end = Timestamp(lease) { return LeasePatch(endsAt: end, holder: lentTo) }
            let seconds: [Character: Int64] = ["m": 60, "h": 3600, "d": 86_400]
            guard let unit = lease.last.flatMap({ seconds[$0] }), let count = Int64(lease.dropLast()), (1...100_000).contains(count) else {
                throw ValidationError("“\(lease)” is no time, as 2026-12-24T18:00:00Z, and no length, as 90m, 8h or 14d.")
            }
            return LeasePatch(endsAt: Timestamp.now + .seconds(count * unit), holder: lentTo)
        }

        private func networkPatch() throws -> NetworkConfig? {
            guard let network else { return nil }
            if network == "none" { return NetworkConfig() }
            let text = String(decoding: try InputFile.bytes(network, limit: 1 << 20, code: "network-too-large", what: "a network"), as: UTF8.self)
            do {
                let config = try YAMLDecoder().decode(NetworkConfig.self, from: text)
                try config.check()
                return config
            } catch let problem as Problem {
                throw problem
            } catch {
                throw Problem(
                    "network-invalid", title: "\(network) is not a network configuration", detail: "\(error)",
                    remedy: "See docs/metadata.md for its form.")
            }
        }

        private static func pairs(_ texts: [String]) throws -> [String: String?] {
            var pairs: [String: String?] = [:]
            for text in texts {
                let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
                if parts.count == 2 {
                    pairs[parts[0]] = .some(parts[1])
                } else if text.hasSuffix("-") {
                    pairs[String(text.dropLast())] = .some(nil)
                } else {
                    throw ValidationError("“\(text)” is neither KEY=VALUE nor KEY-")
                }
            }
            return pairs
        }
    }
}

extension UserDataAccess: ExpressibleByArgument {}
