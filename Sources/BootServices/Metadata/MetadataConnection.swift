internal import Control
internal import Metadata
internal import Model
internal import NIOCore
internal import Wire

/// One connection to the metadata service. Requests are answered one after another.
///
/// Who asks is looked up when the connection comes, again when the record changed, and again after a second: an
/// address can change hands while a connection is open.
final class MetadataConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Between two signs of life to a watcher.
    static let heartbeat = TimeAmount.seconds(15)

    private enum State {
        /// Reads a head.
        case reading
        /// An answer is being fetched; nothing is read meanwhile.
        case answering
        case watching(Watch)
        case closed
    }

    struct Watch {
        var asker: Asker
        /// What it was begun with.
        var claim: MachineClaim?
        var last: [UInt8]
        /// It could not take what there was to say; what is newest is said when it can.
        var isBehind = false
    }

    private struct Known {
        var claim: MachineClaim?
        var testimony: WireWitness.Testimony
        var view: InstanceView?
        var revision: Int64
        var at: NIODeadline
    }

    private let door: MetadataDoor
    private let crowd: MetadataCrowd
    private let source: MetadataSource
    private let isBehindRouter: Bool
    /// What opened the connection.
    private let frame: FrameEvidence
    /// Whose it was when it came, for the log of refusals.
    private let neighbour: MACAddress?
    private var state = State.reading
    private var received = ByteBuffer()
    private var known: Known?
    private var checkedToken: (text: String, asker: Asker, proof: Proof, expires: Timestamp)?
    private var quietSince = NIODeadline.now()
    private var context: ChannelHandlerContext?

    init(door: MetadataDoor, crowd: MetadataCrowd, source: MetadataSource, frame: FrameEvidence, neighbour: MACAddress?) {
        self.frame = frame
        self.neighbour = neighbour
        self.door = door
        self.crowd = crowd
        self.source = source
        isBehindRouter = door.witness.isBehindRouter(source)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        crowd.add(self)
    }

    func channelInactive(context: ChannelHandlerContext) {
        leave()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        leave()
        self.context = nil
    }

    private func leave() {
        if case .closed = state { return }
        if case .watching(let watch) = state { crowd.remove(self, watching: watch.asker.machine) }
        state = .closed
        crowd.remove(self)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = unwrapInboundIn(data)
        switch state {
        // What a watcher still says does not matter; that it is there does.
        case .watching, .closed: return
        case .reading, .answering: break
        }
        if received.readableBytes == 0 { received = buffer } else { received.writeBuffer(&buffer) }
        guard received.readableBytes <= 2 * RequestHead.limitBytes else { return refuse(400, .malformed, context) }
        readOn(context)
    }

    private func readOn(_ context: ChannelHandlerContext) {
        while case .reading = state, received.readableBytes > 0 {
            let bytes = Array(received.readableBytesView)
            switch RequestHead.read(bytes[...]) {
            case .incomplete: return
            case .refused(let status): return refuse(status, .malformed, context)
            case .head(let head, let byteCount):
                received.moveReaderIndex(forwardBy: byteCount)
                if received.readableBytes == 0 { received.clear() }
                quietSince = .now()
                answer(head, context)
            }
        }
    }

    // MARK: Answers

    private func answer(_ head: RequestHead, _ context: ChannelHandlerContext) {
        door.counters.add("requests")
        if case .refuse(let status, let why)? = door.desk.refusal(of: head) {
            door.refusals.note(why.rawValue, source: source.description, mac: neighbour)
            return send(.refusal(status), head, context)
        }
        let now = door.control.steady
        var claim = isBehindRouter ? head.claim : nil
        var known = whoAsks(claiming: claim)
        if case .stranger = known.testimony, !isBehindRouter, let shown = head.claim {
            // A port that its machine has named, and that has not booted itself.
            claim = shown
            known = whoAsks(claiming: shown)
        }
        guard case .machine(let asker) = known.testimony, let view = known.view else {
            tell(of: known.testimony)
            if isBehindRouter, case .v4(let address) = source, !door.mayAsk(.address(address), now: now) {
                return send(Self.tooMany, head, context)
            }
            return send(.refusal(403), head, context)
        }
        let checked = tokenCheck(head, asker, now)
        guard door.mayAsk(bucket(of: asker, head, checked), now: now) else {
            door.refusals.note(
                MetadataAnswer.Refusal.tooMany.rawValue, source: source.description, mac: asker.seenMAC, event: "metadata.refused",
                machine: asker.machine)
            return send(Self.tooMany, head, context)
        }
        switch door.desk.answer(head, from: asker, view: view, now: now, checked: checked) {
        case .reply(let reply): send(reply, head, context)
        case .refuse(let status, let why):
            tell(of: why, asker)
            send(.refusal(status), head, context)
        case .issueToken(let seconds, let proof):
            let token = door.desk.sessions.token(
                for: asker, proof: proof, seconds: seconds, now: now, random: UInt64.random(in: 0...UInt64.max))
            let header = "X-aws-ec2-metadata-token-ttl-seconds: \(seconds)"
            send(MetadataReply(200, Array(token.utf8), header: header), head, context)
        case .secret(let secret):
            let door = door
            fetch(head, context) { await door.secret(secret, for: asker) }
        case .identity(let identity):
            let door = door
            // A token that was got with the key shows it as well.
            let showsKey = checked == .good(.key) || head.shownKey.map { door.desk.sessions.check(key: $0, of: asker) == .key } ?? false
            fetch(head, context) { await door.identity(identity, for: asker, view: view, showsKey: showsKey) }
        case .watch: watch(asker, claim, view, context)
        }
    }

    private static var tooMany: MetadataReply {
        var reply = MetadataReply.refusal(503)
        reply.header = "Retry-After: 1"
        return reply
    }

    /// Whose requests this one is counted among: behind a router the machine's only once it has shown that it is that.
    private func bucket(of asker: Asker, _ head: RequestHead, _ checked: MetadataDesk.TokenCheck) -> MetadataDoor.Bucket {
        if !asker.isBehindRouter { return .machine(asker.machine) }
        if case .good(let proof) = checked, proof > .address { return .machine(asker.machine) }
        let hasKey = head.shownKey.map { door.desk.sessions.check(key: $0, of: asker) != nil } ?? false
        return hasKey ? .machine(asker.machine) : .address(asker.address)
    }

    /// A connection shows the same token again and again: its tag is computed once.
    private func tokenCheck(_ head: RequestHead, _ asker: Asker, _ now: Timestamp) -> MetadataDesk.TokenCheck {
        guard let text = head.token else { return .none }
        if let checked = checkedToken, checked.text == text, checked.asker == asker, now < checked.expires {
            return .good(checked.proof)
        }
        guard let found = door.desk.sessions.check(text, of: asker, now: now) else { return .bad }
        checkedToken = (text, asker, found.proof, found.expires)
        return .good(found.proof)
    }

    private func whoAsks(claiming claim: MachineClaim?) -> Known {
        let now = NIODeadline.now()
        if let known, known.claim == claim, known.revision == door.control.snapshotRevision.rawValue, now - known.at < .seconds(1) { return known }
        let snapshot = door.control.snapshot
        let testimony = door.witness.testimony(on: source, frame, claiming: claim, in: snapshot)
        var view: InstanceView?
        if case .machine(let asker) = testimony { view = door.view(of: asker, in: snapshot) }
        let found = Known(claim: claim, testimony: testimony, view: view, revision: snapshot.revision.rawValue, at: now)
        known = found
        return found
    }

    private func tell(of testimony: WireWitness.Testimony) {
        switch testimony {
        case .machine: break
        case .stranger(let why):
            door.refusals.note(
                MetadataAnswer.Refusal.stranger.rawValue, source: source.description, mac: neighbour, event: "metadata.refused",
                evidence: ["why": why])
        case .impostor(let mac, let rightful, let machine):
            door.refusals.note(
                "impostor", source: source.description, mac: mac, event: "metadata.impostor", machine: machine,
                evidence: ["mac": mac.description, "rightful-mac": rightful?.description ?? "none"])
        case .unproved(let claimed):
            // Whose it is nobody has shown: the event is not that machine's.
            door.refusals.note(
                MetadataAnswer.Refusal.badKey.rawValue, source: source.description, event: "metadata.secret-refused",
                evidence: ["claimed-machine": claimed.rawValue])
        case .misplaced(let machine):
            door.refusals.note(
                "misplaced", source: source.description, event: "metadata.impostor", machine: machine,
                evidence: ["why": "its key is right, and it has no address on that network"])
        }
    }

    private func tell(of why: MetadataAnswer.Refusal, _ asker: Asker) {
        // Whoever shows a key that is not its machine's, or wants a secret without one, may be another with its MAC address.
        let event: String? =
            switch why {
            case .badKey, .badToken, .needsKey: "metadata.secret-refused"
            default: nil
            }
        door.refusals.note(
            why.rawValue, source: source.description, mac: asker.seenMAC, event: event, machine: asker.machine, evidence: asker.evidence)
    }

    private func fetch(
        _ head: RequestHead, _ context: ChannelHandlerContext, _ work: @escaping @Sendable () async -> MetadataReply
    ) {
        state = .answering
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        context.eventLoop.makeFutureWithTask { await work() }.whenSuccess { reply in
            let (connection, context) = bound.value
            guard case .answering = connection.state else { return }
            connection.state = .reading
            connection.quietSince = .now()
            connection.send(reply, head, context)
            connection.readOn(context)
        }
    }

    private func refuse(_ status: Int, _ why: MetadataAnswer.Refusal, _ context: ChannelHandlerContext) {
        door.refusals.note(why.rawValue, source: source.description, mac: neighbour)
        received.clear()
        write(.refusal(status), isHead: false, closes: true, context)
    }

    private func send(_ reply: MetadataReply, _ head: RequestHead, _ context: ChannelHandlerContext) {
        write(reply, isHead: head.method == .head, closes: head.wantsClose, context)
    }

    private func write(_ reply: MetadataReply, isHead: Bool, closes: Bool, _ context: ChannelHandlerContext) {
        var buffer = context.channel.allocator.buffer(capacity: reply.body.count + 256)
        buffer.writeString("HTTP/1.1 \(reply.status) \(Self.phrase(reply.status))\r\nContent-Type: ")
        buffer.writeString(reply.type)
        buffer.writeString("\r\nContent-Length: \(reply.body.count)\r\n")
        if let header = reply.header { buffer.writeString(header + "\r\n") }
        buffer.writeString(closes ? "Connection: close\r\nServer: Hostler\r\n\r\n" : "Server: Hostler\r\n\r\n")
        if !isHead { buffer.writeBytes(reply.body) }
        guard closes else { return context.writeAndFlush(wrapOutboundOut(buffer), promise: nil) }
        leave()
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(buffer)).whenComplete { _ in bound.value.close(promise: nil) }
    }

    static func phrase(_ status: Int) -> String {
        switch status {
        case 200: "OK"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 503: "Service Unavailable"
        default: "Status"
        }
    }

    // MARK: Watching

    /// Server-sent events (WHATWG HTML §9.2): the document now, and again whenever it is another. The body ends with
    /// the connection.
    private func watch(_ asker: Asker, _ claim: MachineClaim?, _ view: InstanceView, _ context: ChannelHandlerContext) {
        let document = SelfDocument.bytes(view)
        state = .watching(Watch(asker: asker, claim: claim, last: document))
        crowd.add(self, watching: asker.machine)
        var buffer = context.channel.allocator.buffer(capacity: document.count + 256)
        buffer.writeString(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nConnection: close\r\nServer: Hostler\r\n\r\n")
        Self.event(document, into: &buffer)
        context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
    }

    private static func event(_ document: [UInt8], into buffer: inout ByteBuffer) {
        buffer.writeString("event: self\ndata: ")
        buffer.writeBytes(document)
        buffer.writeString("\n\n")
    }

    /// The machine's record may have changed.
    func machineChanged(_ snapshot: RackSnapshot) {
        guard case .watching(var watch) = state, let context else { return }
        guard case .machine(let asker) = door.witness.testimony(on: source, frame, claiming: watch.claim, in: snapshot), asker == watch.asker,
            let view = door.view(of: asker, in: snapshot)
        else {
            // Another installation, a wipe, or another machine at this address: the stream was the former one's.
            leave()
            return context.close(promise: nil)
        }
        let document = SelfDocument.bytes(view)
        guard document != watch.last else { return }
        if context.channel.isWritable {
            watch.last = document
            watch.isBehind = false
            var buffer = context.channel.allocator.buffer(capacity: document.count + 32)
            Self.event(document, into: &buffer)
            quietSince = .now()
            context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
        } else {
            watch.isBehind = true
        }
        state = .watching(watch)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable, case .watching(let watch) = state, watch.isBehind { machineChanged(door.control.snapshot) }
        context.fireChannelWritabilityChanged()
    }

    /// Called every second.
    func timePassed(_ now: NIODeadline) {
        guard let context else { return }
        switch state {
        case .reading where now - quietSince > door.patience:
            door.counters.add("idle-closed")
            leave()
            context.close(promise: nil)
        case .watching where now - quietSince > Self.heartbeat:
            quietSince = now
            // One that takes nothing for so long is gone.
            guard context.channel.isWritable else {
                leave()
                return context.close(promise: nil)
            }
            context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: ": alive\n\n")), promise: nil)
        default: break
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        leave()
        context.close(promise: nil)
    }
}
