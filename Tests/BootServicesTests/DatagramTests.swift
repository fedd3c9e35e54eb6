import Foundation
import NIOCore
import NIOPosix
import Sockets
import Synchronization
import Testing
import Wire

@testable import BootServices

@Suite("Datagrams that a kernel refuses", .enabled(if: TestWire.isPossible))
struct DatagramTests {
    @Test("leave the server's socket open: no route leads there, or to port 0")
    func refused() async throws {
        let wire = try TestWire()
        let group = try await NamespaceThreads.group(namespace: wire.server, threads: 1)
        let channel = try await InterfaceSocket.bind(port: 67, interface: "wire0", on: group.next()) { _ in }
        let nowhere = SocketAddress(try address("203.0.113.9"), port: 68)
        let portZero = SocketAddress(try address("10.78.0.2"), port: 0)
        let neighbour = SocketAddress(try address("10.78.0.2"), port: 68)
        try TestWire.ip("-n \(wire.server) link set wire0 down")
        let down = try await channel.eventLoop.submit { Datagram.send([1], to: nowhere, on: channel) }.get()
        #expect(down == ENETUNREACH)
        try TestWire.ip("-n \(wire.server) link set wire0 up")
        let zero = try await channel.eventLoop.submit { Datagram.send([1], to: portZero, on: channel) }.get()
        #expect(zero == EINVAL)
        let sent = try await channel.eventLoop.submit { Datagram.send([1], to: neighbour, on: channel) }.get()
        #expect(sent == 0)
        #expect(channel.isActive)
        try await channel.close()
        try await group.shutdownGracefully()
    }
}
