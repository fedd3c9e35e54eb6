public import NIOCore
internal import NetBoot
internal import Sockets
internal import Synchronization
public import Wire

/// Asks a wire which DHCP servers answer on it: a DISCOVER as a client sends it (RFC 2131 §4.4.1), whose offers
/// nobody takes.
public struct DHCPProbe: Sendable {
    public struct Answer: Hashable, Sendable {
        /// The server's identifier, or where its offer names none, the address it came from.
        public var server: IPv4Address
        /// The address that it would give.
        public var offered: IPv4Address

        public init(server: IPv4Address, offered: IPv4Address) {
            self.server = server
            self.offered = offered
        }
    }

    private let interface: String
    private let ownAddress: IPv4Address
    private let transactionID: UInt32

    /// - Parameter ownAddress: ours on that wire; a server with it is no other one. Any: what the interface has.
    public init(
        interface: String, ownAddress: IPv4Address = .any, transactionID: UInt32 = .random(in: 1 ... .max)
    ) {
        self.interface = interface
        self.ownAddress = ownAddress
        self.transactionID = transactionID
    }

    /// The MAC address that the probe of the server at this address asks with: a local one, which no machine has.
    /// The server itself knows it and offers it nothing.
    static func mac(of server: IPv4Address) -> MACAddress { MACAddress(value: 0x0248 << 32 | UInt64(server.value)) }

    /// Servers ask the address that they would offer first (RFC 2131 §2.2): dnsmasq waits 3 s for its answer.
    public static let usualTime = Duration.seconds(5)

    /// The other servers that answered within `time`, in the order of their addresses. Asks twice: a packet may be lost.
    ///
    /// - Parameter group: its threads are in the interface's network namespace.
    public func run(on group: any EventLoopGroup, for time: Duration = usualTime) async throws -> [Answer] {
        let loop = group.next()
        let own = try await loop.submit { try Self.addresses(of: interface) }.get().union([ownAddress])
        let mac = Self.mac(of: ownAddress == .any ? own.max() ?? .any : ownAddress)
        let answers = OfferBox(transactionID: transactionID, mac: mac)
        let channel: any Channel
        do {
            channel = try await InterfaceSocket.bind(port: 68, interface: interface, on: loop) {
                try $0.pipeline.syncOperations.addHandler(OfferHandler(box: answers))
            }
        } catch let error as BootServiceError {
            throw error
        } catch {
            throw BootServiceError.bind(service: "the DHCP probe", interface: interface, port: 68, cause: "\(error)")
        }
        do {
            for _ in 0..<2 {
                try await ask(mac, on: channel)
                try await Task.sleep(for: time / 2)
            }
            try await channel.close()
        } catch {
            try? await channel.close()
            throw error
        }
        return answers.all.filter { !own.contains($0.server) }.sorted { $0.server < $1.server }
    }

    private func ask(_ mac: MACAddress, on channel: any Channel) async throws {
        var message = DHCPMessage.discover(mac: mac, transactionID: transactionID)
        // The interface does not have the probe's MAC address: it hears only what goes to all.
        message.wantsBroadcast = true
        let everybody = SocketAddress(.broadcast, port: 67)
        try await channel.writeAndFlush(
            AddressedEnvelope(remoteAddress: everybody, data: ByteBuffer(bytes: message.serialize())))
    }

    private static func addresses(of interface: String) throws -> Set<IPv4Address> {
        let devices = try System.enumerateDevices().filter { $0.name == interface }
        return Set(devices.compactMap { $0.address?.ipv4 })
    }
}

/// The offers that came to a probe.
private final class OfferBox: Sendable {
    let transactionID: UInt32
    let mac: MACAddress
    private let answers = Mutex<[IPv4Address: DHCPProbe.Answer]>([:])

    init(transactionID: UInt32, mac: MACAddress) {
        self.transactionID = transactionID
        self.mac = mac
    }

    var all: [DHCPProbe.Answer] { answers.withLock { Array($0.values) } }

    func receive(_ bytes: [UInt8], from source: IPv4Address) {
        guard let offer = try? DHCPMessage(parsing: bytes), offer.isReply, offer.type == .offer,
            offer.transactionID == transactionID, offer.mac == mac
        else { return }
        let server = offer.serverIdentifier ?? source
        answers.withLock { known in
            // What a wire says has a limit.
            guard known.count < ForeignServers.limit else { return }
            known[server] = DHCPProbe.Answer(server: server, offered: offer.yourAddress)
        }
    }
}

private final class OfferHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    private let box: OfferBox

    init(box: OfferBox) { self.box = box }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let envelope = unwrapInboundIn(data)
        let source = envelope.remoteAddress.ipv4 ?? .any
        box.receive(Array(envelope.data.readableBytesView), from: source)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // An error of one datagram must not end the probe.
    }
}
