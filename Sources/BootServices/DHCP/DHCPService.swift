internal import CLinux
public import Control
internal import Dispatch
internal import FoundationEssentials
public import Logging
public import Model
public import NIOCore
internal import NIOPosix
internal import NetBoot
public import Store
internal import Synchronization
internal import Wire

/// DHCPv4 on one interface: a socket, the pure ``DHCPServer``, and the store
/// that a lease is in before it is acknowledged.
public final class DHCPService: Sendable {
    public let counters = Counters()
    /// Other DHCP servers heard on the wire, by address, and when last.
    public var foreignServers: [String: Timestamp] { foreign.withLock { $0 } }
    let foreign = Mutex<[String: Timestamp]>([:])
    /// Kept current with what is granted and given back.
    public let leases = LeaseTable()

    let network: BootNetwork
    let control: ControlPlane
    let store: any StateStore
    let logger: Logger

    public init(network: BootNetwork, control: ControlPlane, store: any StateStore, logger: Logger) {
        self.network = network
        self.control = control
        self.store = store
        self.logger = logger
    }

    /// Where the leases of this network are kept.
    var leasePrefix: String { "/leases/\(network.name)/" }

    /// Loads the leases and listens. The channels close when the group shuts down or they are closed.
    public func start(on group: any EventLoopGroup) async throws -> [any Channel] {
        let server = try DHCPServer(network.dhcpConfiguration, leases: try await loadLeases())
        for lease in server.pool.leases { leases.set(lease) }
        let engine = DHCPEngine(server: server, service: self)
        // Both ports on one loop: they share the pool without a lock.
        let loop = group.next()
        var channels = [try await bind(port: 67, on: loop, engine: engine)]
        if network.mode == .proxy { channels.append(try await bind(port: 4011, on: loop, engine: engine)) }
        return channels
    }

    private func bind(port: Int, on loop: any EventLoop, engine: DHCPEngine) async throws -> any Channel {
        let interface = network.interface
        do {
            return try await loop.flatSubmit {
                DatagramBootstrap(group: loop)
                    .channelOption(.socketOption(.so_reuseaddr), value: 1)
                    .channelOption(.socketOption(.so_broadcast), value: 1)
                    .channelOption(.datagramVectorReadMessageCount, value: 32)
                    .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 32 * 1536))
                    .channelInitializer { channel in
                        channel.eventLoop.makeCompletedFuture {
                            try channel.pipeline.syncOperations.addHandler(DHCPHandler(engine: engine, port: UInt16(port)))
                        }
                    }
                    .bind(host: "0.0.0.0", port: port)
                    .flatMap { channel in
                        Self.bindToDevice(channel, interface).map { channel }
                    }
            }.get()
        } catch {
            throw BootServiceError.bind(service: "DHCP", interface: interface, port: port, cause: "\(error)")
        }
    }

    /// SO_BINDTODEVICE: nothing is heard from, or said to, any other interface.
    static func bindToDevice(_ channel: any Channel, _ interface: String) -> EventLoopFuture<Void> {
        guard let provider = channel as? any SocketOptionProvider else {
            return channel.eventLoop.makeFailedFuture(ChannelError.operationUnsupported)
        }
        // The option takes the name as C text; 16 bytes is IFNAMSIZ.
        var name: (UInt64, UInt64) = (0, 0)
        withUnsafeMutableBytes(of: &name) { $0.copyBytes(from: interface.utf8.prefix(15)) }
        return provider.unsafeSetSocketOption(
            level: .socket, name: .init(rawValue: CInt(25)), value: name)  // SO_BINDTODEVICE
    }

    private func loadLeases() async throws -> [DHCPLease] {
        var leases: [DHCPLease] = []
        var after: String?
        repeat {
            let page = try await store.list(prefix: leasePrefix, after: after, limit: 1000)
            leases += try page.values.map { try RecordCoding.decode(DHCPLease.self, from: $0) }
            after = page.nextKey
        } while after != nil
        return leases
    }
}

/// Turns datagrams into events of the DHCP state machine and its actions into
/// datagrams. Lives on one event loop; leases that were granted while a commit
/// is under way go into the next one together.
final class DHCPEngine: @unchecked Sendable {
    // Unchecked: touched on its channels' one event loop only.
    private var server: DHCPServer
    private let service: DHCPService
    private let files: BootFiles
    private var waiting: [Pending] = []
    private var commitIsUnderWay = false

    private struct Pending {
        var mutation: Mutation
        var reply: (message: DHCPMessage, destination: DHCPDestination, context: ChannelHandlerContext)?
        var address: IPv4Address
    }

    init(server: DHCPServer, service: DHCPService) {
        self.server = server
        self.service = service
        files = BootFiles(network: service.network)
    }

    func receive(_ bytes: [UInt8], from source: SocketAddress, port: UInt16, _ context: ChannelHandlerContext) {
        let message: DHCPMessage
        do { message = try DHCPMessage(parsing: bytes) } catch {
            service.counters.add("malformed")
            return
        }
        service.counters.add("received")
        let now = service.control.now.milliseconds
        let address = source.ipAddress.flatMap { IPv4Address($0) } ?? .any
        let receive = ReceiveContext(port: port, source: address, sourcePort: UInt16(source.port ?? 68))
        switch server.receive(message, on: receive, nowMilliseconds: now, boot: bootAnswer(message)) {
        case .drop(let reason):
            service.counters.add("dropped")
            service.logger.debug("DHCP message dropped", metadata: ["why": "\(reason)"])
        case .reply(let reply, let destination):
            send(reply, to: destination, context)
        case .grant(let lease, let reply, let destination):
            service.counters.add("granted")
            keep(lease, reply: (reply, destination, context))
        case .release(let lease), .decline(let lease):
            keep(lease, reply: nil)
        case .foreignServer(let other):
            noteForeign(other)
        }
    }

    /// The gate decides whether a boot is answered at all; what it decides is told by the script.
    private func bootAnswer(_ message: DHCPMessage) -> BootAnswer? {
        guard let question = BootQuestion(message) else { return nil }
        let (machine, verdict) = service.control.boots(question.mac)
        // A stranger that is refused gets no boot file; a known machine hears why from the script.
        if machine == nil, case .refuse = verdict { return nil }
        if case .localDisk = verdict { return files.answer(to: question, toLocalDisk: true) }
        return files.answer(to: question, toLocalDisk: false)
    }

    private func noteForeign(_ other: IPv4Address) {
        service.counters.add("foreign-server")
        let first = service.foreign.withLock { known in
            defer { known[other.description] = service.control.now }
            return known[other.description] == nil
        }
        guard first else { return }
        service.logger.warning(
            "another DHCP server answers on this wire",
            metadata: ["server": "\(other)", "interface": "\(service.network.interface)"])
        let control = service.control
        let interface = service.network.interface
        Task {
            try? await control.recordEvent(
                kind: "network.foreign-dhcp-server", actor: "dhcp",
                message: "another DHCP server, \(other), answers on \(interface): machines may take its addresses and boot files; switch it off there, or use proxy mode",
                evidence: ["server": other.description])
        }
    }

    private func keep(_ lease: DHCPLease, reply: (DHCPMessage, DHCPDestination, ChannelHandlerContext)?) {
        guard let bytes = try? RecordCoding.encode(lease) else { return }
        service.leases.set(lease)
        let key = service.leasePrefix + lease.address.description
        waiting.append(
            Pending(
                mutation: .put(key: key, value: bytes, if: .none),
                reply: reply.map { (message: $0.0, destination: $0.1, context: $0.2) }, address: lease.address))
        if let context = reply?.2 { commitWaiting(on: context.eventLoop) }
    }

    private func commitWaiting(on loop: any EventLoop) {
        guard !commitIsUnderWay, !waiting.isEmpty else { return }
        commitIsUnderWay = true
        // The newest word on an address counts: a key may stand once in a transaction.
        var newest: [IPv4Address: Int] = [:]
        let batch = waiting
        waiting = []
        for (index, pending) in batch.enumerated() { newest[pending.address] = index }
        let mutations = batch.enumerated().compactMap { newest[$1.address] == $0 ? $1.mutation : nil }
        let store = service.store
        let done = loop.makeFutureWithTask { try await store.commit(mutations) }
        // On this loop again: the contexts are safe to use.
        let granted = NIOLoopBound(batch, eventLoop: loop)
        done.whenComplete { [self] result in
            commitIsUnderWay = false
            switch result {
            case .success:
                for pending in granted.value {
                    if let reply = pending.reply { send(reply.message, to: reply.destination, reply.context) }
                }
            case .failure(let error):
                service.counters.add("not-durable", granted.value.count)
                service.logger.error("leases could not be kept; their clients get no answer", metadata: ["error": "\(error)"])
            }
            commitWaiting(on: loop)
        }
    }

    private func send(_ message: DHCPMessage, to destination: DHCPDestination, _ context: ChannelHandlerContext) {
        let (host, port): (IPv4Address, Int) =
            switch destination {
            // Without an address the client cannot answer ARP, so its frame goes to all; it knows its own by the xid.
            case .broadcast, .hardware: (.broadcast, 68)
            case .unicast(let address, let port): (address, Int(port))
            case .relay(let address): (address, 67)
            }
        guard let remote = try? SocketAddress(ipAddress: host.description, port: port) else { return }
        var buffer = context.channel.allocator.buffer(capacity: 600)
        buffer.writeBytes(message.serialize())
        service.counters.add("sent")
        context.writeAndFlush(
            NIOAny(AddressedEnvelope(remoteAddress: remote, data: buffer)), promise: nil)
    }
}

/// One DHCP socket.
private final class DHCPHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    typealias OutboundOut = AddressedEnvelope<ByteBuffer>
    private let engine: DHCPEngine
    private let port: UInt16

    init(engine: DHCPEngine, port: UInt16) {
        self.engine = engine
        self.port = port
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let envelope = unwrapInboundIn(data)
        engine.receive(Array(envelope.data.readableBytesView), from: envelope.remoteAddress, port: port, context)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A refused datagram (ICMP) must not close the server's socket.
    }
}
