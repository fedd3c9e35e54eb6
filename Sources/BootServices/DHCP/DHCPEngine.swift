internal import Control
internal import Logging
internal import Model
internal import NIOCore
internal import NetBoot
internal import Sockets
internal import Store
internal import Wire

/// Turns datagrams into events of the DHCP state machine and its actions into
/// datagrams. Lives on one event loop; leases that were granted while a commit
/// is under way go into the next one together.
final class DHCPEngine: @unchecked Sendable {
    // Unchecked: touched on its channels' one event loop only.
    private var server: DHCPNetworks
    private let service: DHCPService
    private let files: BootFiles
    private let frames: DHCPFrames?
    /// Leases that wait for a slow store.
    private var waiting: LeaseQueue<Pending>
    private var commitIsUnderWay = false

    /// Replies go out in groups of so many, and what has come meanwhile is read between them: a client's socket holds
    /// some 160 datagrams (Linux, rmem_default), and a commit may have granted more.
    private static let repliesAtOnce = 32

    private struct Pending {
        var change: LeaseChange
        var reply: (message: DHCPMessage, destination: DHCPDestination, context: ChannelHandlerContext)?
    }

    /// - Parameter frames: nil where they cannot be looked at.
    init(server: DHCPNetworks, service: DHCPService, frames: DHCPFrames?) {
        self.server = server
        self.service = service
        self.frames = frames
        waiting = LeaseQueue(limits: .init(total: service.queueLimits.total, unknown: service.queueLimits.unknown))
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
        // A client renews past its relay (RFC 2131 §4.4.5): its own address says where it is.
        let policy = service.network.policy(at: message.networkHint)
        guard policy != .watch else {
            noteArrival(message, source, policy)
            return service.counters.add("watched")
        }
        let now = service.control.steady.milliseconds
        let address = source.ipv4 ?? .any
        var receive = ReceiveContext(port: port, source: address, sourcePort: UInt16(source.port ?? 68))
        let subnet = message.networkHint.flatMap(service.network.subnet(of:))
        if message.type == .release || message.type == .decline || subnet != nil { receive.frame = frames?.frame(of: bytes) ?? .unseen }
        if let subnet, !cameByRouter(message, receive, of: subnet, context) { return }
        noteArrival(message, source, policy)
        let action = server.receive(message, on: receive, nowMilliseconds: now, boot: bootAnswer(message, policy))
        // Before what the message itself leads to: it may be of the same address.
        for address in server.takeForgotten() {
            service.leases.remove(address)
            keep(.delete(address), isKnown: true, reply: nil, context)
        }
        switch action {
        case .drop(let reason):
            tell(reason, message, receive)
            service.counters.add("dropped")
            service.counters.add("dropped-" + reason.name)
            service.logger.debug("DHCP message dropped", metadata: ["why": "\(reason)"])
            // Its replies go to port 68 and are not heard here; that a client takes its offer is.
            if case .anotherServerChosen(let other) = reason { noteForeign(other, context) }
        case .reply(let reply, let destination):
            send(reply, to: destination, context)
        case .grant(let lease, let reply, let destination):
            service.counters.add("granted")
            keep(.put(lease), isKnown: service.isKnown(lease.mac), reply: (reply, destination), context)
        case .release(let lease):
            service.counters.add("released")
            keep(.put(lease), isKnown: service.isKnown(lease.mac), reply: nil, context)
        case .decline(let lease):
            service.counters.add("declined")
            keep(.put(lease), isKnown: service.isKnown(lease.mac), reply: nil, context)
        case .declineRefused(let address):
            tell("declines", message, receive, evidence: ["address": address.description])
        case .foreignServer(let other):
            noteForeign(other, context)
        }
    }

    /// Whether a message that says it is of a network behind a router came by a router of that network.
    private func cameByRouter(
        _ message: DHCPMessage, _ receive: ReceiveContext, of subnet: BootNetwork.Subnet, _ context: ChannelHandlerContext
    ) -> Bool {
        let mac: MACAddress
        switch receive.frame {
        case .unseen: return true
        case .missing:
            service.counters.add("dropped")
            service.counters.add("dropped-no-frame")
            return false
        case .from(let source): mac = source
        }
        switch service.routers.judge(mac, of: subnet) {
        case .router: return true
        case .none:
            // Where the client names its address itself, no relay speaks.
            guard message.relayAddress != .any, service.routers.learn(mac, of: subnet) else { return true }
            _ = context.eventLoop.makeFutureWithTask { [service] in await service.keep(router: mac, of: subnet) }
            return true
        case .foreign(let known):
            service.counters.add("dropped")
            service.counters.add("dropped-foreign-router")
            tell("foreign-router", message, receive, evidence: RouterPorts.evidence(of: subnet, known))
            return false
        }
    }

    /// The gate decides whether a boot is answered at all; what it decides is told by the script.
    private func bootAnswer(_ message: DHCPMessage, _ policy: DiscoveryPolicy) -> BootAnswer? {
        let now = service.control.steady
        guard let question = BootQuestion(message) else {
            if let mac = message.mac { service.control.bootTraces.note(.system, of: mac, at: now) }
            return nil
        }
        service.control.bootTraces.note(.firmware, of: question.mac, at: now)
        switch service.control.boots(question.mac, policy: policy).verdict {
        case .localDisk:
            return files.answer(to: question, toLocalDisk: true, system: service.control.diskSystem(at: question.mac).operation)
        // Without a boot file firmware goes on as if nobody had answered.
        case .leave: return nil
        // A known machine that is refused hears why from the script.
        case .agent, .refuse: return files.answer(to: question, toLocalDisk: false)
        }
    }

    /// An unknown machine that asks for something to boot, where it gets nothing, and on a network that only watches any
    /// machine that does: the event tells a person who it is. What the packet says is a claim.
    private func noteArrival(_ message: DHCPMessage, _ source: SocketAddress, _ policy: DiscoveryPolicy) {
        guard let question = BootQuestion(message) else { return }
        let machine = service.control.snapshot.machine(with: question.mac)
        guard policy == .watch || (policy == .known && machine == nil) else { return }
        var evidence = ["policy": policy.rawValue, "mac": question.mac.description]
        evidence["uuid"] = question.uuid
        evidence["machine"] = machine?.id.rawValue
        if machine == nil { evidence["remedy"] = "If it is yours: hostler machine add \(question.mac)" }
        service.refusals.note(
            policy == .watch ? "watched" : "unknown-machine", source: source.ipAddress ?? "", mac: question.mac, isClaim: true,
            event: "boot.arrival", evidence: evidence)
    }

    /// Beside another server, as a proxy, there is nothing to note.
    private func noteForeign(_ other: IPv4Address, _ context: ChannelHandlerContext) {
        guard service.network.mode == .server else { return }
        _ = context.eventLoop.makeFutureWithTask { [service] in await service.note(foreign: other) }
    }

    private func keep(
        _ change: LeaseChange, isKnown: Bool, reply: (message: DHCPMessage, destination: DHCPDestination)?, _ context: ChannelHandlerContext
    ) {
        guard waiting.hasRoom(isKnown: isKnown) else { return service.counters.add("overloaded") }
        if case .put(let lease) = change { service.leases.set(lease) }
        waiting.append(
            Pending(change: change, reply: reply.map { (message: $0.message, destination: $0.destination, context: context) }),
            at: change.address, isKnown: isKnown)
        commitWaiting(on: context.eventLoop)
    }

    // MARK: Refusals

    /// Of what is dropped, what somebody may do on purpose.
    private func tell(_ reason: DHCPDropReason, _ message: DHCPMessage, _ receive: ReceiveContext) {
        switch reason {
        case .foreignSender, .lateDecline, .notItsLease:
            tell(reason.name, message, receive, evidence: ["client": message.mac?.description ?? ""])
        case .exhausted, .unknownShareUsed: tell(reason.name, message, receive)
        default: break
        }
    }

    private func tell(_ why: String, _ message: DHCPMessage, _ receive: ReceiveContext, evidence: [String: String] = [:]) {
        // The frame's source where it was looked at; else the message names it, as anybody can.
        if case .from(let mac) = receive.frame {
            service.refusals.note(why, source: receive.source.description, mac: mac, event: "dhcp.refused", evidence: evidence)
        } else {
            service.refusals.note(
                why, source: receive.source.description, mac: message.mac, isClaim: true, event: "dhcp.refused", evidence: evidence)
        }
    }

    private func commitWaiting(on loop: any EventLoop) {
        guard !commitIsUnderWay, !waiting.isEmpty else { return }
        commitIsUnderWay = true
        // What came while the store wrote goes in one transaction, as far as one may go.
        let batch = waiting.take(StoreLimits.mutationsPerCommit)
        // The newest word on an address counts: a key may stand once in a transaction.
        var newest: [IPv4Address: LeaseChange] = [:]
        for pending in batch { newest[pending.change.address] = pending.change }
        let changes = Array(newest.values)
        let done = loop.makeFutureWithTask { [service] in try await service.commit(changes) }
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
final class DHCPHandler: ChannelInboundHandler {
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
