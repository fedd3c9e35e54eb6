internal import ArgumentParser
internal import CLinux
internal import Glibc
internal import NIOCore
internal import NIOPosix
internal import VirtualBMC
internal import VirtualRack

extension LabBMCCommand {
    /// `hostler lab bmc simulate`: one BMC without a machine, or a rack full of them.
    struct Simulate: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Run BMCs without machines behind them, to try a Redfish client on.",
            discussion: """
                Each prints a line: its URL, user name, password and certificate. With --orders, a line NUMBER FAULT… on \
                standard input replaces the faults of one of them, counted from 1; NUMBER alone puts it in order.
                """)

        @Option(help: "An IPv4 address of this host.") var host = "127.0.0.1"
        @Option(help: "Of the first; the others follow it. 0 takes free ones.") var port = 8443
        @Option(help: "How many.") var count = 1
        @Flag(help: "HTTP instead of HTTPS.") var plain = false
        @Option(help: "A UDP port for IPMI 2.0 as well, of the first; the others follow it. 0 takes free ones.") var ipmiPort: Int?
        @Option(help: "The administrator's name.") var user = "admin"
        @Option(help: "The administrator's password, 8 characters or more.") var password = "hostler-lab"
        @Option(help: "\(Misbehaviour.kinds.joined(separator: ", ")), as in slow=500; give it again for more.")
        var fault: [String] = []
        @Flag(help: "Take changes of the faults from standard input.") var orders = false

        /// What a file descriptor each and a core can bear.
        static let countLimit = 4096

        func validate() throws {
            guard (1...Self.countLimit).contains(count), port == 0 || (1...65_536 - count).contains(port) else {
                throw ValidationError("There can be 1 to \(Self.countLimit), on ports up to 65535")
            }
        }

        func run() async throws {
            let faults = try fault.map { try Self.fault($0) }
            _ = clinux_raise_file_limit()
            var servers: [VirtualBMCServer] = []
            var consoles: [VirtualIPMIServer] = []
            for number in 1...count {
                let bmc = VirtualBMC(
                    hardware: SimulatedHardware(inventory: .simulated(number)),
                    account: BMCAccount(id: "1", userName: user, password: password, role: .administrator),
                    now: VirtualRack.systemTime)
                bmc.setFaults(faults)
                let certificates = plain ? [] : try (1...2).map { try BMCCertificate(name: "bmc\($0)", address: host) }
                let server = try await VirtualBMCServer(
                    bmc, host: host, port: port == 0 ? 0 : port + number - 1, certificates: certificates)
                servers.append(server)
                print("\(plain ? "http" : "https")://\(host):\(server.address.port ?? port)/redfish/v1/ \(user) \(password)")
                for certificate in certificates.prefix(1) { print("certificate \(try certificate.fingerprint)") }
                if let ipmiPort {
                    let console = try await VirtualIPMIServer(bmc, host: host, port: ipmiPort == 0 ? 0 : ipmiPort + number - 1)
                    print("ipmi \(host):\(console.address.port ?? 0)")
                    consoles.append(console)
                }
            }
            // A pipe would keep it for itself until there is more.
            fflush(nil)
            let all = servers
            let remote = consoles
            try await withThrowingDiscardingTaskGroup { group in
                for server in all { group.addTask { try await server.run() } }
                for console in remote { group.addTask { try await console.run() } }
                if orders { group.addTask { try await Self.follow(all.map(\.bmc)) } }
            }
        }

        private static func fault(_ text: some StringProtocol) throws -> Misbehaviour {
            guard let fault = Misbehaviour(text) else { throw ValidationError("“\(text)” is no fault of a BMC") }
            return fault
        }

        /// Reads lines from standard input until it ends, and does what they say.
        private static func follow(_ bmcs: [VirtualBMC]) async throws {
            let input = dup(STDIN_FILENO)
            let channel = try await NIOPipeBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .takingOwnershipOfDescriptor(input: input) { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try NIOAsyncChannel<ByteBuffer, Never>(wrappingChannelSynchronously: channel)
                    }
                }
            try await channel.executeThenClose { inbound in
                var rest = ""
                for try await part in inbound {
                    rest += String(buffer: part)
                    while let end = rest.firstIndex(of: "\n") {
                        obey(rest[..<end], bmcs)
                        rest = String(rest[rest.index(after: end)...])
                    }
                }
            }
        }

        private static func obey(_ line: Substring, _ bmcs: [VirtualBMC]) {
            let words = line.split(separator: " ")
            guard let number = words.first.flatMap({ Int($0) }), bmcs.indices.contains(number - 1),
                let faults = try? words.dropFirst().map({ try fault($0) })
            else { return print("not understood: \(line)") }
            bmcs[number - 1].setFaults(faults)
        }
    }
}
