public import Control
public import Logging
public import Model
public import NIOCore
internal import NetBoot
internal import Sockets
public import Store
internal import Synchronization
public import Wire

/// DHCPv4 on one interface: a socket, the pure ``DHCPNetworks``, and the store
/// that a lease is in before it is acknowledged.
public final class DHCPService: Sendable {
    public let counters = Counters()
    /// Other DHCP servers heard on the wire, by address, and when last.
    public var foreignServers: [IPv4Address: Timestamp] { foreign.known(at: control.now) }
    let foreign = ForeignServers()
    private let missingFiles = Mutex<Set<String>>([])
    /// Kept current with what is granted and given back.
    let leases = LeaseTable()

    let network: BootNetwork
    let control: ControlPlane
    let store: any StateStore
    let logger: Logger
    private let bootFolder: BootFolder

    /// - Parameter bootFolder: where the boot files are; of those that are not there none is offered.
    public init(
        network: BootNetwork, control: ControlPlane, store: any StateStore, bootFolder: String, logger: Logger
    ) {
        self.network = network
        self.bootFolder = BootFolder(path: bootFolder)
        self.control = control
        self.store = store
        self.logger = logger
    }

    /// Whether firmware that is sent to this boot file would find it. Of one that is missing the log tells once.
    func has(bootFile name: String) -> Bool {
        if bootFolder.has(name) { return true }
        counters.add("boot-file-missing")
        if missingFiles.withLock({ $0.insert(name).inserted }) {
            logger.warning(
                "machines ask for a boot file that is not there; they are offered none",
                metadata: ["file": "\(name)", "folder": "\(bootFolder.path)"])
        }
        return false
    }

    /// Where the leases of this network are kept.
    var leasePrefix: String { "/leases/\(network.name)/" }

    /// Loads the leases and listens. The channels close when the group shuts down or they are closed.
    public func start(on group: any EventLoopGroup) async throws -> [any Channel] {
        let server = try DHCPNetworks(
            local: network.dhcpConfiguration, remote: network.remoteConfigurations, leases: try await loadLeases())
        for lease in server.leases { leases.set(lease) }
        let engine = DHCPEngine(server: server, service: self)
        // Both ports on one loop: they share the pool without a lock.
        let loop = group.next()
        var channels = [try await bind(port: 67, on: loop, engine: engine)]
        if network.mode == .proxy { channels.append(try await bind(port: 4011, on: loop, engine: engine)) }
        return channels
    }

    private func bind(port: Int, on loop: any EventLoop, engine: DHCPEngine) async throws -> any Channel {
        do {
            return try await InterfaceSocket.bind(port: port, interface: network.interface, on: loop) {
                try $0.pipeline.syncOperations.addHandler(DHCPHandler(engine: engine, port: UInt16(port)))
            }
        } catch let error as BootServiceError {
            throw error
        } catch {
            throw BootServiceError.bind(service: "DHCP", interface: network.interface, port: port, cause: "\(error)")
        }
    }

    /// Asks the wire every few minutes which other servers answer on it. Runs until cancelled.
    ///
    /// Beside another server, as a proxy, there is nothing to ask: that one is meant.
    func probeForOthers(
        on group: any EventLoopGroup, every interval: Duration = .seconds(300), for time: Duration = DHCPProbe.usualTime
    ) async {
        guard network.mode == .server else { return }
        while !Task.isCancelled {
            do {
                let probe = DHCPProbe(interface: network.interface, ownAddress: network.address.address)
                for answer in try await probe.run(on: group, for: time) { await note(foreign: answer.server) }
                try await Task.sleep(for: interval)
            } catch is CancellationError {
                return
            } catch {
                logger.info("the wire cannot be asked for other DHCP servers", metadata: ["error": "\(error)"])
                try? await Task.sleep(for: interval)
            }
        }
    }

    /// Counts another server that gives addresses where this one does, and says so once.
    func note(foreign other: IPv4Address) async {
        counters.add("foreign-server")
        guard foreign.hear(other, at: control.now) else { return }
        let interface = network.interface
        logger.warning(
            "another DHCP server answers on this wire", metadata: ["server": "\(other)", "interface": "\(interface)"])
        do {
            try await control.recordEvent(
                kind: "network.foreign-dhcp-server", actor: "dhcp",
                message:
                    "another DHCP server, \(other), answers on \(interface): machines may take its addresses and boot files; switch it off there, or use proxy mode",
                evidence: ["server": other.description])
        } catch {
            logger.error("an event could not be kept", metadata: ["event": "network.foreign-dhcp-server", "error": "\(error)"])
        }
    }

    /// Each address once.
    func commit(_ leases: some Collection<DHCPLease> & Sendable) async throws {
        _ = try await store.commit(
            leases.map { .put(key: leasePrefix + $0.address.description, value: try RecordCoding.encode($0), if: .none) })
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
    private var server: DHCPNetworks
    private let service: DHCPService
    private let files: BootFiles
    private var waiting: [Pending] = []
    private var commitIsUnderWay = false
    /// Leases that wait for a slow store: more than a rack has, and some 100 MB at the most. Whoever is not heard
    /// asks again.
    private static let waitingLimit = 65_536

    /// Replies go out in groups of so many, and what has come meanwhile is read between them: a client's socket holds
    /// some 160 datagrams (Linux, rmem_default), and a commit may have granted more.
    private static let repliesAtOnce = 32

    private struct Pending {
        var lease: DHCPLease
        var reply: (message: DHCPMessage, destination: DHCPDestination, context: ChannelHandlerContext)?
    }

    init(server: DHCPNetworks, service: DHCPService) {
        self.server = server
        self.service = service
        files = BootFiles(network: service.network) { service.has(bootFile: $0) }
    }

    func receive(_ bytes: [UInt8], from source: SocketAddress, port: UInt16, _ context: ChannelHandlerContext) {
        let message: DHCPMessage
        do { message = try DHCPMessage(parsing: bytes) } catch {
            service.counters.add("malformed")
            return
        }
        service.counters.add("received")
        guard message.mac != DHCPProbe.mac(of: service.network.address.address) else {
            return service.counters.add("own-probe")
        }
        let now = service.control.now.milliseconds
        let address = source.ipv4 ?? .any
        let receive = ReceiveContext(port: port, source: address, sourcePort: UInt16(source.port ?? 68))
        switch server.receive(message, on: receive, nowMilliseconds: now, boot: bootAnswer(message)) {
        case .drop(let reason):
            service.counters.add("dropped")
            service.counters.add("dropped-" + reason.name)
            service.logger.debug("DHCP message dropped", metadata: ["why": "\(reason)"])
            // Its replies go to port 68 and are not heard here; that a client takes its offer is.
            if case .anotherServerChosen(let other) = reason { noteForeign(other, context) }
        case .reply(let reply, let destination):
            send(reply, to: destination, context)
        case .grant(let lease, let reply, let destination):
            service.counters.add("granted")
            keep(lease, reply: (reply, destination), context)
        case .release(let lease):
            service.counters.add("released")
            keep(lease, reply: nil, context)
        case .decline(let lease):
            service.counters.add("declined")
            keep(lease, reply: nil, context)
        case .foreignServer(let other):
            noteForeign(other, context)
        }
    }

    /// The gate decides whether a boot is answered at all; what it decides is told by the script.
    private func bootAnswer(_ message: DHCPMessage) -> BootAnswer? {
        let now = service.control.now
        guard let question = BootQuestion(message) else {
            if let mac = message.mac { service.control.bootTraces.note(.system, of: mac, at: now) }
            return nil
        }
        service.control.bootTraces.note(.firmware, of: question.mac, at: now)
        let (machine, verdict) = service.control.boots(question.mac, discovery: service.network.discoveryPolicy)
        // A stranger that is refused gets no boot file; a known machine hears why from the script.
        if machine == nil, case .refuse = verdict { return nil }
        if case .localDisk = verdict { return files.answer(to: question, toLocalDisk: true) }
        return files.answer(to: question, toLocalDisk: false)
    }

    /// Beside another server, as a proxy, there is nothing to note.
    private func noteForeign(_ other: IPv4Address, _ context: ChannelHandlerContext) {
        guard service.network.mode == .server else { return }
        _ = context.eventLoop.makeFutureWithTask { [service] in await service.note(foreign: other) }
    }

    private func keep(
        _ lease: DHCPLease, reply: (message: DHCPMessage, destination: DHCPDestination)?, _ context: ChannelHandlerContext
    ) {
        guard waiting.count < Self.waitingLimit else { return service.counters.add("overloaded") }
        service.leases.set(lease)
        waiting.append(
            Pending(lease: lease, reply: reply.map { (message: $0.message, destination: $0.destination, context: context) }))
        commitWaiting(on: context.eventLoop)
    }

    private func commitWaiting(on loop: any EventLoop) {
        guard !commitIsUnderWay, !waiting.isEmpty else { return }
        commitIsUnderWay = true
        // What came while the store wrote goes in one transaction, as far as one may go.
        let batch = Array(waiting.prefix(StoreLimits.mutationsPerCommit))
        waiting.removeFirst(batch.count)
        // The newest word on an address counts: a key may stand once in a transaction.
        var newest: [IPv4Address: DHCPLease] = [:]
        for pending in batch { newest[pending.lease.address] = pending.lease }
        let done = loop.makeFutureWithTask { [service, newest] in try await service.commit(newest.values) }
        // On this loop again: the contexts are safe to use.
        let granted = NIOLoopBound(batch, eventLoop: loop)
        done.whenComplete { [self] result in
            commitIsUnderWay = false
            switch result {
            case .success:
                answer(granted.value[...], on: loop)
            case .failure(let error):
                service.counters.add("not-durable", granted.value.count)
                service.logger.error("leases could not be kept; their clients get no answer", metadata: ["error": "\(error)"])
            }
            commitWaiting(on: loop)
        }
    }

    private func answer(_ granted: ArraySlice<Pending>, on loop: any EventLoop) {
        for pending in granted.prefix(Self.repliesAtOnce) {
            if let reply = pending.reply { send(reply.message, to: reply.destination, reply.context) }
        }
        let rest = granted.dropFirst(Self.repliesAtOnce)
        guard !rest.isEmpty else { return }
        let later = NIOLoopBound(rest, eventLoop: loop)
        loop.execute { self.answer(later.value, on: loop) }
    }

    private func send(_ message: DHCPMessage, to destination: DHCPDestination, _ context: ChannelHandlerContext) {
        let (host, port): (IPv4Address, UInt16) =
            switch destination {
            // Without an address the client cannot answer ARP, so its frame goes to all; it knows its own by the xid.
            case .broadcast, .hardware: (.broadcast, 68)
            case .unicast(let address, let port): (address, port)
            case .relay(let address): (address, 67)
            }
        let refused = Datagram.send(message.serialize(), to: SocketAddress(host, port: port), on: context.channel)
        service.counters.add(refused == 0 ? "sent" : "unsent")
    }
}

/// One DHCP socket.
private final class DHCPHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
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
