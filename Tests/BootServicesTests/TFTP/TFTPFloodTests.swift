import Foundation
import Logging
import NIOCore
import NIOPosix
import NetBoot
import Testing

@testable import BootServices

@Suite("TFTP under attack", .serialized, .timeLimit(.minutes(2)))
struct TFTPFloodTests {
    @Test("hundreds of read requests that nobody acknowledges keep no client out, and cost one open file")
    func unacknowledged() async throws {
        let folder = try TemporaryFolder()
        let content = Data((0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31) })
        try folder.write("ipxe.efi", content)
        var limits = TFTPTransferLimits()
        limits.total = 24
        limits.reservedForKnown = 4
        limits.perClient = 20
        let server = try await TFTPServer.bind(
            to: SocketAddress(ipAddress: "127.0.0.1", port: 0), group: .singletonMultiThreadedEventLoopGroup,
            source: BootFolder(path: folder.path), limits: limits, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let address = try #require(server.localAddress)
        let path = folder.path
        let request = TFTPPacket.readRequest(TFTPRequest(fileName: "ipxe.efi", options: [TFTPOption(name: "tsize", value: "0")])).serialize()
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await server.run() }
            tasks.addTask {
                // Their sockets stay open: nothing says that nobody is there.
                var silent: [any Channel] = []
                for number in 1...300 {
                    let channel = try await DatagramBootstrap(group: .singletonMultiThreadedEventLoopGroup).bind(host: "127.0.0.1", port: 0).get()
                    try await channel.writeAndFlush(AddressedEnvelope(remoteAddress: address, data: ByteBuffer(bytes: request)))
                    silent.append(channel)
                    #expect(await eventually { server.counters.started == number })
                }
                #expect(server.counters.gaveWay >= 280)
                let received = try await TFTPTestClient.get(
                    "ipxe.efi", from: address, options: [("blksize", "1468"), ("windowsize", "4")])
                #expect(received == .file(ByteBuffer(bytes: content)))
                let files = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count {
                    (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/" + $0))?.hasSuffix(path + "/ipxe.efi") ?? false
                }
                #expect(files == 1)
                for channel in silent { try await channel.close() }
            }
            try await tasks.next()
            tasks.cancelAll()
        }
        withExtendedLifetime(folder) {}
    }

    @Test("a file that was replaced is served as it is now")
    func replaced() async throws {
        let folder = try TemporaryFolder()
        try folder.write("a", Data("one".utf8))
        let source = BootFolder(path: folder.path)
        let nobody = try SocketAddress(ipAddress: "127.0.0.1", port: 1)
        let first = try await source.open("a", from: nobody)
        try FileManager.default.removeItem(atPath: folder.path + "/a")
        try folder.write("a", Data("second".utf8))
        let second = try await source.open("a", from: nobody)
        #expect(first.bytes == 3 && second.bytes == 6)
        await #expect(throws: TFTPFileError.notFound("b")) { _ = try await source.open("b", from: nobody) }
    }
}
