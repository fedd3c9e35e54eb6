import Testing
import Wire

@testable import NetBoot

@Suite("Lease pool")
struct LeasePoolTests {
    @Test("when every address is held there is no offer, and the oldest expired lease goes first")
    func exhaustion() throws {
        var network = try TestNetwork(TestNetwork.configuration("10.77.0.50", "10.77.0.52"))
        for number in 0..<3 {
            #expect(try network.join(mac(number)) != nil)
            network.pass(seconds: 10)
        }
        #expect(try network.send(.discover(mac: mac(9), transactionID: 1)) == .drop(.exhausted))
        // The first renews, so the second is the oldest.
        #expect(try network.send(.renew(mac: mac(0), transactionID: 1, address: "10.77.0.50")).lease != nil)
        network.pass(seconds: 3_585)
        #expect(try network.discover(mac(9)) == "10.77.0.51")
        #expect(try network.discover(mac(8)) == nil)
        network.pass(seconds: 10)
        #expect(try network.discover(mac(8)) == "10.77.0.52")
        // Its address was given away.
        let reboot = DHCPMessage.reboot(mac: mac(1), transactionID: 1, address: "10.77.0.51")
        #expect(try network.send(reboot) == .drop(.unknownClient))
    }

    @Test("a client comes back to its address after its lease ran out")
    func sticky() throws {
        var network = try TestNetwork()
        #expect(try network.join(mac(1))?.address == "10.77.0.50")
        network.pass(seconds: 100_000)
        #expect(try network.join(mac(2))?.address == "10.77.0.51")
        #expect(try network.join(mac(1))?.address == "10.77.0.50")
    }

    @Test("an offer storm destroys nobody's expired lease")
    func offerStorm() throws {
        var network = try TestNetwork()
        #expect(try network.join(mac(1))?.address == "10.77.0.50")
        network.pass(seconds: 100_000)
        for round in 0..<20 {
            for number in 0..<9 { #expect(try network.discover(mac(1_000 + round * 9 + number)) != nil) }
            network.pass(seconds: 31)
        }
        #expect(try network.discover(mac(1)) == "10.77.0.50")
    }

    @Test("the address asked for is given when it is free")
    func requested() throws {
        var network = try TestNetwork()
        #expect(try network.discover(mac(1), requesting: "10.77.0.55") == "10.77.0.55")
        #expect(try network.discover(mac(2), requesting: "10.77.0.55") == "10.77.0.50")
        #expect(try network.discover(mac(3), requesting: "10.99.0.1") == "10.77.0.51")
    }

    @Test("network, broadcast, router and server addresses are never given out")
    func unusable() throws {
        var network = try TestNetwork(TestNetwork.configuration("10.77.0.0", "10.77.0.255"))
        var given: Set<IPv4Address> = []
        while let lease = try network.join(mac(given.count)) { given.insert(lease.address) }
        #expect(given.count == 253)
        #expect(given.isDisjoint(with: ["10.77.0.0", "10.77.0.1", "10.77.0.255"]))
        #expect(try network.discover(mac(999), requesting: "10.77.0.1") == nil)
    }

    @Test("of two durable leases for one address or client the later counts")
    func loadConflicts() throws {
        func lease(_ address: IPv4Address, _ number: Int, at granted: Int64) -> DHCPLease {
            DHCPLease(
                address: address, client: .mac(mac(number)), mac: mac(number), grantedMilliseconds: granted,
                expiresMilliseconds: granted + 1_000_000, state: .bound)
        }
        for leases in [
            [lease("10.77.0.50", 1, at: 1), lease("10.77.0.50", 2, at: 2), lease("10.77.0.51", 2, at: 1)],
            [lease("10.77.0.51", 2, at: 1), lease("10.77.0.50", 2, at: 2), lease("10.77.0.50", 1, at: 1)],
        ] {
            let pool = LeasePool(TestNetwork.configuration(), leases: leases + [lease("10.1.1.1", 3, at: 5)])
            #expect(pool.lease(at: "10.77.0.50")?.mac == mac(2))
            #expect(pool.lease(of: .mac(mac(2)))?.address == "10.77.0.50")
            #expect(pool.lease(of: .mac(mac(1))) == nil)
            #expect(pool.lease(of: .mac(mac(3))) == nil)
        }
    }

    @Test("random events never give one address to two clients")
    func randomEvents() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var random = SeededGenerator(seed: seed)
        var configuration = TestNetwork.configuration("10.77.0.50", "10.77.0.57")
        configuration.reservations = [
            .init(mac: mac(0), address: "10.77.0.52"), .init(mac: mac(1), address: "10.77.0.99"),
        ]
        configuration.leaseSeconds = 120
        configuration.declineSeconds = 90
        configuration.declinesPerHour = .max
        configuration.declinedPercent = 100
        var network = try TestNetwork(configuration)
        /// Who may use an address, and until when.
        var holders: [IPv4Address: (client: Int, until: Int64)] = [:]
        for _ in 0..<20_000 {
            let client = Int.random(in: 0..<14, using: &random)
            let held = holders.first { $0.value.client == client && $0.value.until > network.now }?.key
            var lease: DHCPLease?
            switch Int.random(in: 0..<10, using: &random) {
            case 0...3: lease = try network.join(mac(client))
            case 4: _ = try network.discover(mac(client))
            case 5:
                if let held {
                    lease = try network.send(.renew(mac: mac(client), transactionID: 1, address: held)).lease
                }
            case 6:
                if let held {
                    holders[held] = nil
                    let release = DHCPMessage.release(
                        mac: mac(client), transactionID: 1, address: held, server: TestNetwork.server)
                    _ = try network.send(release, on: ReceiveContext(source: held))
                }
            case 7:
                if let held, Bool.random(using: &random) {
                    holders[held] = (-1, network.now + 90_000)
                    let decline = DHCPMessage.decline(
                        mac: mac(client), transactionID: 1, address: held, server: TestNetwork.server)
                    guard case .decline = try network.send(decline) else {
                        Issue.record("not declined, seed \(seed)")
                        return
                    }
                }
            case 8:
                if let held {
                    lease = try network.send(.reboot(mac: mac(client), transactionID: 1, address: held)).lease
                }
            default: network.pass(seconds: .random(in: 0...60, using: &random))
            }
            if let lease {
                if let holder = holders[lease.address], holder.until > network.now {
                    #expect(holder.client == client, "seed \(seed)")
                }
                if client > 1 {
                    #expect(lease.address != "10.77.0.52" && lease.address != "10.77.0.99", "seed \(seed)")
                }
                holders[lease.address] = (client, lease.expiresMilliseconds)
            }
        }
    }

    @Test("a /16 fills up without slowing down")
    func bigPool() throws {
        var configuration = DHCPServerConfiguration(serverAddress: "10.1.0.1", prefix: IPv4Prefix("10.1.0.0/16")!)
        configuration.ranges = [.init(first: "10.1.0.0", last: "10.1.255.255")]
        var pool = LeasePool(configuration)
        var given = 0
        for number in 0..<65_534 {
            let key = DHCPClientKey.mac(mac(number))
            guard
                case .address(let address) = pool.offer(
                    to: key, mac: mac(number), requested: nil, nowMilliseconds: Int64(number)),
                case .granted = pool.grant(
                    address, to: key, mac: mac(number), hostname: nil, durationMilliseconds: 3_600_000,
                    nowMilliseconds: Int64(number))
            else { break }
            given += 1
        }
        #expect(given == 65_533)
        let last = pool.offer(to: .mac(mac(70_000)), mac: mac(70_000), requested: nil, nowMilliseconds: 65_534)
        #expect(last == .exhausted)
    }

    @Test("a deadline heap gives deadlines in order, whatever was moved or taken out")
    func heap() {
        var random = SeededGenerator(seed: 7)
        var heap = DeadlineHeap()
        var model: [Int: Int64] = [:]
        for _ in 0..<5_000 {
            let record = Int.random(in: 0..<200, using: &random)
            if Int.random(in: 0..<3, using: &random) == 0 {
                heap.remove(record)
                model[record] = nil
            } else {
                let deadline = Int64.random(in: 0..<1_000, using: &random)
                heap.set(record, deadline: deadline)
                model[record] = deadline
            }
            #expect(heap.count == model.count && heap.first?.deadline == model.values.min())
        }
    }

    @Test("client keys read back from their text")
    func clientKeys() {
        for key in [DHCPClientKey.mac(mac(5)), .identifier([255, 0, 1])] {
            #expect(DHCPClientKey(key.description) == key)
        }
        #expect(DHCPClientKey("id:") == nil && DHCPClientKey("id:zz") == nil && DHCPClientKey("") == nil)
    }
}
