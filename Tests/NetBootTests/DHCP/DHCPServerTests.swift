import Testing
import Wire

@testable import NetBoot

@Suite("DHCP server")
struct DHCPServerTests {
    let alice: MACAddress = "52:54:00:00:00:0a"
    let bob: MACAddress = "52:54:00:00:00:0b"

    @Test("DISCOVER, OFFER, REQUEST, and an ACK that waits for the durable lease")
    func fourWay() throws {
        var network = try TestNetwork()
        let discover = DHCPMessage.discover(mac: alice, transactionID: 0xcafe, hostname: "alice")
        let offered = try network.send(discover)
        let offer = try #require(offered.message)
        #expect(offered.lease == nil)
        #expect(offer.type == .offer && offer.isReply && offer.transactionID == 0xcafe)
        #expect(offer.yourAddress == "10.77.0.50")
        #expect(offered.destination == .hardware(alice, "10.77.0.50"))
        #expect(offer.serverIdentifier == TestNetwork.server)
        #expect(offer.leaseSeconds == 3_600 && offer.renewalSeconds == 1_800 && offer.rebindingSeconds == 3_150)
        #expect(offer.subnetMask == "255.255.255.0")
        #expect(offer.routers == ["10.77.0.1"] && offer.domainNameServers == ["10.77.0.1", "9.9.9.9"])

        let request = DHCPMessage.request(
            mac: alice, transactionID: 0xcafe, address: "10.77.0.50", server: TestNetwork.server, hostname: "alice")
        guard case .grant(let lease, let reply, let destination) = try network.send(request) else {
            Issue.record("no grant")
            return
        }
        #expect(reply.type == .acknowledge && reply.yourAddress == "10.77.0.50")
        #expect(destination == .hardware(alice, "10.77.0.50"))
        #expect(
            lease
                == DHCPLease(
                    address: "10.77.0.50", client: .mac(alice), mac: alice, hostname: "alice",
                    grantedMilliseconds: network.now, expiresMilliseconds: network.now + 3_600_000, state: .bound))
    }

    @Test("a client that cannot hear unicast is answered by broadcast")
    func broadcastFlag() throws {
        var network = try TestNetwork()
        var discover = DHCPMessage.discover(mac: alice, transactionID: 1)
        discover.wantsBroadcast = true
        #expect(try network.send(discover).destination == .broadcast)
    }

    @Test("who chooses another server gives our offer back without a word")
    func anotherServerChosen() throws {
        var network = try TestNetwork(TestNetwork.configuration("10.77.0.50", "10.77.0.50"))
        #expect(try network.discover(alice) == "10.77.0.50")
        #expect(try network.discover(bob) == nil)
        let request = DHCPMessage.request(mac: alice, transactionID: 1, address: "10.77.0.99", server: "10.77.0.2")
        #expect(try network.send(request) == .drop(.anotherServerChosen("10.77.0.2")))
        #expect(try network.discover(bob) == "10.77.0.50")
    }

    @Test("an offer nobody took is free again after its hold")
    func offerHold() throws {
        var network = try TestNetwork(TestNetwork.configuration("10.77.0.50", "10.77.0.50"))
        #expect(try network.discover(alice) == "10.77.0.50")
        network.pass(seconds: 29)
        #expect(try network.discover(bob) == nil)
        network.pass(seconds: 1)
        #expect(try network.discover(bob) == "10.77.0.50")
        #expect(try network.take(alice, "10.77.0.50") == nil)
    }

    @Test("INIT-REBOOT: its own address is granted, another's refused, another network's refused")
    func initReboot() throws {
        var network = try TestNetwork()
        #expect(try network.join(alice)?.address == "10.77.0.50")
        #expect(try network.send(.reboot(mac: alice, transactionID: 1, address: "10.77.0.50")).lease != nil)
        #expect(try network.send(.reboot(mac: alice, transactionID: 1, address: "10.77.0.51")).isRefusal)
        let wrong = try network.send(.reboot(mac: bob, transactionID: 1, address: "192.168.1.5"))
        #expect(wrong.isRefusal && wrong.destination == .broadcast)
        #expect(wrong.message?.yourAddress == .any && wrong.message?.leaseSeconds == nil)
    }

    @Test("INIT-REBOOT of a client we do not know gets silence")
    func initRebootUnknown() throws {
        var network = try TestNetwork()
        #expect(
            try network.send(.reboot(mac: bob, transactionID: 1, address: "10.77.0.55")) == .drop(.unknownClient))
    }

    @Test("renewing extends the lease and is answered to the client's address")
    func renewing() throws {
        var network = try TestNetwork()
        let first = try #require(try network.join(alice))
        network.pass(seconds: 1_800)
        let action = try network.send(.renew(mac: alice, transactionID: 9, address: first.address))
        #expect(action.lease?.expiresMilliseconds == first.expiresMilliseconds + 1_800_000)
        #expect(action.destination == .unicast(first.address, port: 68))
        #expect(action.message?.clientAddress == first.address)
    }

    @Test("a renewal that our restored records do not know is granted while the address is free")
    func renewingUnknown() throws {
        var network = try TestNetwork()
        #expect(try network.send(.renew(mac: alice, transactionID: 9, address: "10.77.0.55")).lease?.mac == alice)
        #expect(try network.send(.renew(mac: bob, transactionID: 9, address: "10.77.0.55")).isRefusal)
        #expect(
            try network.send(.renew(mac: bob, transactionID: 9, address: "10.77.0.200"))
                == .drop(.foreignAddress("10.77.0.200")))
    }

    @Test("INFORM is answered without a lease")
    func inform() throws {
        var network = try TestNetwork()
        let action = try network.send(.inform(mac: alice, transactionID: 1, address: "10.77.0.200"))
        #expect(action.destination == .unicast("10.77.0.200", port: 68))
        #expect(action.message?.type == .acknowledge && action.message?.leaseSeconds == nil)
        #expect(action.message?.yourAddress == .any && action.message?.routers == ["10.77.0.1"])
        #expect(
            try network.send(.inform(mac: alice, transactionID: 1, address: "10.78.0.200"))
                == .drop(.foreignAddress("10.78.0.200")))
    }

    @Test("a released address goes back to the same client, and only by its word")
    func release() throws {
        var network = try TestNetwork()
        let lease = try #require(try network.join(alice))
        let stolen = DHCPMessage.release(
            mac: bob, transactionID: 1, address: lease.address, server: TestNetwork.server)
        let there = ReceiveContext(source: lease.address)
        #expect(try network.send(stolen, on: there) == .drop(.notItsLease(lease.address)))
        network.pass(seconds: 5)
        let action = try network.send(
            .release(mac: alice, transactionID: 1, address: lease.address, server: TestNetwork.server), on: there)
        guard case .release(let released) = action else {
            Issue.record("not released: \(action)")
            return
        }
        #expect(released.state == .released && released.expiresMilliseconds == network.now)
        #expect(try network.join(bob)?.address == "10.77.0.51")
        #expect(try network.join(alice)?.address == lease.address)
    }

    @Test("a declined address is given to nobody until its quarantine is over")
    func decline() throws {
        var network = try TestNetwork(TestNetwork.configuration("10.77.0.50", "10.77.0.50"))
        let lease = try #require(try network.join(alice))
        let decline = DHCPMessage.decline(
            mac: alice, transactionID: 1, address: lease.address, server: TestNetwork.server)
        guard case .decline(let declined) = try network.send(decline) else {
            Issue.record("not declined")
            return
        }
        #expect(declined.state == .declined)
        #expect(try network.discover(alice) == nil)
        #expect(try network.send(decline) == .drop(.notItsLease(lease.address)))
        network.pass(seconds: 3_600)
        #expect(try network.discover(bob) == "10.77.0.50")
    }

    @Test("through a relay the answer goes to the relay, with its information last")
    func relay() throws {
        var network = try TestNetwork()
        var discover = DHCPMessage.discover(mac: alice, transactionID: 1, clientIdentifier: [0, 1, 2])
        discover.relayAddress = "10.77.0.254"
        discover.hops = 1
        discover.options[.relayAgentInformation] = [1, 2, 0x61, 0x62]
        let action = try network.send(discover, on: ReceiveContext(source: "10.77.0.254", sourcePort: 67))
        #expect(action.destination == .relay("10.77.0.254"))
        let offer = try #require(action.message)
        #expect(offer.options.codes.last == 82)
        #expect(offer.options[.relayAgentInformation].map(Array.init) == [1, 2, 0x61, 0x62])
        #expect(offer.options[.clientIdentifier].map(Array.init) == [0, 1, 2])
        #expect(offer.relayAddress == "10.77.0.254")

        var reboot = DHCPMessage.reboot(mac: alice, transactionID: 1, address: "192.168.0.9")
        reboot.relayAddress = "10.77.0.254"
        let refusal = try network.send(reboot)
        #expect(refusal.destination == .relay("10.77.0.254") && refusal.message?.wantsBroadcast == true)
    }

    @Test("a relay of another network is dropped, unless its link selection names ours")
    func relaySelection() throws {
        var network = try TestNetwork()
        var discover = DHCPMessage.discover(mac: alice, transactionID: 1)
        discover.relayAddress = "10.99.0.1"
        #expect(try network.send(discover) == .drop(.relayOfAnotherNetwork("10.99.0.1")))
        discover.options[.relayAgentInformation] = [5, 4, 10, 77, 0, 0]
        #expect(try network.send(discover).destination == .relay("10.99.0.1"))
        discover.relayAddress = .broadcast
        #expect(try network.send(discover) == .drop(.badRelayAddress(.broadcast)))
    }

    @Test("a reserved machine gets its address and name, whatever it calls itself")
    func reservation() throws {
        var configuration = TestNetwork.configuration("10.77.0.50", "10.77.0.51")
        configuration.reservations = [
            .init(mac: alice, address: "10.77.0.50"), .init(mac: bob, address: "10.77.0.7", hostname: "bob"),
        ]
        var network = try TestNetwork(configuration)
        #expect(try network.join(mac(3))?.address == "10.77.0.51")
        #expect(try network.discover(mac(4)) == nil)
        #expect(try network.discover(mac(4), requesting: "10.77.0.50") == nil)
        #expect(try network.join(alice)?.address == "10.77.0.50")
        #expect(try network.join(bob, id: [255, 1, 2, 3])?.address == "10.77.0.7")
        #expect(try network.join(bob)?.address == "10.77.0.7")
        let renewal = try network.send(.reboot(mac: bob, transactionID: 1, address: "10.77.0.7"))
        #expect(renewal.isRefusal == false)
        #expect(renewal.message?.hostname == "bob")
    }

    @Test("a client is moved to an address reserved for it later")
    func reservationLater() throws {
        var network = try TestNetwork()
        let old = try #require(try network.join(alice))
        var configuration = TestNetwork.configuration()
        configuration.reservations = [.init(mac: alice, address: "10.77.0.9")]
        network.machine = try network.machine.reconfigured(configuration)
        #expect(try network.send(.renew(mac: alice, transactionID: 1, address: old.address)).isRefusal)
        #expect(try network.join(alice)?.address == "10.77.0.9")
    }

    @Test("two identifiers on one network card are two clients")
    func clientIdentifiers() throws {
        var network = try TestNetwork()
        #expect(try network.join(alice)?.address == "10.77.0.50")
        #expect(try network.join(alice, id: [1] + alice.bytes)?.address == "10.77.0.50")
        #expect(try network.join(alice, id: [255, 9, 9])?.address == "10.77.0.51")
    }

    @Test("leases survive a restart; offers need not")
    func restart() throws {
        var network = try TestNetwork()
        let lease = try #require(try network.join(alice))
        #expect(try network.discover(bob) == "10.77.0.51")
        network.machine = try DHCPServer(TestNetwork.configuration(), leases: [lease])
        #expect(try network.take(bob, "10.77.0.51")?.address == "10.77.0.51")
        #expect(try network.take(bob, "10.77.0.50") == nil)
        #expect(try network.discover(alice) == lease.address)
    }

    @Test("only asked-for options are sent, and routes carry the default route too")
    func requestedOptions() throws {
        var configuration = TestNetwork.configuration()
        configuration.mtu = 9_000
        configuration.ntp = ["10.77.0.3"]
        configuration.classlessRoutes = [
            ClasslessRoute(destination: IPv4Prefix("10.0.0.0/8")!, router: "10.77.0.2")
        ]
        configuration.extraOptions = [
            .init(code: 224, value: [1]), .init(code: 225, value: [2], always: true), .init(code: 54, value: [0]),
        ]
        var network = try TestNetwork(configuration)
        var discover = DHCPMessage.discover(mac: alice, transactionID: 1)
        discover.options[.parameterRequestList] = [121, 26]
        let offer = try #require(try network.send(discover).message)
        #expect(offer.classlessRoutes?.last?.router == "10.77.0.1" && offer.classlessRoutes?.count == 2)
        #expect(offer.options[.interfaceMTU].map(Array.init) == [0x23, 0x28])
        #expect(offer.options[.ntpServers] == nil && offer.options[.domainName] == nil && offer.options[224] == nil)
        #expect(offer.options[225] == [2] && offer.serverIdentifier == TestNetwork.server)
        discover.options[.parameterRequestList] = nil
        #expect(try network.send(discover).message?.options[224] == [1])
    }

    @Test("a shorter lease is given to who asks for it, a longer one is not")
    func leaseTime() throws {
        var network = try TestNetwork()
        var discover = DHCPMessage.discover(mac: alice, transactionID: 1)
        for (asked, given) in [(600, 600), (1, 60), (0xffff_ffff, 3_600)] as [(UInt32, UInt32)] {
            discover.options[.leaseTime] = IPv4Address(value: asked).bytes[...]
            #expect(try network.send(discover).message?.leaseSeconds == given)
        }
    }

    @Test("another server's offer is reported")
    func foreignServer() throws {
        var network = try TestNetwork()
        var other = try TestNetwork(TestNetwork.configuration())
        var offer = try #require(try other.send(.discover(mac: alice, transactionID: 1)).message)
        #expect(try network.send(offer) == .drop(.ownReply))
        offer.options[.serverIdentifier] = [10, 77, 0, 2]
        #expect(try network.send(offer) == .foreignServer("10.77.0.2"))
    }

    @Test("what is no client's request is dropped with the reason")
    func drops() throws {
        var network = try TestNetwork()
        var message = DHCPMessage.discover(mac: alice, transactionID: 1)
        message.hops = 17
        #expect(try network.send(message) == .drop(.tooManyHops))
        message.hops = 0
        message.options[.messageType] = [2]
        #expect(try network.send(message) == .drop(.notARequest))
        message.options[.messageType] = [9]
        #expect(try network.send(message) == .drop(.notARequest))
        message.hardwareType = 32
        #expect(try network.send(message) == .drop(.notEthernet))
        #expect(try network.send(.discover(mac: .broadcast, transactionID: 1)) == .drop(.notEthernet))
        #expect(try network.send(.client(.request, mac: alice, transactionID: 1)) == .drop(.malformed))
    }

    @Test("a configuration that cannot be served says why")
    func configurationErrors() {
        func error(_ change: (inout DHCPServerConfiguration) -> Void) -> DHCPConfigurationError? {
            var configuration = TestNetwork.configuration()
            change(&configuration)
            do throws(DHCPConfigurationError) {
                try configuration.validate()
                return nil
            } catch { return error }
        }
        #expect(error { _ in } == nil)
        #expect(error { $0.serverAddress = "10.78.0.1" } == .outsideNetwork("10.78.0.1"))
        #expect(error { $0.leaseSeconds = 5 } == .leaseTooShort(seconds: 5))
        let backwards = DHCPServerConfiguration.Range(first: "10.77.0.9", last: "10.77.0.8")
        #expect(error { $0.ranges = [backwards] } == .emptyRange(backwards))
        let overlap = DHCPServerConfiguration.Range(first: "10.77.0.59", last: "10.77.0.70")
        #expect(error { $0.ranges.append(overlap) } == .overlappingRange(overlap))
        let reservation = DHCPServerConfiguration.Reservation(mac: alice, address: TestNetwork.server)
        #expect(error { $0.reservations = [reservation] } == .reservedTwice(reservation))
    }
}
