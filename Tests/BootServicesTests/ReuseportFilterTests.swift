import NIOCore
import NIOPosix
import Synchronization
import Testing
import Wire

@testable import BootServices

@Suite("The choice between listening sockets by where a connection comes from", .timeLimit(.minutes(1)))
struct ReuseportFilterTests {
    /// What the program answers for a source address; classic BPF as socket filters have it, as far as it is used.
    private func run(_ filter: ReuseportFilter, _ source: IPv4Address) -> UInt32? {
        var (accumulator, index) = (UInt32(0), 0)
        while index < filter.program.count {
            let instruction = filter.program[index]
            let operand = UInt32(truncatingIfNeeded: instruction >> 32)
            index += 1
            switch instruction & 0xffff {
            case 0x20: accumulator = operand == 0xfff0_000c ? source.value : 0
            case 0x54: accumulator &= operand
            case 0x15: index += Int(accumulator == operand ? instruction >> 16 & 0xff : instruction >> 24 & 0xff)
            case 0x06: return operand
            default: return nil
            }
        }
        return nil
    }

    @Test("each socket is for the networks that are named, to their last address")
    func program() throws {
        let networks = try ["10.30.0.0/24", "10.31.128.0/17", "192.0.2.7/32"].map { try #require(IPv4Prefix($0)) }
        let filter = ReuseportFilter(zip(networks, [1, 2, 1]).map { ($0, $1) })
        for (text, expected) in [
            ("10.30.0.0", 1), ("10.30.0.255", 1), ("10.30.1.0", 0), ("10.31.127.255", 0), ("10.31.128.0", 2), ("10.31.255.255", 2),
            ("192.0.2.7", 1), ("192.0.2.6", 0), ("10.20.0.5", 0),
        ] { #expect(run(filter, try address(text)) == UInt32(expected), "\(text)") }
        #expect(run(ReuseportFilter([]), try address("10.30.0.0")) == 0)
    }

    @Test("the kernel does as the program says")
    func kernel() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let filter = ReuseportFilter([(try #require(IPv4Prefix("127.1.0.0/16")), 1), (try #require(IPv4Prefix("127.2.0.0/16")), 2)])
        let accepted = Accepted()
        var channels: [any Channel] = []
        for number in 0..<3 {
            let loop = group.next()
            let port = channels.first?.localAddress?.port ?? 0
            channels.append(
                try await loop.flatSubmit {
                    ServerBootstrap(group: loop)
                        .serverChannelInitializer { channel in
                            let shared = ReuseportFilter.share(channel)
                            return number == 0 ? shared.flatMap { filter.attach(to: channel) } : shared
                        }
                        .childChannelInitializer { channel in
                            accepted.add(number)
                            return channel.eventLoop.makeSucceededVoidFuture()
                        }
                        .bind(host: "127.0.0.1", port: port)
                }.get())
        }
        let port = try #require(channels.first?.localAddress?.port)
        for (source, expected) in [("127.0.0.2", 0), ("127.1.0.2", 1), ("127.2.255.255", 2), ("127.3.0.2", 0)] {
            for _ in 0..<8 {
                let before = accepted.all.count
                let client = try RawClient(from: source, port: port)
                let came = await eventually { accepted.all.count > before }
                #expect(came && accepted.all.last == expected, "\(source)")
                withExtendedLifetime(client) {}
            }
        }
        for channel in channels { try await channel.close() }
        try await group.shutdownGracefully()
    }

    private final class Accepted: Sendable {
        private let numbers = Mutex<[Int]>([])
        var all: [Int] { numbers.withLock { $0 } }
        func add(_ number: Int) { numbers.withLock { $0.append(number) } }
    }
}
