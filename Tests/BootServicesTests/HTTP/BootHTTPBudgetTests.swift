import Foundation
import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import Testing
import Wire

@testable import BootServices

/// What one anonymous host can do to the server that machines boot from, by sockets.
@Suite("HTTP boot server under attack", .serialized, .timeLimit(.minutes(2)))
struct BootHTTPBudgetTests {
    /// Clients at 127.0.0.2 are a known machine's; all others are strangers, each an owner by its address.
    private static let caller: @Sendable (SocketAddress?, MACAddress?) -> Caller = { remote, _ in
        guard let address = remote?.ipv4 else { return .nobody }
        return Caller(owner: .address(address), isKnown: address.value == 0x7f00_0002)
    }

    private func serving(
        limits: ConnectionBudget.Limits = .init(), deadlines: ConnectionDeadlines = .init(),
        bodyLimit: @escaping @Sendable (HTTPRequestHead, SocketAddress?) -> Int = { head, _ in head.method == .POST ? 64 << 10 : 0 },
        respond: @escaping @Sendable (BootRequest) async -> BootReply = {
            .bytes(.ok, type: "text/plain", Array("\($0.body.count)".utf8))
        },
        _ body: (BootHTTPServer, Int) async throws -> Void
    ) async throws {
        let server = BootHTTPServer(
            limits: limits, deadlines: deadlines, hooks: .init(bodyLimit: bodyLimit, caller: Self.caller), respond: respond)
        let channel = try await server.start(host: "0.0.0.0", port: 0, on: .singletonMultiThreadedEventLoopGroup)
        let port = try #require(channel.localAddress?.port)
        do {
            try await body(server, port)
        } catch {
            try? await channel.close()
            throw error
        }
        try await channel.close()
    }

    /// A socket from an address of loopback that the test chooses, without buffers of its own.
    private final class Peer {
        let descriptor: CInt

        init(from host: UInt32, to port: Int) throws {
            descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
            var own = Self.address(host, 0)
            var server = Self.address(0x7f00_0001, UInt16(port))
            let made = withUnsafePointer(to: &own) { own in
                own.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
            }
            let connected = withUnsafePointer(to: &server) { server in
                server.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            guard made == 0, connected == 0 else { throw FixtureError(what: "no connection: \(errno)") }
            var patience = timeval(tv_sec: 20, tv_usec: 0)
            setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
            setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        }

        deinit { close(descriptor) }

        private static func address(_ host: UInt32, _ port: UInt16) -> sockaddr_in {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr.s_addr = host.bigEndian
            return address
        }

        /// How many bytes went.
        @discardableResult
        func send(_ text: String) -> Int {
            text.utf8CString.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count - 1, CInt(MSG_NOSIGNAL)) }
        }

        /// What comes next; empty at the end, or after 20 s.
        func receive() -> String {
            var bytes = [UInt8](repeating: 0, count: 64 << 10)
            let count = recv(descriptor, &bytes, bytes.count, 0)
            return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
        }

        /// Whether the server has ended it, without waiting. What it said before is dropped.
        var isClosed: Bool {
            var bytes = [UInt8](repeating: 0, count: 4_096)
            while true {
                let count = recv(descriptor, &bytes, bytes.count, CInt(MSG_DONTWAIT))
                if count <= 0 { return count == 0 || errno == ECONNRESET }
            }
        }
    }

    private static let get = "GET /x HTTP/1.1\r\nhost: a\r\n\r\n"
    private static func post(_ length: Int, _ more: String = "") -> String {
        "POST /agent/v1/hello HTTP/1.1\r\nhost: a\r\ncontent-length: \(length)\r\n\(more)\r\n"
    }

    @Test("a head that comes a byte at a time ends the connection, and so does one without an end")
    func slowHead() async throws {
        var deadlines = ConnectionDeadlines()
        deadlines.head = .seconds(1)
        try await serving(deadlines: deadlines) { server, port in
            let slow = try Peer(from: 0x7f00_0009, to: port)
            let endless = try Peer(from: 0x7f00_0009, to: port)
            endless.send("GET / HTTP/1.1\r\n")
            var began = false
            #expect(
                await eventually {
                    // A method has no end either.
                    slow.send(began ? "/" : "GET /")
                    began = true
                    endless.send("x-a: \(String(repeating: "b", count: 2_000))\r\n")
                    return slow.isClosed && endless.isClosed
                })
            #expect(server.counters["refused-head-slow"] == 1)
            #expect(server.counters["refused-head-too-large"] == 1)
            #expect(await eventually { server.gate.count == 0 })
        }
    }

    @Test("a body at a byte now and then is answered 408, and the connection is over")
    func slowBody() async throws {
        var deadlines = ConnectionDeadlines()
        deadlines.bodyGrace = .milliseconds(500)
        try await serving(deadlines: deadlines) { server, port in
            let slow = try Peer(from: 0x7f00_0009, to: port)
            slow.send(Self.post(5_000))
            #expect(
                await eventually {
                    slow.send("x")
                    return server.counters["refused-body-slow"] == 1
                })
            #expect(slow.receive().hasPrefix("HTTP/1.1 408"))
            #expect(await eventually { server.gate.count == 0 })
            // One that is in time is not.
            let good = try Peer(from: 0x7f00_0009, to: port)
            good.send(Self.post(5_000) + String(repeating: "y", count: 5_000))
            #expect(good.receive().hasSuffix("\r\n\r\n5000"))
        }
    }

    @Test("connections that say nothing are ended, and while strangers hold theirs a known machine and another stranger get in")
    func idle() async throws {
        var limits = ConnectionBudget.Limits(total: 64)
        limits.perUnknown = 8
        var deadlines = ConnectionDeadlines()
        deadlines.head = .seconds(3)
        try await serving(limits: limits, deadlines: deadlines) { server, port in
            var held: [Peer] = []
            for host in 16..<36 as Range<UInt32> {
                for _ in 0..<10 { held.append(try Peer(from: 0x7f00_0000 + host, to: port)) }
            }
            #expect(await eventually { server.counters["refused-connections"] > 0 && server.gate.count <= 32 })
            let machine = try Peer(from: 0x7f00_0002, to: port)
            machine.send(Self.get)
            #expect(machine.receive().hasPrefix("HTTP/1.1 200"))
            let stranger = try Peer(from: 0x7f00_0063, to: port)
            stranger.send(Self.get)
            #expect(stranger.receive().hasPrefix("HTTP/1.1 200"))
            #expect(server.counters["refused-connection-gave-way"] > 0)
            #expect(await eventually { held.allSatisfy(\.isClosed) })
            machine.send(Self.get)
            #expect(machine.receive().hasPrefix("HTTP/1.1 200"), "it is between two requests, and is not ended")
        }
    }

    @Test("many unfinished bodies keep no more bytes than their budget, a known machine's is taken meanwhile")
    func bodies() async throws {
        var limits = ConnectionBudget.Limits()
        limits.bodyBytes = 2 << 20
        limits.unknownBodyBytes = 512 << 10
        limits.bodyBytesPerUnknown = 128 << 10
        try await serving(limits: limits) { server, port in
            let chunk = String(repeating: "z", count: 60_000)
            var held: [Peer] = []
            for host in 16..<36 as Range<UInt32> {
                for _ in 0..<5 {
                    let peer = try Peer(from: 0x7f00_0000 + host, to: port)
                    peer.send(Self.post(60_001) + chunk)
                    held.append(peer)
                }
            }
            #expect(await eventually { server.counters["refused-bodies"] >= 90 })
            #expect(server.gate.bodyBytes <= 512 << 10)
            #expect(server.gate.bodyBytes > 0)
            let machine = try Peer(from: 0x7f00_0002, to: port)
            machine.send(Self.post(60_000) + chunk)
            #expect(machine.receive().hasSuffix("\r\n\r\n60000"))
            held = []
            #expect(await eventually { server.gate.bodyBytes == 0 })
        }
    }

    @Test("a body that is too long is refused by its head, before a byte of it is sent; one that is not is asked for")
    func expectations() async throws {
        try await serving { server, port in
            let large = try Peer(from: 0x7f00_0009, to: port)
            large.send(Self.post(4 << 20, "expect: 100-continue\r\n"))
            let refusal = large.receive()
            #expect(refusal.hasPrefix("HTTP/1.1 413") && refusal.lowercased().contains("connection: close"))
            let small = try Peer(from: 0x7f00_0009, to: port)
            small.send(Self.post(3, "expect: 100-continue\r\n"))
            #expect(small.receive().hasPrefix("HTTP/1.1 100 Continue\r\n\r\n"))
            small.send("abc")
            #expect(small.receive().hasSuffix("\r\n\r\n3"))
            let chunked = try Peer(from: 0x7f00_0009, to: port)
            chunked.send("POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
            let chunk = "8000\r\n" + String(repeating: "c", count: 0x8000) + "\r\n"
            for _ in 0..<3 { chunked.send(chunk) }
            #expect(chunked.receive().hasPrefix("HTTP/1.1 413"))
            #expect(server.counters["refused-body-too-large"] == 2 && server.gate.bodyBytes == 0)
        }
    }

    @Test("a file that is not there is a 404; one that cannot be opened now is a 503 that says when to ask again")
    func files() async throws {
        let folder = try TemporaryFolder()
        try folder.write("file", Data("x".utf8))
        let path = folder.path
        #expect(throws: FileOpenError.absent) { try OpenFile(path: path + "/none") }
        #expect(throws: FileOpenError.absent) { try OpenFile(path: path) }
        for code in [EMFILE, ENFILE, ENOMEM, EIO, EACCES] { #expect(FileOpenError(errno: code) == .unavailable(errno: code)) }
        // On Linux opening it means that its driver answers: without one, ENXIO.
        try TestWire.makeDeadDevice(path + "/dead")
        try await serving(respond: { .file(path: path + $0.path, type: "text/plain", etag: nil) }) { server, port in
            let client = try await HTTPTestClient(to: try SocketAddress(ipAddress: "127.0.0.1", port: port))
            for (name, status) in [("file", 200), ("none", 404), ("dead", 503)] {
                let reply = try await client.ask("GET", "/\(name)")
                #expect(reply?.status == status)
                #expect(reply?.headers["retry-after"] == (status == 503 ? "5" : nil))
            }
            #expect(server.counters["file-unavailable"] == 1)
            await client.close()
        }
    }
}
