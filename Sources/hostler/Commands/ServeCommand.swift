import API
public import ArgumentParser
import BootServices
import CLinux
public import Control
import FoundationEssentials
import Logging
import Model
import Wire

extension DiscoveryPolicy: ExpressibleByArgument {}

/// `hostler serve`
struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Run the control plane: the API for people, and what machines boot from.",
        discussion: """
            Started as root it runs as the owner of its state directory, with what low ports and raw sockets need and \
            no more. Without a network it serves the API only. A network is given by --interface and --address, \
            by --lab, or in the configuration file (networks:).
            """)

    @Option(help: "Configuration file.") var config: String?
    @Option(help: "Where the record, the images and the keys are.") var stateDir: String?
    @Option(help: "Folder with vmlinuz, hostler-initrd.img and iPXE.") var bootFiles: String?
    @Option(help: "Address of the API.") var apiAddress: String?
    @Option(help: "Port of the API.") var apiPort: Int?
    @Flag(help: "Serve the API without TLS, as behind a proxy on the same host.") var noTls = false
    @Option(help: "Serve machines on this interface.") var interface: String?
    @Option(help: "Our address there with prefix length, as 10.0.0.2/24.") var address: String?
    @Option(help: "server: give addresses and boot files; proxy: boot files beside another DHCP server.")
    var dhcp: String = "server"
    @Option(
        help: ArgumentHelp(
            "What becomes of machines that nobody knows on that interface, or in the lab.",
            discussion:
                "\(DiscoveryPolicy.allCases.map(\.rawValue).joined(separator: ", ")). Without it known beside another DHCP server, inspect-empty where Hostler gives the addresses, and discover in a lab."
        ))
    var policy: DiscoveryPolicy?
    @Option(help: "Addresses to give, as 10.0.0.100-10.0.0.200.") var range: [String] = []
    @Option(help: "Default router that machines are told.") var router: String?
    @Option(help: "Serve the machines of this lab (hostler lab up).") var lab: String?
    @Option(help: "URL at which relying parties reach this server, as https://hostler.example:8443.") var issuer: String?
    @Flag(help: "Forget the issuer's and the SSH CA's keys and make new ones, as where identity.key is lost.") var newIdentity = false
    @Option(help: ArgumentHelp("For tests: a file with the seconds by which the wall clock is wrong.", visibility: .hidden)) var clockError: String?
    @Option(help: "trace, debug, info, notice, warning, error") var logLevel = "info"

    func run() async throws {
        let file = try ServerConfiguration.load(config)
        let environment = ProcessInfo.processInfo.environment
        let state = stateDir ?? environment[StateDirectory.environmentName] ?? file.stateDirectory ?? "/var/lib/hostler"
        try PrivateFile.makeDirectory(state)
        var logger = Logger(label: "hostler")
        guard let level = Logger.Level(rawValue: logLevel) else { throw ValidationError("“\(logLevel)” is not a log level") }
        logger.logLevel = level

        var networks = try (file.networks ?? []).map { try $0.bootNetwork() }
        if let interface { networks.append(try network(interface)) }
        var bmcNamespace = file.bmcNamespace
        if let lab {
            var network = try ServerConfiguration.network(ofLab: lab, address: try prefix(address ?? "10.77.0.1/24"))
            network.chosenPolicy = policy ?? network.chosenPolicy
            networks.append(network)
            // A lab's BMCs are on a network of the lab's own.
            bmcNamespace = bmcNamespace ?? networks.last?.namespace
        }

        try Confinement(entersNamespaces: bmcNamespace != nil || networks.contains { $0.namespace != nil })
            .enter(stateDirectory: state, logger: logger)

        let tls: APIConfiguration.TLS =
            if noTls || file.api?.tls == false { .off } else if let certificate = file.api?.certificate, let key = file.api?.key {
                .files(certificate: certificate, key: key)
            } else { .generated(directory: state + "/tls") }
        let api = APIConfiguration(
            address: apiAddress ?? file.api?.address ?? "127.0.0.1", port: apiPort ?? file.api?.port ?? 8443, tls: tls)
        let program = ServerProgram(
            stateDirectory: state,
            bootFiles: bootFiles ?? environment["HOSTLER_BOOT_FILES"] ?? file.bootFiles ?? "/usr/share/hostler/boot",
            api: api, networks: networks, bmcNamespace: bmcNamespace,
            identity: IdentitySettings(file.identity, flag: issuer, forgetsKeys: newIdentity, api: api),
            health: file.health ?? HealthPolicy(), consoles: file.consoles ?? ConsolePolicy(), discovery: file.discoveryLimits ?? DiscoveryLimits(),
            brake: file.brake ?? BrakeLimits(), backup: file.backup, configurationPath: config ?? ServerConfiguration.defaultPath,
            clock: clockError.map { .wrong(by: $0) } ?? .system(), logger: logger)
        Self.announcePolicies(networks, logger: logger)
        try program.health.check()
        try program.backup?.check(stateDirectory: state)
        try program.check()
        // Thousands of machines may watch their metadata at once, each by a connection.
        try Self.checkOpenFiles(limit: clinux_raise_file_limit())
        try await program.run()
    }

    /// The fewest open files that leave the reserve of every budget. At the limit itself Swift's runtime ends the program: the
    /// monitor of its thread pool (libdispatch) opens a file of /proc, and takes it for its own fault when that fails.
    static let openFilesNeeded: CInt = 1024

    static func checkOpenFiles(limit: CInt) throws(Problem) {
        guard limit < 0 || limit >= openFilesNeeded else {
            throw Problem(
                "file-limit-low", status: 500, title: "Only \(limit) files may be open in this process; \(openFilesNeeded) are the least",
                detail: "Each connection of a machine is one.",
                remedy: "Raise it: LimitNOFILE= in the systemd unit, or ulimit -n before hostler serve.")
        }
    }

    /// At every start: who upgrades, or starts for the first time, reads what a network does that says nothing of it.
    private static func announcePolicies(_ networks: [BootNetwork], logger: Logger) {
        for network in networks {
            for statement in network.policyStatements {
                logger.notice(
                    "unknown machines on \(statement.prefix): \(statement.text)",
                    metadata: ["network": "\(network.name)", "setting": "networks[].policy, or --policy"])
            }
        }
    }

    func network(_ interface: String) throws -> BootNetwork {
        guard let address else { throw ValidationError("--interface needs --address, our address there with prefix length") }
        var network = BootNetwork(name: interface, interface: interface, address: try prefix(address))
        guard let mode = BootNetwork.Mode(rawValue: dhcp) else { throw ValidationError("--dhcp is server or proxy") }
        network.mode = mode
        network.chosenPolicy = policy
        network.ranges = try range.map(ServerConfiguration.Network.range)
        if let router {
            guard let address = IPv4Address(router) else { throw ValidationError("“\(router)” is not an address, as 10.0.0.254") }
            network.router = address
        }
        return network
    }

    private func prefix(_ text: String) throws -> IPv4Prefix {
        guard let prefix = IPv4Prefix(text) else { throw ValidationError("“\(text)” is not an address with prefix length, as 10.0.0.2/24") }
        return prefix
    }
}

extension ServerProgram {
    /// What would only show when the first machine boots, said now.
    func check() throws {
        guard !networks.isEmpty else { return }
        for name in ["vmlinuz", "hostler-initrd.img"] where !FileManager.default.fileExists(atPath: bootFiles + "/" + name) {
            throw Problem(
                "boot-files-missing", title: "There is no \(name) in \(bootFiles)",
                detail: "Machines could not boot into the agent.", remedy: "Build them with `make boot-files`, and name the folder with --boot-files."
            )
        }
    }
}
