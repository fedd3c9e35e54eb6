import BootServices
import Foundation
import Logging
import NIOCore
import NIOPosix
import NetBoot
import Testing

@Suite("TFTP server", .serialized, .timeLimit(.minutes(2)))
struct TFTPServerTests {
    /// Files in memory.
    private struct Files: TFTPFileSource {
        let content: [String: ByteBuffer]

        func open(_ path: String, from client: SocketAddress) async throws -> TFTPFile {
            guard let bytes = content[path] else { throw TFTPFileError.notFound(path) }
            return TFTPFile(bytes)
        }
    }

    private static func content(_ count: Int) -> ByteBuffer {
        ByteBuffer(
            bytes: [UInt8](unsafeUninitializedCapacity: count) { bytes, filled in
                for index in 0..<count { bytes[index] = UInt8(truncatingIfNeeded: index &* 31 ^ index >> 8) }
                filled = count
            })
    }

    /// Runs a server on a free port of loopback for as long as `body` takes.
    private func serving(
        _ content: [String: ByteBuffer], limits: TFTPTransferLimits = .init(), retransmissions: Int = 200,
        _ body: @Sendable @escaping (TFTPServer, SocketAddress) async throws -> Void
    ) async throws {
        var session = TFTPReadSession.Limits()
        session.timeout = .milliseconds(30)
        session.longestTimeout = .milliseconds(60)
        session.retransmissions = retransmissions
        let server = try await TFTPServer.bind(
            to: SocketAddress(ipAddress: "127.0.0.1", port: 0), group: .singletonMultiThreadedEventLoopGroup,
            source: Files(content: content), session: session, limits: limits, logger: Logger(label: "test"))
        let address = try #require(server.localAddress)
        try await withThrowingTaskGroup { tasks in
            tasks.addTask { await server.run() }
            tasks.addTask { try await body(server, address) }
            // The server only ends when it is cancelled.
            try await tasks.next()
            tasks.cancelAll()
        }
    }

    /// Waits until the books say what `isThere` looks for.
    private static func wait(for server: TFTPServer, until isThere: (TFTPCounters) -> Bool) async throws {
        for _ in 0..<500 where !isThere(server.counters) { try await Task.sleep(for: .milliseconds(10)) }
        #expect(isThere(server.counters), "\(server.counters)")
    }

    private static let shapes: [(bytes: Int, options: [(String, String)])] = [
        (0, []), (1, []), (512, []), (100_000, []), (100_000, [("blksize", "1468"), ("tsize", "0")]),
        (2_000_000, [("blksize", "1468"), ("windowsize", "16")]),
        (64 * 1468, [("blksize", "1468"), ("windowsize", "64")]),
        (530_000, [("blksize", "8"), ("windowsize", "64")]),
    ]

    @Test("a file arrives whole, whatever its size and the options", arguments: shapes.indices)
    func whole(index: Int) async throws {
        let shape = Self.shapes[index]
        let content = Self.content(shape.bytes)
        try await serving(["dir/file": content]) { server, address in
            let received = try await TFTPTestClient.get("/dir\\file", from: address, options: shape.options)
            #expect(received == .file(content))
            try await Self.wait(for: server) { $0.finished == 1 && $0.started == 1 }
        }
    }

    @Test("a file arrives whole over a wire that loses packets", arguments: [3, 4, 7])
    func losses(every: Int) async throws {
        let content = Self.content(60_000)
        try await serving(["file": content]) { _, address in
            for options in [[("blksize", "1000")], [("blksize", "1000"), ("windowsize", "8")]] {
                let received = try await TFTPTestClient.get("file", from: address, options: options) {
                    $0 % every == every - 1
                }
                #expect(received == .file(content))
            }
        }
    }

    @Test("what is not served gets an error that says why")
    func refusals() async throws {
        try await serving(["file": Self.content(10)]) { server, address in
            #expect(try await TFTPTestClient.get("nothing", from: address) == .error(.fileNotFound))
            #expect(try await TFTPTestClient.get("../file", from: address) == .error(.accessViolation))
            #expect(try await TFTPTestClient.get("file", from: address, mode: .netascii) == .error(.illegalOperation))
            let write = TFTPPacket.writeRequest(TFTPRequest(fileName: "file"))
            #expect(try await TFTPTestClient.exchange(write, with: address) == .error(.accessViolation))
            try await Self.wait(for: server) { $0.refused == 4 && $0.started == 0 }
        }
    }

    @Test("malformed packets are dropped and counted, and the server goes on")
    func malformed() async throws {
        let content = Self.content(10)
        try await serving(["file": content]) { server, address in
            try await TFTPTestClient.send([[], [0], [0, 9], [0, 1, 0x61], [0, 1, 0, 0]], to: address)
            // An empty datagram may not be handed up by the socket.
            try await Self.wait(for: server) { $0.malformed >= 4 }
            #expect(try await TFTPTestClient.get("file", from: address) == .file(content))
        }
    }

    @Test("a client that falls silent is given up, and its place is free again")
    func silence() async throws {
        var limits = TFTPTransferLimits()
        limits.perClient = 1
        let content = Self.content(10_000)
        try await serving(["file": content], limits: limits, retransmissions: 6) { server, address in
            let request = TFTPPacket.readRequest(TFTPRequest(fileName: "file"))
            // Its socket stays open, so that no "connection refused" comes back.
            try await TFTPTestClient.withChannel { _, outbound in
                try await outbound.write(
                    AddressedEnvelope(remoteAddress: address, data: ByteBuffer(bytes: request.serialize())))
                try await Self.wait(for: server) { $0.started == 1 }
                try await Self.wait(for: server) { $0.timedOut == 1 }
            }
            #expect(try await TFTPTestClient.get("file", from: address) == .file(content))
        }
    }

    @Test("a client that only wants the size stops the transfer")
    func sizeOnly() async throws {
        try await serving(["file": Self.content(10_000)]) { server, address in
            let request = TFTPRequest(fileName: "file", options: [TFTPOption(name: "tsize", value: "0")])
            try await TFTPTestClient.withChannel { inbound, outbound in
                try await outbound.write(
                    AddressedEnvelope(
                        remoteAddress: address, data: ByteBuffer(bytes: TFTPPacket.readRequest(request).serialize())))
                for try await envelope in inbound {
                    let packet = try TFTPPacket(parsing: Array(envelope.data.readableBytesView))
                    #expect(packet == .optionAcknowledgement([TFTPOption(name: "tsize", value: "10000")]))
                    let stop = TFTPPacket.error(code: .notDefined, message: "aborted").serialize()
                    try await outbound.write(
                        AddressedEnvelope(remoteAddress: envelope.remoteAddress, data: ByteBuffer(bytes: stop)))
                    break
                }
                try await Self.wait(for: server) { $0.stopped == 1 }
            }
        }
    }

    @Test("many clients are served at once")
    func many() async throws {
        var limits = TFTPTransferLimits()
        limits.perClient = 64
        let content = Self.content(200_000)
        try await serving(["file": content], limits: limits) { server, address in
            try await withThrowingTaskGroup { tasks in
                for _ in 0..<40 {
                    tasks.addTask {
                        try await TFTPTestClient.get(
                            "file", from: address, options: [("blksize", "1468"), ("windowsize", "4")])
                    }
                }
                for try await received in tasks { #expect(received == .file(content)) }
            }
            try await Self.wait(for: server) { $0.finished == 40 }
        }
    }

    @Test(
        "the tftp-hpa client fetches a file",
        .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/tftp"), "tftp-hpa is not installed"))
    func hpaClient() async throws {
        let content = Self.content(3_000_000)
        let target = FileManager.default.temporaryDirectory.appending(path: "tftp-\(UInt64.random(in: 0 ... .max))")
        defer { try? FileManager.default.removeItem(at: target) }
        try await serving(["boot/ipxe.efi": content]) { server, address in
            for mode in [["-m", "binary"], ["-m", "ascii"]] {
                let client = Process()
                client.executableURL = URL(filePath: "/usr/bin/tftp")
                client.arguments =
                    mode + ["127.0.0.1", "\(address.port ?? 0)", "-c", "get", "boot/ipxe.efi", target.path]
                client.standardOutput = FileHandle.nullDevice
                try await withCheckedThrowingContinuation { continuation in
                    client.terminationHandler = { _ in continuation.resume() }
                    do { try client.run() } catch { continuation.resume(throwing: error) }
                }
                // The ascii request is refused: the file of the binary one is cut or gone.
                if mode[1] == "binary" { #expect(try Data(contentsOf: target) == Data(content.readableBytesView)) }
            }
            try await Self.wait(for: server) { $0.finished == 1 && $0.refused == 1 }
        }
    }
}
