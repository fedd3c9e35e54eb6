import Control
import Logging
import Model
import NIOCore
import NIOPosix
import NetBoot
import Store
import Testing
import Wire

@testable import BootServices

@Suite(
    "The metadata service by IPv6", .serialized, .timeLimit(.minutes(1)),
    .enabled(if: TestWire.isPossible, "network namespaces need root and iproute2"))
struct MetadataIPv6Tests {
    private static let mac = MACAddress(value: 0x5254_0078_0016)

    /// A machine at the other end of a wire, which the record knows and has seen at 10.78.0.2, and the services that run for it.
    private func serving(
        _ change: (inout MetadataSettings) -> Void = { _ in }, before: (TestWire) throws -> Void = { _ in },
        _ body: (MachineServices, TestWire, MultiThreadedEventLoopGroup) async throws -> Void
    ) async throws {
        let (wire, store, folder) = (try TestWire(), MemoryStore(), try TemporaryFolder())
        // Addresses are good at once, and the machine takes them from advertisements.
        for space in [wire.server, wire.client] {
            try TestWire.ip("netns exec \(space) sysctl -qw net.ipv6.conf.wire0.accept_dad=0 net.ipv6.conf.wire0.accept_ra=1")
        }
        try TestWire.ip("-n \(wire.client) link set wire0 down")
        try TestWire.ip("-n \(wire.client) link set wire0 address \(Self.mac) up")
        try TestWire.waitForLink(wire.client, "wire0")
        try before(wire)
        let network = try DHCPServiceTests.network(wire) { change(&$0.metadata) }
        let control = try await openControl(store)
        let hello = HelloRequest(
            nonce: control.nonces.make(for: Self.mac, now: control.now), sessionKey: String(repeating: "a", count: 64), mac: Self.mac,
            macs: [Self.mac], uuid: nil, serial: nil, firmware: .bios, version: "test")
        let services = MachineServices(
            network: network, control: control, store: store, files: BootFilePaths(boot: folder.path, blobs: folder.path),
            logger: Logger(label: "test"))
        let group = try await NamespaceThreads.group(namespace: wire.client, threads: 1)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await control.run() }
            _ = try await control.hello(hello, from: Sender(mac: Self.mac, address: address("10.78.0.2")), wantsProof: false)
            tasks.addTask { try await services.run() }
            try await body(services, wire, group)
            tasks.cancelAll()
        }
        try await group.shutdownGracefully()
    }

    private func client(_ host: String, _ group: any EventLoopGroup) async -> HTTPTestClient? {
        guard let address = try? SocketAddress(ipAddress: host, port: 80) else { return nil }
        var client: HTTPTestClient?
        _ = await eventually {
            client = try? await HTTPTestClient(to: address, on: group)
            return client != nil
        }
        return client
    }

    /// The head that a client writes, with the name by which it calls the service.
    private func ask(_ client: HTTPTestClient, _ method: String, _ path: String, host: String, _ field: String) async throws -> HTTPTestClient.Reply?
    {
        try await client.send("\(method) \(path) HTTP/1.1\r\nHost: \(host)\r\n\(field)\r\n\r\n")
        return await client.receive()
    }

    @Test("says what it says by IPv4, with the same token, to a machine that asked its link for a router")
    func dialects() async throws {
        try await serving { services, wire, group in
            // Its way by IPv4 it has by DHCP; here it is given one.
            try TestWire.ip("-n \(wire.client) route add 169.254.169.254 dev wire0")
            let first = try #require(await client("169.254.169.254", group))
            await first.close()
            // It asks for a router when its link comes up: now that somebody is there who answers.
            for state in ["down", "up"] { try TestWire.ip("-n \(wire.client) link set wire0 \(state)") }
            try TestWire.waitForLink(wire.client, "wire0")
            try TestWire.ip("-n \(wire.client) route add 169.254.169.254 dev wire0")
            let host = "[fd00:ec2::254]"
            let six = try #require(await client("fd00:ec2::254", group))
            let token = try #require(
                try await ask(six, "PUT", "/latest/api/token", host: host, "X-aws-ec2-metadata-token-ttl-seconds: 60"))
            #expect(token.status == 200)
            let field = "X-aws-ec2-metadata-token: \(token.text)"
            #expect(try await ask(six, "GET", "/latest/meta-data/local-ipv4", host: host, field)?.text == "10.78.0.2")
            #expect(try await ask(six, "GET", "/latest/meta-data/mac", host: host, field)?.text == Self.mac.description)
            #expect(try await ask(six, "GET", "/latest/user-data", host: host, field)?.status == 403)
            #expect(try await ask(six, "GET", "/latest/meta-data/mac", host: host, "X-Other: none")?.status == 401)
            #expect(try await ask(six, "GET", "/latest/meta-data/mac", host: "[fd00:ec2::1]", field)?.status == 403)
            await six.close()
            #expect(services.counters["ipv6"]?["told-prefix"] ?? 0 > 0)
            // It is the same machine by IPv4, so the token is good.
            let four = try #require(await client("169.254.169.254", group))
            #expect(try await ask(four, "GET", "/latest/meta-data/mac", host: "169.254.169.254", field)?.text == Self.mac.description)
            await four.close()
        }
    }

    @Test("tells a stranger with an address of its own nothing")
    func strangers() async throws {
        try await serving(
            { $0.advertise = false },
            before: { wire in
                try TestWire.ip("-n \(wire.client) link set wire0 down")
                try TestWire.ip("-n \(wire.client) link set wire0 address 52:54:00:78:00:17 up")
                try TestWire.waitForLink(wire.client, "wire0")
                try TestWire.ip("-n \(wire.client) address add fd00:ec2::17/64 dev wire0 nodad")
            }
        ) { services, _, group in
            let six = try #require(await client("fd00:ec2::254", group))
            let answer = try await ask(six, "PUT", "/latest/api/token", host: "[fd00:ec2::254]", "X-aws-ec2-metadata-token-ttl-seconds: 60")
            #expect(answer?.status == 403)
            #expect(services.counters["metadata"]?["refused-stranger"] == 1)
            await six.close()
        }
    }

    @Test("serves by IPv4 alone where the interface has no IPv6")
    func without() async throws {
        try await serving(before: { try TestWire.ip("netns exec \($0.server) sysctl -qw net.ipv6.conf.wire0.disable_ipv6=1") }) { _, wire, group in
            try TestWire.ip("-n \(wire.client) route add 169.254.169.254 dev wire0")
            let four = try #require(await client("169.254.169.254", group))
            let answer = try await ask(four, "PUT", "/latest/api/token", host: "169.254.169.254", "X-aws-ec2-metadata-token-ttl-seconds: 60")
            #expect(answer?.status == 200)
            await four.close()
        }
    }
}
