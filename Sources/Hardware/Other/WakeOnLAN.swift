internal import Glibc
public import Model
internal import NIOCore
internal import NIOPosix
public import Wire

/// The packet that wakes a sleeping NIC (AMD, "Magic Packet Technology").
public enum MagicPacket {
    /// Six bytes of 0xff, then the address sixteen times.
    public static func bytes(for mac: MACAddress) -> [UInt8] {
        [UInt8](repeating: 0xff, count: 6) + (0..<16).flatMap { _ in mac.bytes }
    }
}

/// A machine that can be woken and nothing else. Whether it woke is seen by a TCP probe, where one is given:
/// a port that answers or refuses is a machine that is on.
public final class WakeOnLAN: PowerSwitch {
    private let mac: MACAddress
    private let broadcast: IPv4Address
    private let port: Int
    private let probe: (host: String, port: Int)?
    private let network: BMCNetwork

    /// - Parameter options: `broadcast` (address or address:port, 255.255.255.255 and 9, discard, if not given), `probe` (host:port).
    public init(mac: MACAddress, options: [String: String] = [:], network: BMCNetwork = .own) throws(Problem) {
        self.network = network
        self.mac = mac
        var broadcast = IPv4Address.broadcast
        var port = 9
        var probe: (String, Int)?
        for (name, value) in options {
            let parts = value.split(separator: ":").map(String.init)
            switch name {
            case "broadcast":
                guard (1...2).contains(parts.count), let address = IPv4Address(parts[0]), let number = parts.count == 2 ? Int(parts[1]) : 9,
                    (1...65535).contains(number)
                else { throw Self.invalid(name, value) }
                broadcast = address
                port = number
            case "probe":
                guard parts.count == 2, let port = Int(parts[1]), (1...65535).contains(port) else { throw Self.invalid(name, value) }
                probe = (parts[0], port)
            default: throw Self.invalid(name, value)
            }
        }
        self.broadcast = broadcast
        self.port = port
        self.probe = probe
    }

    private static func invalid(_ name: String, _ value: String) -> Problem {
        Problem(
            "bmc-option-invalid", status: 422, title: "“\(name)=\(value)” is no option of Wake-on-LAN",
            remedy: "There are broadcast (an address, or address:port) and probe (host:port).")
    }

    public var address: String { mac.description }

    public func readPower() async throws -> PowerReading {
        guard let probe else { return PowerReading(state: .unknown) }
        do {
            let channel = try await network.run {
                try await ClientBootstrap(group: self.network.group)
                    .connectTimeout(.seconds(2)).connect(host: probe.host, port: probe.port).get()
            }
            try? await channel.close()
            return PowerReading(state: .on)
        } catch let error as NIOConnectionError {
            let isRefused = error.connectionErrors.contains { ($0.error as? IOError)?.errnoCode == ECONNREFUSED }
            return PowerReading(state: isRefused ? .on : .off)
        } catch let error as IOError where error.errnoCode == ECONNREFUSED {
            return PowerReading(state: .on)
        } catch let error where error is ChannelError || error is IOError {
            return PowerReading(state: .off)
        }
    }

    public func request(_ request: PowerRequest) async throws {
        guard request == .on else { throw unable("do “\(request.rawValue)”") }
        let channel = try await network.run {
            try await DatagramBootstrap(group: self.network.group)
                .channelOption(.socketOption(.so_broadcast), value: 1)
                .bind(host: "0.0.0.0", port: 0).get()
        }
        let target = try SocketAddress(ipAddress: broadcast.description, port: port)
        let packet = ByteBuffer(bytes: MagicPacket.bytes(for: mac))
        do {
            // Nobody confirms it: three are as good as one.
            for _ in 0..<3 { try await channel.writeAndFlush(AddressedEnvelope(remoteAddress: target, data: packet)) }
        } catch {
            try? await channel.close()
            throw Problem.bmc("unreachable", "The wake-up packet for \(mac) could not be sent to \(broadcast)", detail: "\(error)")
        }
        try? await channel.close()
    }
}
