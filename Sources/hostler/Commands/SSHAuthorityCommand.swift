import API
import ArgumentParser
import FoundationEssentials
import Identity
import Model

/// `hostler ssh-ca`
struct SSHAuthorityCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ssh-ca", abstract: "Sign SSH keys of people and of hosts.",
        subcommands: [Show.self, SignUser.self, SignHost.self, SignMachine.self])

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show the authorities' public keys.",
            discussion: """
                The user line goes into a file that sshd_config names as TrustedUserCAKeys; \
                the host line goes into known_hosts after “@cert-authority PATTERN”.
                """)
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await APIClient.with(connection) { client in
                try output.print(await client.get(SSHAuthorities.self, "/v1/ssh-ca")) { "user  \($0.user)\nhost  \($0.host)" }
            }
        }
    }

    struct SignUser: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "sign-user", abstract: "Sign a person's key; writes KEY-cert.pub beside it, where ssh finds it.")
        @OptionGroup var connection: ConnectionOptions
        @Argument(help: "The public key's file.") var key: String
        @Option(name: [.customShort("n"), .long], help: "A user name that it may log in as; may be repeated.")
        var principal: [String]
        @Option(help: "60 s to 7 days; 8 hours if not given.") var lifetimeSeconds: Int?
        @Option(help: "An address or network that it may come from; may be repeated.") var source: [String] = []
        @Option(help: "The one command that it may run.") var forceCommand: String?

        func run() async throws {
            let request = UserCertificateRequest(
                publicKey: try InputFile.publicKeys(key)[0], principals: principal, lifetimeSeconds: lifetimeSeconds,
                sourceAddresses: source.isEmpty ? nil : source, forceCommand: forceCommand)
            try await APIClient.with(connection) { client in
                try CertificateFile.write(
                    await client.send(SignedSSHCertificate.self, .POST, "/v1/ssh-ca/user-certificates", body: request), beside: key)
            }
        }
    }

    struct SignHost: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "sign-host", abstract: "Sign the key of a host that Hostler does not install.")
        @OptionGroup var connection: ConnectionOptions
        @Argument(help: "The public key's file.") var key: String
        @Option(name: [.customShort("n"), .long], help: "A name or address of the host; may be repeated.") var principal: [String]
        @Option(help: "An hour to a year; 30 days if not given.") var lifetimeSeconds: Int?

        func run() async throws {
            let request = HostCertificateRequest(
                publicKey: try InputFile.publicKeys(key)[0], principals: principal, lifetimeSeconds: lifetimeSeconds)
            try await APIClient.with(connection) { client in
                try CertificateFile.write(
                    await client.send(SignedSSHCertificate.self, .POST, "/v1/ssh-ca/host-certificates", body: request), beside: key)
            }
        }
    }

    struct SignMachine: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "sign-machine", abstract: "Sign the host keys that a machine proved itself with.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @Argument var machine: String

        func run() async throws {
            try await APIClient.with(connection) { client in
                let signed = try await client.send(
                    SSHCertificateList.self, .POST, MachineCommand.path(machine) + "/ssh-host-certificates")
                try output.print(signed.items) { $0.map(\.certificate).joined(separator: "\n") }
            }
        }
    }
}

/// The file in which ssh and sshd look for a key's certificate: `id-cert.pub` beside `id.pub`.
private enum CertificateFile {
    static func write(_ signed: SignedSSHCertificate, beside key: String) throws {
        let path = (key.hasSuffix(".pub") ? String(key.dropLast(4)) : key) + "-cert.pub"
        do {
            try Data((signed.certificate + "\n").utf8).write(to: URL(filePath: path), options: .atomic)
        } catch {
            throw Problem("file-unwritable", title: "\(path) cannot be written", detail: "\(error)")
        }
        print("\(path)  for \(signed.principals.joined(separator: ", "))  until \(signed.expiresAt)")
    }
}
