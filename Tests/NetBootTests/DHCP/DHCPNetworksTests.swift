import Testing
import Wire

@testable import NetBoot

@Suite("DHCP networks behind relays")
struct DHCPNetworksTests {
    private static let relay: IPv4Address = "10.88.0.1"
    private var networks: DHCPNetworks
    private let now: Int64 = 1_700_000_000_000

    private static func remote(_ prefix: String = "10.88.0.0/24") throws -> DHCPServerConfiguration {
        var configuration = DHCPServerConfiguration(serverAddress: TestNetwork.server, prefix: try #require(IPv4Prefix(prefix)))
        configuration.isRemote = true
        configuration.ranges = [.init(first: "10.88.0.50", last: "10.88.0.51")]
        configuration.router = relay
        configuration.mtu = 9000
        configuration.ntp = ["10.88.0.3"]
        configuration.classlessRoutes = [ClasslessRoute(destination: try #require(IPv4Prefix("10.0.0.0/8")), router: "10.88.0.2")]
        return configuration
    }

    init() throws {
        networks = try DHCPNetworks(local: TestNetwork.configuration(), remote: [Self.remote()])
    }

    private mutating func send(_ message: DHCPMessage, on context: ReceiveContext = ReceiveContext()) throws -> DHCPAction {
        let parsed = try DHCPMessage(parsing: message.serialize())
        return networks.receive(parsed, on: context, nowMilliseconds: now, boot: nil)
    }

    @Test("a relay's address chooses the network, and what its machines are told is that network's")
    mutating func giaddr() throws {
        var discover = DHCPMessage.discover(mac: mac(1), transactionID: 1)
        #expect(try send(discover).message?.yourAddress == "10.77.0.50")
        discover = .discover(mac: mac(2), transactionID: 2)
        discover.relayAddress = Self.relay
        let action = try send(discover)
        #expect(action.destination == .relay(Self.relay))
        let offer = try #require(action.message)
        #expect(offer.yourAddress == "10.88.0.50")
        #expect(offer.serverIdentifier == TestNetwork.server)
        #expect(offer.subnetMask == "255.255.255.0")
        #expect(offer.routers == [Self.relay])
        #expect(offer.options.uint16(.interfaceMTU) == 9000)
        #expect(offer.options[.ntpServers].map(Array.init) == [10, 88, 0, 3])
        // The default route stands in both: a client that takes option 121 ignores option 3.
        #expect(offer.classlessRoutes?.map(\.router) == ["10.88.0.2", Self.relay])

        var request = DHCPMessage.request(mac: mac(2), transactionID: 2, address: "10.88.0.50", server: TestNetwork.server)
        request.relayAddress = Self.relay
        let granted = try send(request)
        #expect(granted.lease?.address == "10.88.0.50")
        #expect(granted.destination == .relay(Self.relay))
    }

    @Test("link selection chooses the network where the relay's own address is on another")
    mutating func linkSelection() throws {
        var discover = DHCPMessage.discover(mac: mac(1), transactionID: 1)
        discover.relayAddress = "192.0.2.1"
        #expect(try send(discover) == .drop(.relayOfAnotherNetwork("192.0.2.1")))
        discover.options[.relayAgentInformation] = [5, 4, 10, 88, 0, 0]
        let action = try send(discover)
        #expect(action.message?.yourAddress == "10.88.0.50")
        #expect(action.destination == .relay("192.0.2.1"))
    }

    @Test("a client that renews comes without the relay, and its address chooses")
    mutating func renewal() throws {
        var request = DHCPMessage.request(mac: mac(2), transactionID: 2, address: "10.88.0.50", server: TestNetwork.server)
        request.relayAddress = Self.relay
        _ = try send(request)
        let renewed = try send(.renew(mac: mac(2), transactionID: 3, address: "10.88.0.50"))
        #expect(renewed.lease?.address == "10.88.0.50")
        #expect(renewed.destination == .unicast("10.88.0.50", port: 68))
        guard
            case .release(let lease) = try send(
                .release(mac: mac(2), transactionID: 4, address: "10.88.0.50", server: TestNetwork.server),
                on: ReceiveContext(source: "10.88.0.50", frame: .from(mac(77))))
        else {
            Issue.record("not released")
            return
        }
        #expect(lease.state == .released)
        #expect(try send(.renew(mac: mac(9), transactionID: 5, address: "10.99.0.9")) == .drop(.foreignAddress("10.99.0.9")))
    }

    @Test("without the relay a client goes on with its own lease, and gets no other")
    mutating func unrelayed() throws {
        var request = DHCPMessage.request(mac: mac(2), transactionID: 2, address: "10.88.0.50", server: TestNetwork.server)
        request.relayAddress = Self.relay
        _ = try send(request)
        #expect(try send(.renew(mac: mac(2), transactionID: 3, address: "10.88.0.50")).lease?.address == "10.88.0.50")
        // Somebody on the wire speaks for a machine that has its address from elsewhere.
        #expect(try send(.renew(mac: mac(9), transactionID: 4, address: "10.88.0.51")) == .drop(.notRelayed))
        #expect(try send(.renew(mac: mac(2), transactionID: 5, address: "10.88.0.51")) == .drop(.notRelayed))
        for var message in [
            DHCPMessage.discover(mac: mac(9), transactionID: 6),
            .request(mac: mac(9), transactionID: 7, address: "10.88.0.51", server: TestNetwork.server),
        ] {
            message.clientAddress = "10.88.0.51"
            #expect(try send(message) == .drop(.notRelayed))
        }
        var decline = DHCPMessage.decline(mac: mac(2), transactionID: 8, address: "10.88.0.50", server: TestNetwork.server)
        decline.clientAddress = "10.88.0.50"
        #expect(try send(decline) == .drop(.notRelayed))
    }

    @Test("an address of one network is not granted on another")
    mutating func strayed() throws {
        var request = DHCPMessage.reboot(mac: mac(1), transactionID: 1, address: "10.77.0.50")
        request.relayAddress = Self.relay
        let answer = try send(request)
        #expect(answer.isRefusal)
        #expect(answer.destination == .relay(Self.relay))
    }

    @Test("each network takes its own of the leases that were kept")
    func restored() throws {
        let leases = try ["10.77.0.51", "10.88.0.51"].map { text in
            DHCPLease(
                address: try #require(IPv4Address(text)), client: .mac(mac(text.count)), mac: mac(text.count), hostname: nil,
                grantedMilliseconds: now, expiresMilliseconds: now + 1000, state: .bound)
        }
        let restored = try DHCPNetworks(local: TestNetwork.configuration(), remote: [Self.remote()], leases: leases)
        #expect(Set(restored.leases.map(\.address)) == Set(leases.map(\.address)))
    }

    @Test("networks that overlap are refused, and so are too many routes")
    func configuration() throws {
        for prefix in ["10.77.0.0/25", "10.0.0.0/8", "10.77.0.0/24"] {
            var remote = try Self.remote(prefix)
            remote.ranges = []
            remote.router = nil
            #expect(throws: DHCPConfigurationError.self) {
                _ = try DHCPNetworks(local: TestNetwork.configuration(), remote: [remote])
            }
        }
        var remote = try Self.remote()
        remote.classlessRoutes = Array(repeating: remote.classlessRoutes[0], count: 29)
        #expect(throws: DHCPConfigurationError.tooManyRoutes) { try remote.validate() }
        // One that is not remote must hold its server.
        remote = try Self.remote()
        remote.isRemote = false
        #expect(throws: DHCPConfigurationError.outsideNetwork(TestNetwork.server)) { try remote.validate() }
    }
}
