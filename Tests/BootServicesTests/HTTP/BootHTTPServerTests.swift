import Foundation
import NIOCore
import NIOPosix
import Testing

@testable import BootServices

@Suite("HTTP boot server", .serialized, .timeLimit(.minutes(2)))
struct BootHTTPServerTests {
    /// Runs a server on a free port of loopback for as long as `body` takes.
    private func serving(
        idleSeconds: Int64 = 90, _ respond: @escaping @Sendable (BootRequest) async -> BootReply,
        _ body: (BootHTTPServer, SocketAddress) async throws -> Void
    ) async throws {
        var deadlines = ConnectionDeadlines()
        deadlines.piece = .seconds(idleSeconds)
        let server = BootHTTPServer(deadlines: deadlines, respond: respond)
        let channel = try await server.start(host: "127.0.0.1", port: 0, interface: nil, on: .singletonMultiThreadedEventLoopGroup)
        let address = try #require(channel.localAddress)
        do {
            try await body(server, address)
        } catch {
            try? await channel.close()
            throw error
        }
        try await channel.close()
    }

    private static func content(_ count: Int) -> Data {
        Data((0..<count / 8).flatMap { number in withUnsafeBytes(of: UInt64(number) &* 0x9e37_79b9_7f4a_7c15) { Array($0) } })
    }

    private static let echo: @Sendable (BootRequest) async -> BootReply = { request in
        let query = request.query.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ",")
        return .bytes(.ok, type: "text/plain", Array("\(request.path) [\(query)] \(request.body.count)".utf8))
    }

    @Test("a query of nothing but signs gets an answer, and so does the next machine")
    func oddQueries() async throws {
        try await serving(Self.echo) { server, address in
            let client = try await HTTPTestClient(to: address)
            for target in ["/?=", "/?==", "/?&=&", "/?%", "/?=%3d", "/a?=v", "/?"] {
                #expect(try await client.ask("GET", target)?.status == 200, "\(target)")
            }
            #expect(try await client.ask("GET", "/x?mac=a%3Ab&b")?.text == "/x [b=,mac=a:b] 0")
            #expect(server.counters["requests"] == 8)
            await client.close()
        }
    }

    @Test("a file comes whole, by range, by its ETag, or only its head")
    func files() async throws {
        let folder = try TemporaryFolder()
        // More than two pieces.
        let content = Self.content(1_200_000)
        try folder.write("kernel", content)
        try folder.write("empty", Data())
        let path = folder.path
        try await serving({ .file(path: path + $0.path, type: "application/octet-stream", etag: nil) }) { server, address in
            let client = try await HTTPTestClient(to: address)
            let whole = try #require(try await client.ask("GET", "/kernel"))
            #expect(whole.status == 200)
            #expect(Data(whole.body) == content)
            #expect(server.counters["bytes"] == content.count)
            let tag = try #require(whole.headers["etag"])

            let part = try #require(try await client.ask("GET", "/kernel", headers: ["range: bytes=100-1100099"]))
            #expect(part.status == 206)
            #expect(part.headers["content-range"] == "bytes 100-1100099/1200000")
            #expect(Data(part.body) == content[100..<1_100_100])
            #expect(try await client.ask("GET", "/kernel", headers: ["range: bytes=1200000-"])?.status == 416)
            let changed = try #require(
                try await client.ask("GET", "/kernel", headers: ["range: bytes=0-0", "if-range: \"other\""]))
            #expect(changed.status == 200)
            let same = try #require(try await client.ask("GET", "/kernel", headers: ["range: bytes=0-0", "if-range: \(tag)"]))
            #expect(same.body == [content[0]])

            #expect(try await client.ask("GET", "/kernel", headers: ["if-none-match: \(tag)"])?.status == 304)
            let head = try #require(try await client.ask("HEAD", "/kernel"))
            #expect(head.headers["content-length"] == "1200000")
            #expect(try await client.ask("GET", "/empty")?.body == [])
            #expect(try await client.ask("GET", "/nothing")?.status == 404)
            await client.close()
        }
    }

    @Test("a download that is slow but goes on is not cut, though it takes longer than a silent peer is given")
    func slow() async throws {
        let folder = try TemporaryFolder()
        // Far more than the sockets' buffers hold: the kernel takes no such file at once.
        let content = Self.content(24 << 20)
        try folder.write("ramdisk", content)
        let path = folder.path
        try await serving(
            idleSeconds: 1,
            { $0.path == "/memory" ? .bytes(.ok, type: "text/plain", Array(content)) : .file(path: path + $0.path, type: "text/plain", etag: nil) }
        ) { server, address in
            for target in ["/ramdisk", "/memory"] {
                let client = try await HTTPTestClient(to: address, pause: .milliseconds(8))
                let clock = ContinuousClock()
                let began = clock.now
                let reply = try #require(try await client.ask("GET", target, within: .seconds(50)), "\(target) was cut")
                #expect(Data(reply.body) == content)
                #expect(clock.now - began > .milliseconds(1500), "too fast to show anything")
                await client.close()
            }
            #expect(server.counters["idle-closed"] == 0)
        }
    }

    @Test("a peer that takes nothing any more is cut off")
    func stalled() async throws {
        let content = [UInt8](repeating: 7, count: 24 << 20)
        try await serving(idleSeconds: 1, { _ in .bytes(.ok, type: "text/plain", content) }) { server, address in
            let client = try await HTTPTestClient(to: address, reads: false)
            try await client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n")
            #expect(await eventually { server.counters["idle-closed"] == 1 })
            await client.close()
        }
    }

    @Test("a body that is too long is refused, and what is no HTTP is counted and cut off")
    func badRequests() async throws {
        try await serving(Self.echo) { server, address in
            let large = try await HTTPTestClient(to: address)
            try await large.send(
                "POST / HTTP/1.1\r\nhost: test\r\ncontent-length: \(BootHTTPServer.bodyLimitBytes + 1)\r\n\r\n"
                    + String(repeating: "x", count: 100_000))
            #expect(await large.receive()?.status == 413)
            #expect(await large.isClosed(within: .seconds(10)))
            #expect(server.counters["refused-body-too-large"] == 1 && server.counters["requests"] == 0)
            await large.close()
            let other = try await HTTPTestClient(to: address)
            #expect(try await other.ask("POST", "/", body: "=")?.text == "/ [] 1")
            #expect(try await other.ask("GET", "/", body: "=")?.status == 413, "a GET has no body")
            await other.close()
            let noise = try await HTTPTestClient(to: address)
            try await noise.send("\u{1}\u{2}nonsense\r\n\r\n")
            #expect(await noise.isClosed(within: .seconds(5)))
            #expect(await eventually { server.counters["malformed"] == 1 })
        }
    }
}
