import NIOCore
import NIOPosix
import Synchronization
import Wire

@testable import BootServices
@testable import NetBoot

/// A DHCP client, relay or rogue on one interface of a ``TestWire``, made of NetBoot's codecs.
final class DHCPTestClient: Sendable {
    private let channel: any Channel
    private let group: MultiThreadedEventLoopGroup
    private let inbox: Inbox

    private final class Inbox: ChannelInboundHandler, Sendable {
        typealias InboundIn = AddressedEnvelope<ByteBuffer>
        let messages = Mutex<[DHCPMessage]>([])

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            guard let message = try? DHCPMessage(parsing: Array(unwrapInboundIn(data).data.readableBytesView)) else { return }
            messages.withLock { $0.append(message) }
        }
    }

    private init(channel: any Channel, group: MultiThreadedEventLoopGroup, inbox: Inbox) {
        self.channel = channel
        self.group = group
        self.inbox = inbox
    }

    /// Opens a client for as long as `body` takes.
    static func open<Result>(
        _ namespace: String, _ interface: String = "wire0", port: Int = 68, _ body: (DHCPTestClient) async throws -> Result
    ) async throws -> Result {
        let group = try await NamespaceThreads.group(namespace: namespace, threads: 1)
        let inbox = Inbox()
        let outcome: Swift.Result<Result, any Error>
        do {
            let channel = try await InterfaceSocket.bind(port: port, interface: interface, on: group.next()) {
                try $0.pipeline.syncOperations.addHandler(inbox)
            }
            outcome = .success(try await body(DHCPTestClient(channel: channel, group: group, inbox: inbox)))
        } catch {
            outcome = .failure(error)
        }
        try await group.shutdownGracefully()
        return try outcome.get()
    }

    func send(_ message: DHCPMessage, to address: IPv4Address = .broadcast, port: Int = 67) async throws {
        try await send(message.serialize(), to: address, port: port)
    }

    func send(_ bytes: [UInt8], to address: IPv4Address = .broadcast, port: Int = 67) async throws {
        let remote = try SocketAddress(ipAddress: address.description, port: port)
        try await channel.writeAndFlush(AddressedEnvelope(remoteAddress: remote, data: ByteBuffer(bytes: bytes)))
    }

    /// What came and was not taken yet.
    var waiting: [DHCPMessage] { inbox.messages.withLock { $0 } }

    /// The next message of that transaction, or nil where none comes in time.
    func receive(_ transactionID: UInt32, within limit: Duration = .seconds(5)) async -> DHCPMessage? {
        var found: DHCPMessage?
        _ = await eventually(within: limit) {
            found = inbox.messages.withLock { messages in
                messages.firstIndex { $0.transactionID == transactionID }.map { messages.remove(at: $0) }
            }
            return found != nil
        }
        return found
    }

    func ask(_ message: DHCPMessage, to address: IPv4Address = .broadcast, port: Int = 67) async throws -> DHCPMessage? {
        try await send(message, to: address, port: port)
        return await receive(message.transactionID)
    }

    /// DISCOVER, OFFER, REQUEST, ACK: the acknowledgement, or nil.
    func join(_ mac: MACAddress) async throws -> DHCPMessage? {
        let transaction = UInt32.random(in: 1 ... .max)
        guard let offer = try await ask(.discover(mac: mac, transactionID: transaction)), offer.type == .offer,
            let server = offer.serverIdentifier
        else { return nil }
        return try await ask(
            .request(mac: mac, transactionID: transaction &+ 1, address: offer.yourAddress, server: server))
    }
}

extension DHCPMessage {
    /// A DISCOVER as the PXE of firmware sends it (RFC 4578 §2).
    static func pxeDiscover(
        _ mac: MACAddress, transactionID: UInt32, architecture: UInt16 = 0, vendorClass: String = "PXEClient"
    ) -> DHCPMessage {
        var message = DHCPMessage.discover(mac: mac, transactionID: transactionID)
        message.options.append(.vendorClass, Array(vendorClass.utf8))
        message.options.append(.clientArchitecture, [UInt8(architecture >> 8), UInt8(architecture & 0xff)])
        return message
    }
}
