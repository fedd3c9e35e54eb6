import API
import ArgumentParser
import FoundationEssentials
import Identity
import Glibc
import Model

/// `hostler machine ssh`
struct MachineSSH: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ssh", abstract: "Log in to a machine, knowing its host keys from its own proof.",
        discussion: "Where the machine is in a lab's network namespace this goes through it, which needs root.")
    @OptionGroup var connection: ConnectionOptions
    @Option(name: [.short, .long], help: "The user; else debian, and root in the rescue shell.") var login: String?
    @Option(name: [.customShort("i"), .long], help: "The private key's file.") var identity: String?
    @Option(name: [.short, .long], help: "The machine's SSH port.") var port = 22
    @Argument var machine: String
    @Argument(parsing: .postTerminator, help: "A command to run there, after --.") var command: [String] = []

    func run() async throws {
        let (found, operation, status, authority) = try await APIClient.with(connection) { client in
            let found = try await client.get(Machine.self, MachineCommand.path(machine))
            var operation: Model.Operation?
            if let open = found.openOperation { operation = try await client.get(Model.Operation.self, "/v1/operations/\(open)") }
            return (
                found, operation,
                try await client.get(StatusReply.self, "/v1/status"),
                // A machine that got a certificate may have changed its keys since its proof.
                try? await client.get(SSHAuthorities.self, "/v1/ssh-ca").host
            )
        }
        let target = try SSHTarget.decide(found, operation: operation, login: login, port: port)
        let known = "/tmp/hostler-known-hosts-\(getpid())"
        let lines =
            (target.hostKeys.map { "\(found.id) \($0)" }
            + ((target.isInstalled ? authority : nil).map { ["@cert-authority \(found.id) \($0)"] } ?? []))
            .map { $0 + "\n" }.joined()
        try PrivateFile.write(Array(lines.utf8), to: known)
        if !target.isProved {
            Terminal.writeError(
                "The system of \(found.name) has not proved itself, so its host keys are not known. Compare the fingerprint that ssh shows "
                    + "with those on its console: hostler machine console \(found.id)")
        }
        // The key's name is the machine's id: a changed address does not matter. ssh is a child, so that the file is removed.
        var arguments = [
            "ssh", "-o", "UserKnownHostsFile=\(known)", "-o", "GlobalKnownHostsFile=/dev/null", "-o",
            "StrictHostKeyChecking=\(target.isProved ? "yes" : "ask")",
            "-o", "HostKeyAlias=\(found.id)", "-o", "LogLevel=ERROR",
            "-p", "\(target.port)",
        ]
        if let identity { arguments += ["-o", "IdentitiesOnly=yes", "-i", identity] }
        arguments += ["\(target.user)@\(target.address)"] + (command.isEmpty ? [] : ["--"] + command)
        if let namespace = status.machineNamespace { arguments = ["ip", "netns", "exec", namespace] + arguments }
        let code = try Self.runInForeground(arguments)
        unlink(known)
        if code != 0 { throw ExitCode(code) }
    }

    /// Runs a program on this terminal and returns its exit code.
    private static func runInForeground(_ arguments: [String]) throws(Problem) -> Int32 {
        var pointers: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
        pointers.append(nil)
        defer { for pointer in pointers { free(pointer) } }
        var child: pid_t = 0
        let error = posix_spawnp(&child, arguments[0], nil, nil, pointers, environ)
        guard error == 0 else {
            throw Problem(
                "program-missing", title: "\(arguments[0]) cannot be started", detail: String(cString: strerror(error)),
                remedy: "Install openssh-client and iproute2.")
        }
        var status: Int32 = 0
        while waitpid(child, &status, 0) < 0, errno == EINTR {}
        return status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)
    }
}
