import Synchronization
import Testing
import Wire

@testable import NetBoot

/// What a host that makes up MAC addresses by the thousand can take of a pool, and what is left for known machines.
@Suite("Shares of a lease pool")
struct PoolSharesTests {
    /// MAC addresses 0 to 99 are known machines'.
    private static func network(
        _ first: IPv4Address = "10.77.0.50", _ last: IPv4Address = "10.77.0.89", leases: [DHCPLease] = [],
        isKnown: @escaping @Sendable (MACAddress) -> Bool = { $0.value & 0xffff_ffff < 100 },
        change: (inout DHCPServerConfiguration) -> Void = { _ in }
    ) throws -> TestNetwork {
        var configuration = TestNetwork.configuration(first, last)
        change(&configuration)
        var network = try TestNetwork(configuration)
        network.machine = try DHCPServer(configuration, leases: leases, isKnown: isKnown)
        return network
    }

    private func decline(_ network: inout TestNetwork, _ mac: MACAddress, _ address: IPv4Address) throws -> DHCPAction {
        try network.send(.decline(mac: mac, transactionID: network.transaction(), address: address, server: TestNetwork.server))
    }

    @Test("offers to made-up MAC addresses leave a quarter of the pool to known machines, and the oldest of them are used again")
    func cyclingOffers() throws {
        var network = try Self.network()
        for number in 0..<5_000 { #expect(try network.discover(mac(1_000 + number)) != nil) }
        for number in 0..<10 { #expect(try network.join(mac(number)) != nil, "machine \(number)") }
        // One more than is reserved takes the address of an offer that nobody requested.
        #expect(try network.join(mac(10)) != nil)
        #expect(network.machine.pool.leases.count == 40)
    }

    @Test("leases of made-up MAC addresses are short, and their share is refused to more of them but not to known machines")
    func cyclingLeases() throws {
        var network = try Self.network()
        for number in 0..<30 {
            let lease = try #require(try network.join(mac(1_000 + number)))
            #expect(lease.expiresMilliseconds == network.now + 300_000)
        }
        #expect(try network.send(.discover(mac: mac(2_000), transactionID: 1)) == .drop(.unknownShareUsed))
        #expect(
            try network.send(.renew(mac: mac(2_000), transactionID: 2, address: "10.77.0.85")) == .drop(.unknownShareUsed))
        // Who has an address goes on with it.
        #expect(try network.send(.renew(mac: mac(1_000), transactionID: 3, address: "10.77.0.50")).lease != nil)
        for number in 0..<10 {
            let lease = try #require(try network.join(mac(number)))
            #expect(lease.expiresMilliseconds == network.now + 3_600_000)
        }
        network.pass(seconds: 301)
        #expect(try network.join(mac(2_000)) != nil)
    }

    @Test("an honest newcomer that requests its offer gets it, though a flood was offered the same address since")
    func newcomer() throws {
        var network = try Self.network()
        let offered = try #require(try network.discover(mac(5_000)))
        for number in 0..<200 { _ = try network.discover(mac(1_000 + number)) }
        #expect(try network.take(mac(5_000), offered)?.address == offered)
        // What was granted nobody takes like that.
        #expect(try network.take(mac(5_001), offered) == nil)
    }

    @Test("a machine that becomes known makes room in the share of those that are not")
    func becomesKnown() throws {
        final class Box: Sendable { let macs = Mutex<Set<MACAddress>>([]) }
        let box = Box()
        var network = try Self.network(isKnown: { mac in box.macs.withLock { $0.contains(mac) } })
        for number in 0..<30 { #expect(try network.join(mac(1_000 + number)) != nil) }
        #expect(try network.discover(mac(2_000)) == nil)
        network.pass(seconds: 2)
        box.macs.withLock { $0 = [mac(1_000), mac(1_001)] }
        #expect(try network.join(mac(2_000)) != nil)
        #expect(try network.join(mac(2_001)) != nil)
        #expect(try network.discover(mac(2_002)) == nil)
        let renewed = try network.send(.renew(mac: mac(1_000), transactionID: 1, address: "10.77.0.50")).lease
        #expect(renewed?.expiresMilliseconds == network.now + 3_600_000)
    }

    @Test("an unknown client asks in vain for the address that a known machine had, as long as there are others")
    func knownAddress() throws {
        var network = try Self.network()
        let own = try #require(try network.join(mac(1))).address
        network.pass(seconds: 100_000)
        #expect(try network.discover(mac(1_000), requesting: own) != own)
        #expect(try network.take(mac(1_001), own) == nil)
        #expect(try network.join(mac(1))?.address == own)
    }

    @Test("a client that declines every offer is believed three times in an hour")
    func declines() throws {
        var network = try Self.network()
        var quarantined = 0
        for _ in 0..<200 {
            let offered = try #require(try network.discover(mac(1_000)))
            switch try decline(&network, mac(1_000), offered) {
            case .decline: quarantined += 1
            case .declineRefused(let address): #expect(address == offered)
            case let other: Issue.record("\(other)")
            }
        }
        #expect(quarantined == 3)
        #expect(network.machine.pool.leases.count { $0.state == .declined } == 3)
        network.pass(seconds: 3_601)
        let offered = try #require(try network.discover(mac(1_000)))
        guard case .decline = try decline(&network, mac(1_000), offered) else {
            Issue.record("not believed after an hour")
            return
        }
    }

    @Test("declines of made-up MAC addresses take a quarter of the pool at most, and the oldest is given back first")
    func decliningCrowd() throws {
        var network = try Self.network()
        var first: IPv4Address?
        for number in 0..<500 {
            let offered = try #require(try network.discover(mac(1_000 + number)))
            first = first ?? offered
            guard case .decline = try decline(&network, mac(1_000 + number), offered) else {
                Issue.record("not declined")
                return
            }
            network.pass(seconds: 1)
            let declined = network.machine.pool.leases.filter { $0.state == .declined }
            #expect(declined.count <= 10)
            if number >= 10 { #expect(network.machine.takeForgotten().count == 1) }
        }
        #expect(first != nil)
        for number in 0..<10 { #expect(try network.join(mac(number)) != nil) }
        #expect(try network.join(mac(9_000)) != nil, "a stranger that is honest")
    }

    @Test("what is kept of quarantines is within its share after a restart too")
    func restart() throws {
        let declined = (0..<40).map { number in
            DHCPLease(
                address: IPv4Address(value: 0x0a4d_0032 + UInt32(number)), client: .mac(mac(1_000 + number)), mac: mac(1_000 + number),
                grantedMilliseconds: 0, expiresMilliseconds: 1_700_003_000_000 + Int64(number), state: .declined)
        }
        var network = try Self.network(leases: declined)
        #expect(network.machine.pool.leases.count == 10)
        #expect(network.machine.takeForgotten().count == 30)
        #expect(network.machine.takeForgotten().isEmpty)
    }

    @Test("an address is not declined by whoever was granted it long ago, nor from an address, nor by another's frame")
    func otherDeclines() throws {
        var network = try Self.network()
        let address = try #require(try network.join(mac(1))).address
        let message = DHCPMessage.decline(mac: mac(1), transactionID: 1, address: address, server: TestNetwork.server)
        #expect(try network.send(message, on: ReceiveContext(source: "10.77.0.9")) == .drop(.foreignSender("10.77.0.9")))
        #expect(try network.send(message, on: ReceiveContext(frame: .from(mac(2)))) == .drop(.foreignSender(.any)))
        #expect(try network.send(message, on: ReceiveContext(frame: .missing)) == .drop(.foreignSender(.any)))
        network.pass(seconds: 301)
        #expect(try network.send(message, on: ReceiveContext(frame: .from(mac(1)))) == .drop(.lateDecline(address)))
        #expect(network.machine.pool.lease(at: address)?.state == .bound)
    }

    @Test("a release counts only from the address, by the frame and with the MAC address of the lease")
    func foreignRelease() throws {
        var network = try Self.network()
        let address = try #require(try network.join(mac(1))).address
        func release(_ sender: MACAddress, _ context: ReceiveContext) throws -> DHCPAction {
            try network.send(.release(mac: sender, transactionID: 1, address: address, server: TestNetwork.server), on: context)
        }
        #expect(try release(mac(1), ReceiveContext(source: "10.77.0.9", frame: .from(mac(2)))) == .drop(.foreignSender("10.77.0.9")))
        #expect(try release(mac(1), ReceiveContext(source: address, frame: .from(mac(2)))) == .drop(.foreignSender(address)))
        #expect(try release(mac(1), ReceiveContext(source: address, frame: .missing)) == .drop(.foreignSender(address)))
        #expect(try release(mac(2), ReceiveContext(source: address, frame: .from(mac(2)))) == .drop(.notItsLease(address)))
        #expect(network.machine.pool.lease(at: address)?.state == .bound)
        guard case .release = try release(mac(1), ReceiveContext(source: address, frame: .from(mac(1)))) else {
            Issue.record("not released")
            return
        }
    }

    @Test("a known machine's address that was released in its name goes to nobody else for as long as its lease was")
    func released() throws {
        var network = try Self.network("10.77.0.50", "10.77.0.51")
        let address = try #require(try network.join(mac(1))).address
        #expect(try network.join(mac(2)) != nil)
        let release = DHCPMessage.release(mac: mac(1), transactionID: 1, address: address, server: TestNetwork.server)
        guard case .release(let lease) = try network.send(release, on: ReceiveContext(source: address)) else {
            Issue.record("not released")
            return
        }
        #expect(lease.keptUntilMilliseconds == network.now + 3_600_000)
        network.pass(seconds: 3_000)
        #expect(try network.discover(mac(3)) == nil)
        #expect(try network.join(mac(1))?.address == address)
        // Kept over a restart as well.
        var restarted = try Self.network("10.77.0.50", "10.77.0.50", leases: [lease])
        #expect(try restarted.discover(mac(3)) == nil)
        #expect(try restarted.join(mac(1))?.address == address)
    }

    @Test("of leases of unknown clients that ran out only so many are remembered, and the others deleted")
    func forgotten() throws {
        var network = try Self.network(change: { $0.rememberedUnknown = 4 })
        var deleted: Set<IPv4Address> = []
        for number in 0..<20 {
            #expect(try network.join(mac(1_000 + number)) != nil)
            network.pass(seconds: 400)
            deleted.formUnion(network.machine.takeForgotten())
        }
        #expect(deleted.count == 16)
        #expect(network.machine.pool.leases.count == 4)
    }

    @Test("random events of known and unknown clients keep the shares, and give one address to one client")
    func randomEvents() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var random = SeededGenerator(seed: seed)
        var network = try Self.network("10.77.0.50", "10.77.0.65")
        var holders: [IPv4Address: (client: MACAddress, until: Int64)] = [:]
        for _ in 0..<20_000 {
            let client = Bool.random(using: &random) ? mac(Int.random(in: 0..<4, using: &random)) : mac(Int.random(in: 100..<400, using: &random))
            var lease: DHCPLease?
            switch Int.random(in: 0..<8, using: &random) {
            case 0...2: lease = try network.join(client)
            case 3: _ = try network.discover(client)
            case 4:
                if let offered = try network.discover(client) {
                    let action = try decline(&network, client, offered)
                    switch action {
                    case .decline(let lease): holders[offered] = (.broadcast, lease.expiresMilliseconds)
                    case .declineRefused: holders[offered] = nil
                    // It was granted it long ago.
                    case .drop(.lateDecline): break
                    default: Issue.record("\(action), seed \(seed)")
                    }
                }
            case 5:
                let address = IPv4Address(value: 0x0a4d_0032 + UInt32.random(in: 0..<16, using: &random))
                lease = try network.send(.renew(mac: client, transactionID: 1, address: address)).lease
            default: network.pass(seconds: .random(in: 0...120, using: &random))
            }
            for address in network.machine.takeForgotten() where holders[address]?.client != client { holders[address] = nil }
            if let lease {
                if let holder = holders[lease.address], holder.until > network.now { #expect(holder.client == client, "seed \(seed)") }
                holders[lease.address] = (client, lease.expiresMilliseconds)
            }
            let now = network.now
            let held = network.machine.pool.leases.filter { $0.expiresMilliseconds > now && $0.mac.value & 0xffff_ffff >= 100 }
            #expect(held.count <= 12, "seed \(seed)")
            #expect(held.count { $0.state == .declined } <= 4, "seed \(seed)")
        }
        // Once quarantines by the word of known machines are over, what is kept free for them is there whatever others hold.
        network.pass(seconds: 3_601)
        for number in 1_000..<1_100 { _ = try network.join(mac(number)) }
        for number in 0..<4 { #expect(try network.join(mac(number)) != nil, "seed \(seed)") }
    }
}
