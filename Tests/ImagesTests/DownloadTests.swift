import Foundation
import Glibc
import Model
import Testing

@testable import Images

/// Answers one connection after another on loopback with what the test prepared, and keeps the requests.
final class ScriptedServer: @unchecked Sendable {
    let port: UInt16
    private let listener: Int32
    private let lock = NSLock()
    private var received: [String] = []
    /// The first connection is closed only when this is signalled: whoever closes at once takes back what the client
    /// has not read yet.
    let mayClose = DispatchSemaphore(value: 0)
    var requests: [String] { lock.withLock { received } }

    init(_ answers: [[UInt8]], holdsFirst: Bool = false) throws {
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let socket = listener
        let bound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket, $0, length) == 0 && listen(socket, 8) == 0 && getsockname(socket, $0, &length) == 0
            }
        }
        try #require(bound)
        port = UInt16(bigEndian: address.sin_port)
        Thread { [self] in
            for (number, answer) in answers.enumerated() {
                let connection = accept(listener, nil, nil)
                guard connection >= 0 else { return }
                var request: [UInt8] = []
                while !String(decoding: request, as: UTF8.self).contains("\r\n\r\n") {
                    var buffer = [UInt8](repeating: 0, count: 4096)
                    let count = recv(connection, &buffer, buffer.count, 0)
                    guard count > 0 else { break }
                    request += buffer.prefix(count)
                }
                lock.withLock { received.append(String(decoding: request, as: UTF8.self).lowercased()) }
                _ = send(connection, answer, answer.count, Int32(MSG_NOSIGNAL))
                if number == 0, holdsFirst { mayClose.wait() }
                close(connection)
            }
        }.start()
    }

    deinit { shutdown(listener, Int32(SHUT_RDWR)) }

    static func answer(_ status: String, _ headers: [String], _ body: [UInt8]) -> [UInt8] {
        Array(("HTTP/1.1 \(status)\r\n" + headers.map { $0 + "\r\n" }.joined() + "\r\n").utf8) + body
    }
}

@Suite("A download")
struct DownloadTests {
    static let disk = (0..<200 * 512).map { UInt8(truncatingIfNeeded: $0 % 251) }

    func add(_ server: ScriptedServer, _ workshop: Workshop, limitBytes: UInt64 = 1 << 30) async throws -> [UInt8] {
        try workshop.contents(
            try await workshop.add("http://127.0.0.1:\(server.port)/disk.img", limitBytes: limitBytes))
    }

    @Test("goes on where the connection broke, of the same version only")
    func resume() async throws {
        let count = Self.disk.count
        let head = ["Content-Length: \(count)", "ETag: \"v1\""]
        let server = try ScriptedServer(
            [
                ScriptedServer.answer("200 OK", head, Array(Self.disk[..<40_000])),
                ScriptedServer.answer("503 Busy", ["Content-Length: 0"], []),
                ScriptedServer.answer(
                    "206 Partial Content",
                    ["Content-Length: \(count - 40_000)", "Content-Range: bytes 40000-\(count - 1)/\(count)"],
                    Array(Self.disk[40_000...])),
            ], holdsFirst: true)
        let workshop = try Workshop()
        let digest = try await ImageImporter(store: workshop.store).add(
            "http://127.0.0.1:\(server.port)/disk.img", name: "test", options: .init(requiresPartitionTable: false)
        ) { if case .downloaded(40_000) = $0 { server.mayClose.signal() } }
        #expect(try workshop.contents(digest) == Self.disk)
        #expect(server.requests.count == 3)
        #expect(!server.requests[0].contains("range:"))
        #expect(server.requests[2].contains("range: bytes=40000-"))
        #expect(server.requests[2].contains("if-range: \"v1\""))
    }

    @Test("starts again where the server has another version")
    func changed() async throws {
        let old = [UInt8](repeating: 9, count: 40_000)
        let server = try ScriptedServer([
            ScriptedServer.answer("200 OK", ["Content-Length: 400000", "ETag: \"v1\""], old),
            ScriptedServer.answer("200 OK", ["Content-Length: \(Self.disk.count)", "ETag: \"v2\""], Self.disk),
        ])
        #expect(try await add(server, Workshop()) == Self.disk)
    }

    @Test("is refused where it is missing or too large, and leaves nothing behind")
    func refusals() async throws {
        let workshop = try Workshop()
        let server = try ScriptedServer([
            ScriptedServer.answer("404 Not Found", ["Content-Length: 0"], []),
            ScriptedServer.answer("200 OK", ["Content-Length: 99999999"], []),
        ])
        let missing = await #expect(throws: Problem.self) { try await add(server, workshop) }
        #expect(missing?.code == "download-refused")
        let large = await #expect(throws: Problem.self) { try await add(server, workshop, limitBytes: 1 << 20) }
        #expect(large?.code == "image-too-large")
        #expect(workshop.blobNames.isEmpty)
    }
}
