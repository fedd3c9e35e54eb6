internal import HummingbirdCore
internal import Logging
internal import Model
internal import NIOCore
internal import NIOHTTP1
internal import NIOHTTPTypes

/// A connection to the API: HTTP/1.1, unless its first request becomes a console's websocket.
struct UpgradableChannel: ServerChildChannel, HTTPChannelHandler {
    typealias HTTP = NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>

    enum Conversation: Sendable {
        case http(HTTP)
        case console(ConsoleSocket.Frames, ConsoleVisit)
    }

    struct Value: ServerChildChannelValue {
        let conversation: EventLoopFuture<Conversation>
        let channel: any Channel
    }

    let responder: HTTPChannelHandler.Responder
    let state: ServerState
    let connections: ConnectionLimits

    private static let limits = {
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderFieldSize = 80 << 10
        limits.maxHeaderListSize = 80 << 10
        limits.maxHeaderFieldCount = 1000
        return limits
    }()

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        channel.eventLoop.makeCompletedFuture {
            // A request's body is taken in small pieces, so that little of it is here before its token is verified.
            try channel.syncOptions?.setOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 16 << 10))
            try channel.syncOptions?.setOption(.maxMessagesPerRead, value: 2)
            let conversation = channel.eventLoop.makePromise(of: Conversation.self)
            let encoder = HTTPResponseEncoder()
            let decoder = ByteToMessageHandler(
                HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes, limitConfiguration: Self.limits),
                // What comes behind a request for another protocol is not read, and must not be piled up either.
                maximumBufferSize: 256 << 10)
            let origin = ConnectionCount.Origin(channel.remoteAddress).name
            let pace = RequestPaceHandler(connections) { [state] lateness in
                state.refusals.note("api.connection-slow", "a client of the API was too slow (\(lateness.rawValue))", origin: origin)
            }
            let upgrade = ConsoleUpgrade(http: (encoder, decoder, pace), conversation: conversation) { head in
                try await self.visit(head)
            }
            try channel.pipeline.syncOperations.addHandlers([encoder, decoder, pace, upgrade])
            return Value(conversation: conversation.futureResult, channel: channel)
        }
    }

    func handle(value: Value, logger: Logger) async {
        do {
            let conversation = try await withTaskCancellationHandler {
                try await value.conversation.get()
            } onCancel: {
                value.channel.close(mode: .all, promise: nil)
            }
            switch conversation {
            case .http(let channel): await handleHTTP(asyncChannel: channel, logger: logger)
            case .console(let frames, let visit): try await sit(frames, visit)
            }
        } catch {
            logger.debug("a connection to the API ended", metadata: ["error": "\(error)"])
        }
    }

    private func sit(_ frames: ConsoleSocket.Frames, _ visit: ConsoleVisit) async throws {
        // Its own end is no error of ours; that it ended is told in any case.
        try? await ConsoleSocket(visit).run(frames)
        if visit.mayType { try await Task { try await state.note("console.closed", visit, "left the serial console") }.value }
    }

    private func visit(_ head: HTTPRequestHead) async throws -> ConsoleVisit? {
        guard let machine = ConsoleVisit.machine(in: head.uri) else { return nil }
        // A wrong token is counted once, by the route, to which the request then goes.
        guard let text = head.headers.first(name: "Authorization").flatMap(ServerState.bearer(in:)),
            let token = try await state.tokens.verify(text)
        else { return nil }
        let visit = try await ConsoleVisit(machine, token, state)
        if visit.mayType { try await state.note("console.opened", visit, "sits at the serial console") }
        return visit
    }
}

extension ServerState {
    fileprivate func note(_ kind: String, _ visit: ConsoleVisit, _ what: String) async throws {
        try await control.recordEvent(
            kind: kind, machine: visit.machine, operation: nil, actor: visit.actor, message: "\(visit.actor) \(what)", evidence: [:])
    }
}
