import API
public import ArgumentParser
import Control
import FoundationEssentials
import Glibc
public import Model
import Wire

struct BMCCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bmc", abstract: "The BMCs that switch the machines: find, add, look at, trust, give new passwords.",
        subcommands: [List.self, Show.self, Add.self, Bind.self, Unbind.self, Scan.self, Verify.self, Trust.self, Rotate.self, Remove.self])

    static func path(_ name: String) -> String { "/v1/bmcs/\(name.percentEncoded)" }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List BMCs, with what was last seen of them and when.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with(connection) { client in
                let bmcs = try await client.get(ListReply<BMC>.self, "/v1/bmcs").items
                let heading =
                    ["ID", "ADDRESS", "KIND", "MACHINE", "POWER", "SEEN", "STATE"] + (output.isWide ? ["VENDOR", "MODEL", "FIRMWARE"] : [])
                try output.printList(bmcs, heading: heading, none: "There are no BMCs. Add one with: hostler bmc add ADDRESS --user NAME") { bmc in
                    let row: [String?] = [
                        bmc.id.rawValue, bmc.address, bmc.kind.rawValue, BMCText.machine(bmc), bmc.observed.power?.state.rawValue,
                        Quantity.ago(bmc.observed.power?.at), BMCText.state(bmc),
                    ]
                    return row + (output.isWide ? [bmc.facts?.vendor, bmc.facts?.model, bmc.facts?.firmware] : [])
                }
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show a BMC: by id, address or machine.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @Argument var bmc: String

        func run() async throws {
            try await APIClient.with(connection) { client in
                try output.print(await client.get(BMC.self, path(bmc))) { BMCText.text($0) }
            }
        }
    }

    struct Add: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Add a BMC, once it answered.",
            discussion: """
                The password is asked for, or read from standard input where that is no terminal, or from \
                HOSTLER_BMC_PASSWORD; it is never an argument, since those stand in the process list.
                """)
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "redfish: host, host:port or https://host. ipmi: host. wol: the MAC address. exec: the program's name. snmp: the PDU's host.")
        var address: String
        @Option(help: "redfish, ipmi, exec, wol, snmp.") var kind: BMCKind = .redfish
        @Option(help: "The BMC's user.") var user: String?
        @Option(help: "The machine's id or name. Without it, it is found by a port that it boots by, or by UUID and serial number.") var machine:
            String?
        @Option(help: "Redfish: which system, where the BMC has several.") var system: String?
        @Option(help: "Trust only the certificate of this fingerprint, SHA256:….") var fingerprint: String?
        @Flag(help: "Trust certificates that the server's CAs vouch for, instead of a pin.") var authorities = false
        @Flag(
            name: .customLong("new-machine"),
            help: "Where no known machine fits, take its machine into the record: it need not have been seen before.")
        var newMachine = false
        @Option(help: "A network port of the new machine, where the BMC does not tell them, as by IPMI; may be repeated.") var mac: [String] = []
        @Option(help: "KEY=VALUE for the kind, as outlet=3; may be repeated.") var option: [String] = []

        func run() async throws {
            var request = BMCRequest(kind: kind, address: address)
            request.userName = user
            request.machine = machine
            request.system = system
            request.fingerprint = fingerprint
            request.trustsAuthorities = authorities
            request.options = try Dictionary(
                option.map { text in
                    let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
                    guard parts.count == 2 else { throw ValidationError("“\(text)” is not KEY=VALUE") }
                    return (parts[0], parts[1])
                }
            ) { _, last in last }
            request.makesMachine = newMachine ? true : nil
            request.macs =
                try mac.isEmpty
                ? nil
                : mac.map { text in
                    guard let mac = MACAddress(text.lowercased()) else { throw ValidationError("“\(text)” is no MAC address") }
                    return mac
                }
            if user != nil || kind == .snmp { request.password = try SecretInput.read("Password of \(user ?? address): ") }
            let wanted = request
            try await APIClient.with(connection) { client in
                let added = try await client.send(BMC.self, .POST, "/v1/bmcs", body: wanted)
                try output.print(added) { bmc in
                    "\(bmc.id)  \(bmc.address)  added\n" + BMCText.text(bmc)
                        + (bmc.machine == nil && bmc.proposals == nil
                            ? "\n\nNo machine fits it yet; once its machine was seen: hostler bmc verify \(bmc.id)" : "")
                }
            }
        }
    }

    struct Scan: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Look for BMCs in a network, as 10.0.9.0/24. Sends no passwords.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @Argument var network: String

        private struct Request: Encodable { var network: IPv4Prefix }

        func run() async throws {
            guard let prefix = IPv4Prefix(network) else { throw ValidationError("“\(network)” is not a network, as 10.0.9.0/24") }
            try await APIClient.with(connection) { client in
                let found = try await client.send(FoundBMCsReply.self, .POST, "/v1/bmc-scans", body: Request(network: prefix)).items
                try output.printList(
                    found, heading: ["ADDRESS", "SPEAKS", "VENDOR", "PRODUCT", "REDFISH", "KNOWN"], none: "No BMC answered in \(network)."
                ) {
                    [$0.address, $0.kinds.map(\.rawValue).joined(separator: ","), $0.vendor, $0.product, $0.redfishVersion, $0.known?.rawValue]
                }
            }
        }
    }

    struct Verify: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Log in to a BMC and ask anew who it is.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @Argument var bmc: String

        func run() async throws {
            try await APIClient.with(connection) { client in
                try output.print(await client.send(BMC.self, .POST, path(bmc) + "/verify")) { BMCText.text($0) }
            }
        }
    }

    struct Trust: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Trust another certificate of a BMC than before.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @Argument var bmc: String
        @Option(help: "Only this one, SHA256:….") var fingerprint: String?
        @Flag(help: "Whichever it shows next.") var next = false
        @Flag(help: "Do not ask.") var yes = false

        private struct Request: Encodable { var fingerprint: String? }

        func validate() throws {
            guard (fingerprint != nil) != next else { throw ValidationError("Give --fingerprint or --next.") }
        }

        func run() async throws {
            if next { try confirm(yes, "Whoever answers at \(bmc) next is given its password.") }
            try await APIClient.with(connection) { client in
                let trusted = try await client.send(BMC.self, .POST, path(bmc) + "/trust", body: Request(fingerprint: fingerprint))
                try output.print(trusted) { "\($0.id)  trusts \($0.fingerprint ?? "none")" }
            }
        }
    }

    struct Rotate: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give a BMC a new password, prove that it works, and forget the old one.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @Argument var bmc: String

        func run() async throws {
            try await APIClient.with(connection) { client in
                try output.print(await client.send(BMC.self, .POST, path(bmc) + "/rotate")) {
                    "\($0.id)  has a new password, and it works"
                }
            }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Forget a BMC and its password.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var consent: ConsentOptions
        @Argument var bmc: String

        func run() async throws {
            try await APIClient.with(connection) { client in
                let found = try await client.get(BMC.self, path(bmc))
                let target = path(found.id.rawValue)
                guard let agreed = try await consent.ask(client, .DELETE, target, output) else { return }
                try await client.delete(target, query: agreed)
                print("\(found.id)  \(found.address)  forgotten")
            }
        }
    }
}

extension BMCKind: ExpressibleByArgument {}

/// A password: from the environment, the terminal without echo, or standard input's first line.
enum SecretInput {
    static func read(_ prompt: String) throws(Problem) -> String {
        if let secret = Environment["HOSTLER_BMC_PASSWORD"] { return secret }
        let line: String?
        if isatty(STDIN_FILENO) == 1 {
            line = getpass(prompt).map { String(cString: $0) }
        } else {
            line = readLine(strippingNewline: true)
        }
        guard let line, !line.isEmpty else {
            throw Problem(
                "password-missing", title: "No password was given", remedy: "Type it, pipe it into standard input, or set HOSTLER_BMC_PASSWORD.")
        }
        return line
    }
}
