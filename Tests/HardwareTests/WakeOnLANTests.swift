import Model
import NIOCore
import NIOPosix
import Testing
import Wire

@testable import Hardware

@Suite("Wake-on-LAN") struct WakeOnLANTests {
    private static let mac = MACAddress(value: 0x0204_0608_0a0c)

    @Test("the magic packet is six bytes of ones and the address sixteen times") func packet() {
        let bytes = MagicPacket.bytes(for: Self.mac)
        #expect(bytes.count == 102)
        #expect(bytes.prefix(6).allSatisfy { $0 == 0xff })
        for index in 0..<16 { #expect(Array(bytes[(6 + index * 6)..<(12 + index * 6)]) == [2, 4, 6, 8, 10, 12]) }
    }

    @Test("it is seen on the wire, three times", .timeLimit(.minutes(1))) func sent() async throws {
        let receiver = try await DatagramBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(host: "127.0.0.1", port: 0) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<AddressedEnvelope<ByteBuffer>, Never>(wrappingChannelSynchronously: channel)
                }
            }
        let port = receiver.channel.localAddress?.port ?? 0
        try await receiver.executeThenClose { inbound in
            let power = try WakeOnLAN(mac: Self.mac, options: ["broadcast": "127.0.0.1:\(port)"])
            try await power.request(.on)
            var packets = inbound.makeAsyncIterator()
            for _ in 0..<3 {
                let packet = try #require(try await packets.next())
                #expect(Array(packet.data.readableBytesView) == MagicPacket.bytes(for: Self.mac))
            }
        }
    }

    @Test("it can wake and nothing else") func limits() async throws {
        let power = try WakeOnLAN(mac: Self.mac, options: ["broadcast": "127.0.0.1:9"])
        for request in [PowerRequest.off, .shutdown, .restart] {
            #expect(await problem { try await power.request(request) }?.code == "bmc-unsupported")
        }
        #expect(try await power.readPower().state == .unknown)
    }

    @Test("a port that answers or refuses is a machine that is on") func probe() async throws {
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton).bind(host: "127.0.0.1", port: 0).get()
        let port = listener.localAddress?.port ?? 0
        let power = try WakeOnLAN(mac: Self.mac, options: ["probe": "127.0.0.1:\(port)"])
        #expect(try await power.readPower().state == .on)
        try await listener.close()
        #expect(try await power.readPower().state == .on)
    }

    @Test(
        "options that it does not have are refused",
        arguments: [
            ["broadcast": "everywhere"], ["broadcast": "10.0.0.255:0"], ["broadcast": "10.0.0.255:9:9"], ["probe": "host"], ["probe": "host:70000"],
            ["color": "red"],
        ]) func options(_ options: [String: String])
    {
        #expect(throws: Problem.self) { try WakeOnLAN(mac: Self.mac, options: options) }
    }
}

@Suite("SNMP outlets") struct SNMPOutletTests {
    @Test("known PDUs are known by outlet, others by their object") func outlets() throws {
        let apc = try SNMPPower.Outlet(["outlet": "3"])
        #expect(apc.oid == "1.3.6.1.4.1.318.1.1.4.4.2.1.3.3" && apc.on == 1 && apc.off == 2)
        let raritan = try SNMPPower.Outlet(["outlet": "12", "model": "raritan"])
        #expect(raritan.oid.hasSuffix(".1.12") && raritan.off == 0)
        let own = try SNMPPower.Outlet(["oid": "1.3.6.1.4.1.99999.1.2", "on": "5", "off": "6"])
        #expect(own.state("5\n") == .on && own.state(" 6 ") == .off && own.state("7") == .unknown && own.state("No Such Object") == .unknown)
    }

    @Test(
        "an outlet that is not described is refused",
        arguments: [
            [:], ["outlet": "0"], ["outlet": "x"], ["outlet": "1", "model": "toaster"], ["oid": "1.3"], ["oid": "1.3.6.1; id", "on": "1"],
            ["oid": "1.3.6.1.4", "on": "yes"],
        ]) func refused(_ options: [String: String])
    {
        #expect(throws: Problem.self) { try SNMPPower.Outlet(options) }
    }

    @Test("nothing that a tool could take for an option or a second line comes to it") func injection() {
        for (host, community) in [("-v1", "public"), ("pdu", "two\nlines"), ("pdu", "a\"b"), ("pdu", "with space")] {
            #expect(throws: Problem.self) { try SNMPPower(host: host, community: community, options: ["outlet": "1"]) }
        }
    }
}
