internal import CLinux
internal import FoundationEssentials
internal import Glibc
internal import NIOCore
internal import NIOPosix
internal import VirtualBMC
internal import Wire

/// Where a machine's BMC is and how to log in.
public struct BMCStatus: Codable, Hashable, Sendable {
    /// HTTPS; reachable from within the lab's namespace.
    public let url: String
    public let user: String
    /// As it left the factory; whoever changes it knows the new one.
    public let password: String
    /// SHA-256 of its certificate, as `sha256:…` in hex.
    public let certificate: String
    /// Where it speaks IPMI 2.0, as address:port.
    public let ipmi: String?
}

/// The BMC of one lab machine, on the management network.
final class LabBMC: Sendable {
    /// The factory's account, on every BMC.
    static let user = "admin"

    let bmc: VirtualBMC
    let server: VirtualBMCServer
    let ipmi: VirtualIPMIServer
    let status: BMCStatus

    /// Listens from now on.
    init(machine: VirtualMachine, network: RackNetwork, server: IPv4Prefix, accelerator: Accelerator) async throws {
        let address = RackNetwork.bmcAddress(server: server, number: machine.number)
        let password = DerivedIdentity.password(lab: network.lab, machine: machine.spec.name)
        let hardware = MachineHardware(
            machine: machine, lab: network.lab, address: address, accelerator: accelerator)
        bmc = VirtualBMC(
            hardware: hardware,
            account: BMCAccount(id: "1", userName: Self.user, password: password, role: .administrator),
            now: VirtualRack.systemTime)
        let certificates = try Self.certificates(in: machine.paths.bmcCertificates, address: address)
        self.server = try await VirtualBMCServer(
            bmc, socket: try await NamespaceSocket.bound(address, port: 443, .stream, namespace: network.lab.namespace),
            certificates: certificates)
        ipmi = try await VirtualIPMIServer(
            bmc,
            socket: try await NamespaceSocket.bound(
                address, port: UInt16(VirtualIPMIServer.port), .datagram, namespace: network.lab.namespace))
        status = BMCStatus(
            url: "https://\(address)", user: Self.user, password: password,
            certificate: try certificates[0].fingerprint, ipmi: "\(address):\(VirtualIPMIServer.port)")
    }

    /// Answers on both until cancelled or closed.
    func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.server.run() }
            group.addTask { try await self.ipmi.run() }
            try await group.next()
            group.cancelAll()
        }
    }

    func close() async {
        await ipmi.close()
        await server.close()
    }

    /// The faults of the machine that are its BMC's.
    func apply(_ faults: [Fault]) {
        let mine = faults.compactMap { if case .bmc(let fault) = $0 { fault } else { nil } }
        let before = bmc.faults
        guard mine != before else { return }
        bmc.setFaults(mine)
        if mine.contains(.certificate) != before.contains(.certificate) { server.closeConnections() }
    }

    /// Two: its own, and the other that it shows under a fault. Kept with the machine.
    private static func certificates(in path: String, address: IPv4Address) throws -> [BMCCertificate] {
        if let data = FileManager.default.contents(atPath: path),
            let known = try? JSONDecoder().decode([BMCCertificate].self, from: data), known.count == 2
        {
            return known
        }
        let made = try (1...2).map { _ in try BMCCertificate(name: "bmc", address: address.description) }
        try PrivateText.write(String(decoding: try JSONEncoder().encode(made), as: UTF8.self), to: path)
        return made
    }
}

/// Makes sockets in a network namespace that the process itself is not in.
enum NamespaceSocket {
    enum Kind { case stream, datagram }

    static func bound(_ address: IPv4Address, port: UInt16, _ kind: Kind, namespace: String) async throws -> CInt {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        do {
            let socket = try await group.any().submit {
                try open(address, port: port, kind, namespace: namespace)
            }.get()
            try await group.shutdownGracefully()
            return socket
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
    }

    /// Moves the calling thread, which must be one to throw away.
    private static func open(_ address: IPv4Address, port: UInt16, _ kind: Kind, namespace: String) throws -> CInt {
        func failure(_ what: String, _ code: CInt) -> LabError {
            LabError(
                .commandFailed, "BMC at \(address): \(what): \(String(cString: strerror(code)))",
                remedy: "Another program in the lab's namespace may have the port.")
        }
        let entered = clinux_enter_netns(namespace)
        guard entered == 0 else { throw failure("cannot enter \(namespace)", -entered) }
        let type = kind == .stream ? SOCK_STREAM : SOCK_DGRAM
        let file = socket(AF_INET, CInt(type.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard file >= 0 else { throw failure("socket", errno) }
        if kind == .stream {
            var yes: CInt = 1
            setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<CInt>.size))
        }
        var place = sockaddr_in()
        place.sin_family = sa_family_t(AF_INET)
        place.sin_port = port.bigEndian
        place.sin_addr.s_addr = address.value.bigEndian
        let result = withUnsafePointer(to: &place) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(file, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else {
            let code = errno
            close(file)
            throw failure("bind", code)
        }
        return file
    }
}
