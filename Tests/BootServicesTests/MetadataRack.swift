import Glibc
import Logging
import Metadata
import Model
import NIOCore
import NIOPosix
import NetBoot
import OCI
import Store
import Synchronization
import Testing
import Wire

@testable import BootServices
@testable import Control

/// Machines 2 and 3 at 127.0.0.2 and 127.0.0.3, and a metadata service for them on loopback. Who is whose neighbour
/// is what the test says.
final class MetadataRack: Sendable {
    let control: ControlPlane
    let service: MetadataService
    let leases = LeaseTable()
    let neighbours = Mutex<[String: MACAddress]>([:])
    private let boundPort = Mutex(0)
    private let keys = Mutex<[Int: InstallationKeys]>([:])
    var port: Int { boundPort.withLock { $0 } }

    struct NoImages: ImageCatalog {
        func image(named name: String) async throws -> InstallableImage? { nil }
        func image(digest: String) async throws -> InstallableImage? { nil }
    }

    static func mac(_ number: Int) -> MACAddress { MACAddress(value: 0x5254_0000_0000 + UInt64(number)) }

    typealias Issuer = (ControlPlane, any StateStore) async throws -> any WorkloadTokens

    private init(_ settings: MetadataSettings, subnets: [BootNetwork.Subnet], attested: Bool, _ issuer: Issuer?) async throws {
        let store = MemoryStore()
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let now: @Sendable () -> Timestamp = {
            var time = timespec()
            clock_gettime(CLOCK_REALTIME, &time)
            return Timestamp(milliseconds: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000)
        }
        control = try await ControlPlane.open(
            store: store, images: NoImages(),
            environment: ControlEnvironment(
                now: now, logger: logger, attestedNetworks: attested ? [try #require(IPv4Prefix("127.0.0.0/24"))] : []))
        var network = BootNetwork(name: "test", interface: "lo", address: try #require(IPv4Prefix("127.0.0.1/24")))
        network.attestation = attested
        network.metadata = settings
        network.subnets = subnets
        service = MetadataService(
            network: network, control: control, leases: leases, neighbours: NeighbourTable(interface: "lo"),
            tokens: try await issuer?(control, store), logger: logger)
    }

    static func with(
        _ settings: MetadataSettings = MetadataSettings(), subnets: [BootNetwork.Subnet] = [], attested: Bool = false,
        patience: TimeAmount = MetadataDoor.patience, issuer: Issuer? = nil,
        _ body: (MetadataRack) async throws -> Void
    ) async throws {
        let rack = try await MetadataRack(settings, subnets: subnets, attested: attested, issuer)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await rack.control.run() }
            tasks.addTask { await rack.service.refusals.run() }
            for number in [2, 3] { try await rack.add(number) }
            let listening = try await rack.service.start(host: "127.0.0.1", port: 0, on: group, patience: patience) { address in
                rack.neighbours.withLock { $0[address.description] }
            }
            rack.boundPort.withLock { $0 = listening.port ?? 0 }
            do { try await body(rack) } catch {
                await listening.stop()
                throw error
            }
            await listening.stop()
            tasks.cancelAll()
        }
        try await group.shutdownGracefully()
    }

    /// A machine that has booted into its agent at its number's address of 127.0.0.0/24, with a lease.
    private func add(_ number: Int) async throws {
        let address = IPv4Address(value: 0x7f00_0000 + UInt32(number))
        neighbours.withLock { $0[address.description] = Self.mac(number) }
        lend(address, to: number)
        try await boot(number, at: address)
    }

    func lend(_ address: IPv4Address, to number: Int, seconds: Int64 = 3600) {
        let (mac, now) = (Self.mac(number), control.now.milliseconds)
        leases.set(
            DHCPLease(
                address: address, client: .mac(mac), mac: mac, grantedMilliseconds: now, expiresMilliseconds: now + seconds * 1000,
                state: .bound))
    }

    /// A machine boots into its agent.
    func boot(_ number: Int, at address: IPv4Address) async throws {
        let mac = Self.mac(number)
        let hello = HelloRequest(
            nonce: control.nonces.make(for: mac, now: control.now), sessionKey: String(repeating: "a", count: 64), mac: mac, macs: [mac],
            uuid: nil, serial: nil, firmware: .bios, version: "test")
        let reply = try await control.hello(hello, from: Sender(mac: mac, address: address), wantsProof: false)
        var inventory = Inventory()
        inventory.disks = [Inventory.DiskFacts(name: "sda", bytes: 1 << 40, kind: .ssd)]
        inventory.disks[0].serial = "DISK-\(number)"
        try await control.record(inventory, of: reply.machine, wantsProof: false)
    }

    /// The key that root of a machine's system has; the machine gets a system with the first question.
    func key(_ number: Int) async throws -> String { try await keys(number).instance }
    func seedKey(_ number: Int) async throws -> String { try await keys(number).seed }

    private func keys(_ number: Int) async throws -> InstallationKeys {
        if let known = keys.withLock({ $0[number] }) { return known }
        return try await install(number)
    }

    /// A system with new keys; the one before, and its keys, are gone.
    @discardableResult
    func install(_ number: Int) async throws -> InstallationKeys {
        let machine = try machine(number)
        let made = InstallationKeys.random(for: machine.id)
        keys.withLock { $0[number] = made }
        _ = try await control.edit(machine: machine.id.rawValue, expecting: nil, kind: "test", by: "test") { machine, _ in
            machine.installed = Installation(
                operation: Self.installation(number), generation: 1, image: "debian-12", digest: "", hostname: "web",
                diskSerial: nil, installedAt: Timestamp(milliseconds: 0))
            machine.installed?.keyVerifiers = made.verifiers
            return "installed"
        }
        return made
    }

    static func installation(_ number: Int) -> OperationID { OperationID(unchecked: "op-system\(number)") }

    func machine(_ number: Int) throws -> Machine { try #require(control.snapshot.machine(with: Self.mac(number))) }
    func incarnation(_ number: Int) throws -> String { "boot-" + (try #require(try machine(number).observed.agent?.boot)) }

    /// The first event of a kind; it is written a moment after the refusal.
    func event(_ kind: String) async throws -> Event {
        for try await change in try await control.records.watch(Event.self, after: .zero) {
            if case .put(let found) = change, found.value.kind == kind { return found.value }
        }
        throw Problem("no-event", title: "the watch ended")
    }
}

/// A client that says byte for byte what a test wants, from the address that it wants.
final class RawClient {
    struct Answer {
        var status = 0
        var headers = ""
        var body = ""
    }
    private let descriptor: CInt
    private var received = ""

    init(from source: String, port: Int) throws {
        descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        func address(_ text: String, _ port: Int) throws -> sockaddr_in {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = in_port_t(port).bigEndian
            address.sin_addr.s_addr = try #require(IPv4Address(text)).value.bigEndian
            return address
        }
        var patience = timeval(tv_sec: 5, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        var (here, there) = (try address(source, 0), try address("127.0.0.1", port))
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafePointer(to: &here) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, size) } }
        let connected = withUnsafePointer(to: &there) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, size) } }
        #expect(bound == 0 && connected == 0)
    }

    deinit { close(descriptor) }

    func get(_ path: String, _ fields: [String] = []) -> Answer { send("GET", path, fields) }
    func put(_ path: String, _ fields: [String] = []) -> Answer { send("PUT", path, fields) }

    func send(_ method: String, _ path: String, _ fields: [String] = []) -> Answer {
        begin(method, path, fields)
        return answer()
    }

    func begin(_ method: String, _ path: String, _ fields: [String] = []) {
        write((["\(method) \(path) HTTP/1.1", "Host: 169.254.169.254"] + fields).joined(separator: "\r\n") + "\r\n\r\n")
    }

    func raw(_ text: String) -> Answer {
        write(text)
        return answer()
    }

    func write(_ text: String) {
        let bytes = Array(text.utf8)
        _ = Glibc.send(descriptor, bytes, bytes.count, CInt(MSG_NOSIGNAL))
    }

    private func answer() -> Answer {
        let head = readUntil("\r\n\r\n")
        guard !head.isEmpty else { return Answer() }
        let length = head.split(separator: "\r\n").first { $0.hasPrefix("Content-Length: ") }.flatMap { Int($0.dropFirst(16)) } ?? 0
        while received.utf8.count < length, readMore() {}
        let body = String(received.prefix(length))
        received.removeFirst(min(length, received.count))
        return Answer(status: head.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0, headers: head, body: body)
    }

    /// Up to and with `mark`; empty where the server ends before it.
    func readUntil(_ mark: String) -> String {
        let wanted = Array(mark.utf8)
        while true {
            let bytes = Array(received.utf8)
            if bytes.count >= wanted.count {
                for index in 0...(bytes.count - wanted.count) where Array(bytes[index..<index + wanted.count]) == wanted {
                    received = String(decoding: bytes[(index + wanted.count)...], as: UTF8.self)
                    return String(decoding: bytes[..<(index + wanted.count)], as: UTF8.self)
                }
            }
            guard readMore() else { return "" }
        }
    }

    /// Whether the server ends the connection, and says no more before.
    func isAtEnd() -> Bool {
        var byte: UInt8 = 0
        return received.isEmpty && recv(descriptor, &byte, 1, 0) == 0
    }

    private func readMore() -> Bool {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        guard count > 0 else { return false }
        received += String(decoding: buffer[..<count], as: UTF8.self)
        return true
    }
}
