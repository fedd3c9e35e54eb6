internal import ArgumentParser
internal import Glibc
internal import VirtualBMC
internal import VirtualRack

/// `hostler lab bmc`: the BMCs of a lab's machines.
struct LabBMCCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bmc", abstract: "The BMCs of the lab's machines: where they are and how to log in.",
        subcommands: [List.self, Simulate.self], defaultSubcommand: List.self)

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show address, account and certificate of each machine’s BMC.",
            discussion: "They answer in the lab’s network namespace: ip netns exec hostler-lab curl …, and by IPMI at the same address.")

        @OptionGroup var choice: LabCommand.Choice

        func run() async throws {
            for machine in try await choice.client().status().machines {
                guard let bmc = machine.bmc else { continue }
                print("\(machine.spec.name) \(bmc.url) \(bmc.user) \(bmc.password) \(bmc.certificate)")
            }
        }
    }

    struct Simulate: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Run a BMC without a machine behind it, to try a Redfish client on.")

        @Option(help: "An IPv4 address of this host.") var host = "127.0.0.1"
        @Option(help: "0 takes a free one.") var port = 8443
        @Flag(help: "HTTP instead of HTTPS.") var plain = false
        @Option(help: "A UDP port for IPMI 2.0 as well; 0 takes a free one.") var ipmiPort: Int?
        @Option(help: "The administrator's name.") var user = "admin"
        @Option(help: "The administrator's password, 8 characters or more.") var password = "hostler-lab"
        @Option(help: "\(Misbehaviour.kinds.joined(separator: ", ")), as in slow=500; give it again for more.")
        var fault: [String] = []

        func run() async throws {
            let faults = try fault.map { text in
                guard let fault = Misbehaviour(text) else { throw ValidationError("“\(text)” is no fault of a BMC") }
                return fault
            }
            let hardware = SimulatedHardware(inventory: .simulated(1))
            let bmc = VirtualBMC(
                hardware: hardware,
                account: BMCAccount(id: "1", userName: user, password: password, role: .administrator),
                now: VirtualRack.systemTime)
            bmc.setFaults(faults)
            let certificates = plain ? [] : try (1...2).map { try BMCCertificate(name: "bmc\($0)", address: host) }
            let server = try await VirtualBMCServer(bmc, host: host, port: port, certificates: certificates)
            print("\(plain ? "http" : "https")://\(host):\(server.address.port ?? port)/redfish/v1/ \(user) \(password)")
            for certificate in certificates.prefix(1) { print("certificate \(try certificate.fingerprint)") }
            let ipmi = if let ipmiPort { try await VirtualIPMIServer(bmc, host: host, port: ipmiPort) } else { nil as VirtualIPMIServer? }
            if let ipmi { print("ipmi \(host):\(ipmi.address.port ?? 0)") }
            // A pipe would keep it for itself until there is more.
            fflush(nil)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await server.run() }
                if let ipmi { group.addTask { try await ipmi.run() } }
                try await group.next()
                group.cancelAll()
            }
        }
    }
}
