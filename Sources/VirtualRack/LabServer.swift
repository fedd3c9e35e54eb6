internal import Consoles
internal import FoundationEssentials
internal import Glibc
internal import Logging
internal import NIOCore
internal import NIOPosix
public import Wire

/// The lab process: owns a rack, and answers on its control socket and on
/// each machine's console socket until it is told to take the lab down.
public struct LabServer: Sendable {
    typealias Connection = NIOAsyncChannel<ByteBuffer, ByteBuffer>
    typealias Listener = NIOAsyncChannel<Connection, Never>

    /// A request's line may have this many bytes.
    private static let requestLimitBytes = 1 << 20

    let rack: VirtualRack
    private let log = Logger(label: "hostler.lab")

    /// Runs the lab; returns once it is down and has left nothing behind.
    /// Throws `.tracesLeft` where something could not be removed.
    public static func run(
        lab: LabName, server: IPv4Prefix, stateDirectory: String = LabPaths.defaultStateDirectory
    ) async throws {
        signal(SIGPIPE, SIG_IGN)
        let rack = try await VirtualRack.open(lab: lab, server: server, stateDirectory: stateDirectory)
        try await LabServer(rack: rack).serve()
    }

    /// Answers until `down`.
    func serve() async throws {
        let control = try await listen(rack.paths.controlSocket)
        let left = try await withThrowingTaskGroup(of: [String]?.self) { group in
            let (finished, finish) = AsyncStream.makeStream(of: [String].self)
            group.addTask {
                try await control.executeThenClose { connections in
                    try await withThrowingDiscardingTaskGroup { tasks in
                        for try await connection in connections {
                            tasks.addTask { await answer(connection, finish) }
                        }
                    }
                }
                return nil
            }
            group.addTask {
                try await serveConsoles()
                return nil
            }
            group.addTask {
                await withDiscardingTaskGroup { tasks in
                    for await added in await rack.bmcsToRun() {
                        tasks.addTask {
                            do {
                                try await added.run()
                            } catch {
                                log.warning("a BMC ended", metadata: ["url": "\(added.status.url)", "error": "\(error)"])
                            }
                        }
                    }
                }
                return nil
            }
            group.addTask { await finished.first { _ in true } ?? [] }
            defer { group.cancelAll() }
            while let result = try await group.next() {
                if let result { return result }
            }
            return []
        }
        guard left.isEmpty else {
            throw LabError(.tracesLeft, left.joined(separator: "; "), remedy: "Remove them by hand.")
        }
    }

    private func listen(_ path: String) async throws -> Listener {
        let previous = umask(0o177)
        defer { umask(previous) }
        return try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try Connection(
                        wrappingChannelSynchronously: channel,
                        configuration: .init(isOutboundHalfClosureEnabled: false))
                }
            }
    }

    // MARK: Control

    private func answer(_ connection: Connection, _ finish: AsyncStream<[String]>.Continuation) async {
        do {
            try await connection.executeThenClose { inbound, outbound in
                var reader = inbound.makeAsyncIterator()
                var splitter = LineSplitter()
                var received = 0
                while let buffer = try await reader.next() {
                    received += buffer.readableBytes
                    guard received <= Self.requestLimitBytes else { return }
                    guard let (line, rest) = splitter.firstLine(after: buffer.readableBytesView) else { continue }
                    let request: LabRequest
                    do {
                        request = try JSONDecoder().decode(LabRequest.self, from: Data(line))
                    } catch {
                        try await send(LabReply(error: Self.labError(error, .badRequest)), outbound)
                        return
                    }
                    if request.verb == .console {
                        let console: Console
                        do {
                            console = try await rack.console(request.machine ?? "")
                        } catch {
                            try await send(LabReply(error: Self.labError(error)), outbound)
                            return
                        }
                        try await send(LabReply(), outbound)
                        console.type(rest)
                        try await Self.join(console, &reader, outbound)
                        return
                    }
                    let reply = await perform(request)
                    try await send(reply, outbound)
                    if request.verb == .down { finish.yield(reply.left ?? []) }
                    return
                }
            }
        } catch {
            log.debug("control connection ended", metadata: ["error": "\(error)"])
        }
    }

    private func send(_ reply: LabReply, _ outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>) async throws {
        var buffer = try ByteBuffer(bytes: JSONEncoder().encode(reply))
        buffer.writeInteger(UInt8(ascii: "\n"))
        try await outbound.write(buffer)
    }

    private func perform(_ request: LabRequest) async -> LabReply {
        do {
            let name = request.machine ?? ""
            switch request.verb {
            case .status: return LabReply(status: await rack.status())
            case .add:
                guard let spec = request.spec else { throw Self.missing("spec") }
                try await rack.add(spec)
                return LabReply(machine: try await rack.machineStatus(spec.name))
            case .remove: try await rack.remove(name)
            case .power:
                guard let action = request.power else { throw Self.missing("power") }
                return LabReply(machine: try await rack.power(action, machine: name))
            case .inject:
                guard let fault = request.fault else { throw Self.missing("fault") }
                try await rack.inject(fault, machine: request.machine)
            case .clear: try await rack.clear(request.fault, machine: request.machine)
            case .down: return LabReply(left: await rack.down())
            case .console: break
            }
            return LabReply()
        } catch {
            return LabReply(error: Self.labError(error))
        }
    }

    private static func missing(_ field: String) -> LabError {
        LabError(.badRequest, "the request has no “\(field)”", remedy: "See docs/lab.md.")
    }

    private static func labError(_ error: any Error, _ code: LabError.Code = .commandFailed) -> LabError {
        error as? LabError ?? LabError(code, "\(error)", remedy: "See lab.log in the lab's folder.")
    }

    // MARK: Consoles

    /// Keeps one listener per machine, as machines come and go.
    private func serveConsoles() async throws {
        try await withThrowingDiscardingTaskGroup { tasks in
            for await added in await rack.consoleArrivals() {
                tasks.addTask {
                    do {
                        let listener = try await listen(added.path)
                        try await serve(listener, added.console)
                    } catch {
                        log.warning("no console socket", metadata: ["path": "\(added.path)", "error": "\(error)"])
                    }
                }
            }
        }
    }

    private func serve(_ listener: Listener, _ console: Console) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await listener.executeThenClose { connections in
                    try await withThrowingDiscardingTaskGroup { tasks in
                        for try await connection in connections {
                            tasks.addTask {
                                try? await connection.executeThenClose { inbound, outbound in
                                    var reader = inbound.makeAsyncIterator()
                                    try await Self.join(console, &reader, outbound)
                                }
                            }
                        }
                    }
                }
            }
            // The console closes when its machine is removed.
            group.addTask { await console.untilClosed() }
            try await group.next()
            group.cancelAll()
        }
    }

    /// Replays the ring, then carries bytes both ways until either side ends.
    private static func join(
        _ console: Console, _ reader: inout NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator,
        _ outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    ) async throws {
        let (id, stream) = console.attach()
        defer { console.detach(id) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for await bytes in stream { try await outbound.write(ByteBuffer(bytes: bytes)) }
                outbound.finish()
            }
            while let buffer = try await reader.next() { console.type(Array(buffer.readableBytesView)) }
            group.cancelAll()
        }
    }
}
