import CLinux
import Control
import Logging
import NIOCore
import NIOPosix
import NetBoot
import Testing
import Wire

@testable import BootServices

@Suite("No wait for an IPv6 router that is not there")
struct RouterSilenceTests {
    let clock = ManualClock()
    let mac = MACAddress(value: 0x5254_0077_8cf0)

    private func silence(advertisement: [UInt8]? = nil) async throws -> (RouterSilence, ControlPlane) {
        let control = try await openControl(clock: clock)
        let logger = Logger(label: "test")
        return (RouterSilence(interface: "wire0", control: control, advertisement: advertisement, logger: logger), control)
    }

    private func solicitation(_ mac: MACAddress) -> [UInt8] { [133, 0, 0, 0, 0, 0, 0, 0, 1, 1] + mac.bytes }
    private let linkLocal = try? SocketAddress(ipAddress: "fe80::5054:ff:fe77:8cf0", port: 0)

    @Test("only who has just asked for something to boot is answered")
    func booting() async throws {
        let (silence, control) = try await silence()
        let asker = try #require(linkLocal)
        #expect(silence.answer(to: solicitation(mac), from: asker) == nil)
        control.bootTraces.note(.firmware, of: mac, at: clock.now)
        #expect(silence.answer(to: solicitation(mac), from: asker) != nil)
        #expect(silence.answer(to: solicitation(MACAddress(value: 0x5254_0000_0001)), from: asker) == nil)
        clock.advance(.seconds(31))
        #expect(silence.answer(to: solicitation(mac), from: asker) == nil)
        #expect(silence.counters["asked"] == 4)
        #expect(silence.counters["answered"] == 1)
    }

    @Test("a system that has come up is left alone")
    func system() async throws {
        let (silence, control) = try await silence()
        for mark in [BootTrace.Mark.firmware, .script, .system] { control.bootTraces.note(mark, of: mac, at: clock.now) }
        #expect(silence.answer(to: solicitation(mac), from: try #require(linkLocal)) == nil)
    }

    @Test("a system that is up seconds after the boot script is told the prefix, beside a router too; its firmware never is")
    func quickSystem() async throws {
        let prefix = RouterDiscovery.onLink(try #require(MetadataService.address6))
        let (silence, control) = try await silence(advertisement: prefix)
        let asker = try #require(linkLocal)
        func ask() -> [UInt8]? { silence.answer(to: solicitation(mac), from: asker) }
        control.bootTraces.note(.firmware, of: mac, at: clock.now)
        #expect(ask() == RouterDiscovery.nothingHere)
        control.bootTraces.note(.script, of: mac, at: clock.now)
        clock.advance(.seconds(5))
        // Linux hears one advertisement and asks no more.
        #expect(ask() == prefix)
        _ = silence.answer(to: router(lifetimeSeconds: 1800), from: try SocketAddress(ipAddress: "fe80::1", port: 0))
        #expect(ask() == prefix)
        control.bootTraces.note(.system, of: mac, at: clock.now)
        #expect(ask() == prefix)
        control.bootTraces.note(.firmware, of: mac, at: clock.now)
        #expect(ask() == nil, "the router answers")
    }

    private func router(lifetimeSeconds: UInt16) -> [UInt8] {
        [134, 0, 0, 0, 64, 0, UInt8(lifetimeSeconds >> 8), UInt8(lifetimeSeconds & 255), 0, 0, 0, 0, 0, 0, 0, 0]
    }

    @Test("where a router speaks, Hostler is silent for as long as the router said, and until it takes its word back")
    func router() async throws {
        let (silence, control) = try await silence()
        let asker = try #require(linkLocal)
        let other = try SocketAddress(ipAddress: "fe80::1", port: 0)
        func isAnswered() -> Bool {
            control.bootTraces.note(.firmware, of: mac, at: clock.now)
            return silence.answer(to: solicitation(mac), from: asker) != nil
        }
        #expect(silence.answer(to: router(lifetimeSeconds: 600), from: other) == nil)
        #expect(!isAnswered())
        clock.advance(.seconds(599))
        #expect(!isAnswered())
        clock.advance(.seconds(1))
        #expect(isAnswered())
        // RFC 4861 §6.2.1 lets it be 9000 s.
        _ = silence.answer(to: router(lifetimeSeconds: 9000), from: other)
        clock.advance(.seconds(8999))
        #expect(!isAnswered())
        _ = silence.answer(to: router(lifetimeSeconds: 1800), from: other)
        _ = silence.answer(to: router(lifetimeSeconds: 0), from: asker)
        #expect(!isAnswered(), "it was another that is none")
        _ = silence.answer(to: router(lifetimeSeconds: 0), from: other)
        #expect(isAnswered())
    }

    @Test("what comes through a router is dropped")
    func offLink() async throws {
        let (silence, control) = try await silence()
        control.bootTraces.note(.firmware, of: mac, at: clock.now)
        #expect(silence.answer(to: solicitation(mac), from: try SocketAddress(ipAddress: "2001:db8::1", port: 0)) == nil)
        #expect(silence.counters["dropped"] == 1)
    }

    @Test("on a wire: Linux asks when its link comes up, and hears at once", .enabled(if: TestWire.isPossible))
    func wire() async throws {
        let wire = try TestWire()
        let (silence, control) = try await silence()
        let here = try await NamespaceThreads.group(namespace: wire.server, threads: 1)
        let channel = try #require(try await silence.start(on: here))
        try TestWire.ip("-n \(wire.client) link set wire0 down")
        try TestWire.ip("-n \(wire.client) link set wire0 address \(mac)")
        control.bootTraces.note(.firmware, of: mac, at: clock.now)
        try TestWire.ip("-n \(wire.client) link set wire0 up")
        let heard = "until awk '/Icmp6InRouterAdvertisements/ { exit !$2 }' /proc/net/snmp6; do sleep 0.05; done"
        let status = try TestProgram(
            "/usr/sbin/ip", ["netns", "exec", wire.client, "timeout", "15", "sh", "-c", heard]
        ).wait()
        #expect(status == 0)
        #expect(silence.counters["answered"] > 0)
        try await channel.close()
        try await here.shutdownGracefully()
    }

    @Test("on a wire: a router that is there already is asked, and heard", .enabled(if: TestWire.isPossible))
    func asks() async throws {
        let wire = try TestWire()
        for space in [wire.server, wire.client] {
            // Link-local addresses that are good at once: the first question goes out.
            try TestWire.ip("netns exec \(space) sysctl -qw net.ipv6.conf.wire0.accept_dad=0")
            try TestWire.ip("-n \(space) link set wire0 down")
            try TestWire.ip("-n \(space) link set wire0 up")
        }
        for space in [wire.server, wire.client] { try TestWire.waitForLink(space, "wire0") }
        let there = try await NamespaceThreads.group(namespace: wire.client, threads: 1)
        let answer = router(lifetimeSeconds: 1800)
        let loop = there.next()
        let descriptor = try await loop.submit { clinux_router_socket("wire0") }.get()
        let played = try await DatagramBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(PlayedRouter(answer: answer)) }
            }
            .withBoundSocket(descriptor).get()
        let (silence, _) = try await silence()
        let here = try await NamespaceThreads.group(namespace: wire.server, threads: 1)
        let channel = try #require(try await silence.start(on: here))
        let isHeard = await eventually { silence.hearsRouter }
        #expect(isHeard)
        #expect(silence.counters["asked"] == 0, "its own question is none that it hears")
        try await channel.close()
        try await played.close()
        try await here.shutdownGracefully()
        try await there.shutdownGracefully()
    }

    @Test(
        "without IPv6 on the interface there is nothing to listen on, and machines are served all the same",
        .enabled(if: TestWire.isPossible), arguments: [true, false])
    func noIPv6(isThere: Bool) async throws {
        let wire = try TestWire()
        if isThere {
            try TestWire.ip("netns exec \(wire.server) sysctl -qw net.ipv6.conf.wire0.disable_ipv6=1")
        } else {
            try TestWire.ip("-n \(wire.server) link delete wire0")
        }
        let (silence, _) = try await silence()
        let group = try await NamespaceThreads.group(namespace: wire.server, threads: 1)
        #expect(try await silence.start(on: group) == nil)
        try await group.shutdownGracefully()
    }
}

/// A router that speaks when it is asked.
private final class PlayedRouter: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    typealias OutboundOut = AddressedEnvelope<ByteBuffer>
    private let answer: [UInt8]

    init(answer: [UInt8]) { self.answer = answer }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let question = unwrapInboundIn(data)
        guard question.data.readableBytesView.first == 133 else { return }
        let reply = AddressedEnvelope(remoteAddress: question.remoteAddress, data: ByteBuffer(bytes: answer))
        context.writeAndFlush(wrapOutboundOut(reply), promise: nil)
    }
}
