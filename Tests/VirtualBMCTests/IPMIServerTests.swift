import Foundation
import Model
import NIOPosix
import Testing

@testable import VirtualBMC

/// A UDP socket that a test blocks on.
private final class UDPSocket {
    let file = socket(AF_INET, CInt(SOCK_DGRAM.rawValue), 0)
    private let port: UInt16

    init(port: UInt16) {
        self.port = port
        var patience = timeval(tv_sec: 5, tv_usec: 0)
        setsockopt(file, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(file) }

    func send(_ datagram: [UInt8]) {
        var place = sockaddr_in()
        place.sin_family = sa_family_t(AF_INET)
        place.sin_port = port.bigEndian
        place.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        _ = withUnsafePointer(to: &place) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(file, datagram, datagram.count, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    /// Nil after five seconds of silence.
    func receive() -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: 2048)
        let count = recv(file, &buffer, buffer.count, 0)
        return count < 0 ? nil : Array(buffer[..<count])
    }

    func ask(_ datagram: [UInt8]) -> [UInt8]? {
        send(datagram)
        return receive()
    }
}

/// A console's end of serial over LAN, over a socket.
private struct Terminal {
    var console = IPMIConsole()
    let wire: UDPSocket
    var shown: [UInt8] = []
    var statuses: [SOLPacket.Status] = []
    private var sequence: UInt8 = 0
    private var last: UInt8 = 0

    init(port: UInt16) throws {
        wire = UDPSocket(port: port)
        console.wire = { [wire] in wire.ask($0) }
        #expect(try console.open() == 0)
        #expect(try console.ask(0x06, 0x3b, [4]) == [0, 4])
    }

    mutating func activate() throws -> UInt8 { try console.ask(0x06, 0x48, [1, 1, 0xc6, 0, 0, 0])[0] }

    /// Sends it until it is acknowledged or refused.
    mutating func type(_ text: String) throws -> SOLPacket? {
        sequence = SOLPacket.sequence(after: sequence)
        let packet = SOLPacket(sequence: sequence, characters: Array(text.utf8))
        wire.send(try console.datagram(packet))
        while let answer = try hear() { if answer.acknowledged == sequence { return answer } }
        return nil
    }

    /// The next packet; what it shows is acknowledged.
    mutating func hear() throws -> SOLPacket? {
        guard let datagram = wire.receive() else { return nil }
        let packet = try #require(console.serial(datagram))
        statuses.append(packet.status)
        if packet.sequence != 0 {
            if packet.sequence != last { shown += packet.characters }
            last = packet.sequence
            wire.send(try console.datagram(SOLPacket(acknowledged: packet.sequence, accepted: UInt8(packet.characters.count))))
        }
        return packet
    }

    mutating func wait(for text: String) throws -> Bool {
        while !String(decoding: shown, as: UTF8.self).contains(text) { guard try hear() != nil else { return false } }
        shown = []
        return true
    }
}

@Suite("a BMC's IPMI on the network") struct IPMIServerTests {
    /// What a test does, on a thread that may block.
    private func withBMC(
        power: BMCReading.Power = .on, faults: [Misbehaviour] = [],
        _ body: @escaping @Sendable (UInt16, SimulatedHardware, VirtualBMC) throws -> Void
    ) async throws {
        let hardware = SimulatedHardware(inventory: .simulated(1), power: power)
        let bmc = VirtualBMC(
            hardware: hardware, account: BMCAccount(id: "1", userName: "admin", password: "hostler-lab", role: .administrator),
            now: { Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)) })
        bmc.setFaults(faults)
        let server = try await VirtualIPMIServer(bmc, host: "127.0.0.1", port: 0)
        let port = UInt16(server.address.port ?? 0)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await bmc.run() }
            group.addTask { try? await server.run() }
            try await NIOThreadPool.singleton.runIfActive { try body(port, hardware, bmc) }
            group.cancelAll()
        }
    }

    @Test("a console reads the banner, and a typed line comes back") func console() async throws {
        try await withBMC { port, _, _ in
            var terminal = try Terminal(port: port)
            #expect(try terminal.activate() == 0)
            #expect(try terminal.wait(for: "sim1> "))
            #expect(try terminal.type("hello\r")?.accepted == 6)
            #expect(try terminal.wait(for: "you typed: hello\r\n"))
        }
    }

    @Test("a thousand lines of the machine come whole and in order") func flood() async throws {
        try await withBMC { port, hardware, _ in
            var terminal = try Terminal(port: port)
            #expect(try terminal.activate() == 0)
            #expect(try terminal.wait(for: "sim1> "))
            let lines = (0..<1000).map { "line \($0)\r\n" }.joined()
            (hardware.console as? SimulatedConsole)?.write(Array(lines.utf8))
            while terminal.shown.count < lines.utf8.count, try terminal.hear() != nil {}
            #expect(String(decoding: terminal.shown, as: UTF8.self) == lines)
        }
    }

    @Test("though one datagram in three is lost, what is shown is whole") func drops() async throws {
        try await withBMC { port, hardware, bmc in
            var terminal = try Terminal(port: port)
            #expect(try terminal.console.ask(0x0c, 0x21, [1, 4, 7, 2]) == [0], "20 ms between retries")
            #expect(try terminal.activate() == 0)
            #expect(try terminal.wait(for: "sim1> "))
            bmc.setFaults([.drop(oneIn: 3)])
            let lines = (0..<200).map { "line \($0)\r\n" }.joined()
            (hardware.console as? SimulatedConsole)?.write(Array(lines.utf8))
            while terminal.shown.count < lines.utf8.count, try terminal.hear() != nil {}
            #expect(String(decoding: terminal.shown, as: UTF8.self) == lines)
        }
    }

    @Test("a machine that goes off refuses what is typed, and says so; its banner comes when it starts") func power() async throws {
        try await withBMC { port, _, _ in
            var terminal = try Terminal(port: port)
            #expect(try terminal.activate() == 0)
            #expect(try terminal.wait(for: "sim1> "))
            terminal.wire.send(try terminal.console.datagram(0x00, 0x02, [0]))
            // The command's answer, and a packet that says it.
            var isTold = false
            for _ in 0..<2 { isTold = terminal.wire.receive().flatMap(terminal.console.serial)?.status == .unavailable || isTold }
            #expect(isTold)
            let refused = try terminal.type("x")
            #expect(refused?.accepted == 0 && refused?.status == [.refused, .unavailable])
            terminal.wire.send(try terminal.console.datagram(0x00, 0x02, [1]))
            var banner: [UInt8] = []
            while !String(decoding: banner, as: UTF8.self).contains("sim1> "), let datagram = terminal.wire.receive() {
                banner += terminal.console.serial(datagram)?.characters ?? []
            }
            #expect(String(decoding: banner, as: UTF8.self).contains("sim1> "))
        }
    }

    @Test("a hung BMC sends nothing, nor types; when it is mended the console goes on") func hang() async throws {
        try await withBMC { port, hardware, bmc in
            var terminal = try Terminal(port: port)
            #expect(try terminal.activate() == 0)
            #expect(try terminal.wait(for: "sim1> "))
            bmc.setFaults([.hang])
            (hardware.console as? SimulatedConsole)?.write(Array("while it hung".utf8))
            #expect(bmc.nextForConsole() == nil && bmc.consoleWait == nil)
            bmc.setFaults([])
            #expect(try terminal.wait(for: "while it hung"))
        }
    }

    @Test("a BMC that lies acknowledges what is typed, and the machine does not get it") func lie() async throws {
        try await withBMC(faults: [.lie]) { port, _, bmc in
            var terminal = try Terminal(port: port)
            #expect(try terminal.activate() == 0)
            #expect(try terminal.wait(for: "sim1> "))
            #expect(try terminal.type("lost")?.accepted == 4)
            bmc.setFaults([])
            #expect(try terminal.type("kept\r")?.accepted == 5)
            #expect(try terminal.wait(for: "you typed: kept\r\n"))
        }
    }
}
