import API
import ArgumentParser
import Model

/// `hostler machine attestation`
struct MachineAttestationCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "attestation", abstract: "What a machine's TPM proved of its boots.",
        subcommands: [Show.self, Accept.self, Forget.self, Relax.self, Require.self], defaultSubcommand: Show.self)

    static func text(_ machine: Machine) -> String {
        let rule = machine.attestationRule.map { "  (\($0.rawValue))" } ?? ""
        guard let record = machine.attestation else { return "\(machine.id)  \(machine.name)  no TPM was enrolled\(rule)" }
        var lines = [
            "\(machine.id)  \(machine.name)  \(record.standing.rawValue)\(rule)",
            "TPM:     \(record.endorsementKey)\(record.endorsementCertificate == nil ? ", without a maker's certificate" : "")",
        ]
        if record.isProven != true {
            lines.append("         unproven TPM: no maker in identity.tpmRoots vouches for it, so it may be a pair of keys in software")
        }
        lines += [
            "since:   \(record.enrolledAt)"
        ]
        if let judged = record.judgedAt { lines.append("judged:  \(judged), boot \(record.resetCount.map(String.init) ?? "?") of the TPM") }
        for (register, value) in (record.policy ?? [:]).sorted(by: { (Int($0.key) ?? 0) < (Int($1.key) ?? 0) }) {
            let now = record.registers?[register]
            lines.append("PCR \(register):   \(value)" + (now == nil || now == value ? "" : "  now \(now ?? "")"))
        }
        if let problem = record.problem { lines.append(ProblemText.text(problem, terminal: .standard)) }
        return lines.joined(separator: "\n")
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show what is known of a machine's TPM and its last boot.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @Argument var machine: String

        func run() async throws {
            try await APIClient.with(connection) { client in
                try output.print(await client.get(Machine.self, MachineCommand.path(machine)), text: MachineAttestationCommand.text)
            }
        }
    }

    struct Accept: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take a machine's last boot as what it should be, as after an update of its firmware or of Hostler.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @Argument var machine: String

        func run() async throws {
            try await APIClient.with(connection) { client in
                let changed = try await client.send(Machine.self, .POST, MachineCommand.path(machine) + "/attestation/accept")
                try output.print(changed, text: MachineAttestationCommand.text)
            }
        }
    }

    struct Forget: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Forget a machine's TPM, as after its board was replaced. The next one is taken on trust.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var consent: ConsentOptions
        @Argument var machine: String

        func run() async throws {
            try await APIClient.with(connection) { client in
                let path = MachineCommand.path(machine) + "/attestation"
                guard let agreed = try await consent.ask(client, .DELETE, path, output) else { return }
                let changed = try await client.send(Machine.self, .DELETE, path, query: agreed)
                try output.print(changed, text: MachineAttestationCommand.text)
            }
        }
    }

    struct Relax: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give a machine images, secrets and identities without attestation, on every network.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @Argument var machine: String
        @Flag(help: "Do not ask.") var yes = false

        func run() async throws {
            try confirm(yes, "Whoever has the port and the address of \(machine) gets what is its own.")
            try await MachineAttestationCommand.set(.relaxed, machine, connection, output)
        }
    }

    struct Require: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give a machine images, secrets and identities only once it is attested, on every network.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @Argument var machine: String

        func run() async throws { try await MachineAttestationCommand.set(.required, machine, connection, output) }
    }

    private static func set(
        _ rule: AttestationRule, _ machine: String, _ connection: ConnectionOptions, _ output: OutputOptions
    ) async throws {
        try await APIClient.with(connection) { client in
            let path = MachineCommand.path(machine) + "/attestation/rule"
            let changed = try await client.send(Machine.self, .PUT, path, body: ["rule": rule.rawValue])
            try output.print(changed, text: MachineAttestationCommand.text)
        }
    }
}
