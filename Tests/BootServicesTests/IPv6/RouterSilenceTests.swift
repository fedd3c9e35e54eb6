import Control
import Logging
import NIOCore
import NIOPosix
import Testing
import Wire

@testable import BootServices

@Suite("No wait for an IPv6 router that is not there")
struct RouterSilenceTests {
    let clock = ManualClock()
    let mac = MACAddress(value: 0x5254_0077_8cf0)

    private func silence() async throws -> (RouterSilence, ControlPlane) {
        let control = try await openControl(clock: clock)
        return (RouterSilence(interface: "wire0", control: control, logger: Logger(label: "test")), control)
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

    @Test("where a router speaks, Hostler is silent for half an hour")
    func router() async throws {
        let (silence, control) = try await silence()
        let asker = try #require(linkLocal)
        let router: [UInt8] = [134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0]
        #expect(silence.answer(to: router, from: asker) == nil)
        control.bootTraces.note(.firmware, of: mac, at: clock.now)
        #expect(silence.answer(to: solicitation(mac), from: asker) == nil)
        clock.advance(.seconds(1800))
        control.bootTraces.note(.firmware, of: mac, at: clock.now)
        #expect(silence.answer(to: solicitation(mac), from: asker) != nil)
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
            "/usr/sbin/ip", ["netns", "exec", wire.client, "timeout", "15", "sh", "-c", heard]).wait()
        #expect(status == 0)
        #expect(silence.counters["answered"] > 0)
        try await channel.close()
        try await here.shutdownGracefully()
    }

    @Test("without IPv6 on the interface there is nothing to listen on, and machines are served all the same")
    func noIPv6() async throws {
        let (silence, _) = try await silence()
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        #expect(try await silence.start(on: group) == nil)
        try await group.shutdownGracefully()
    }
}
