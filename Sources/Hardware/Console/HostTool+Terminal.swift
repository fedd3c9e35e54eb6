internal import Glibc
internal import Model
internal import NIOCore
internal import NIOPosix
internal import Subprocess

extension HostTool {
    /// How long a program may take to say goodbye once its terminal is gone.
    private static let farewell = Duration.seconds(3)

    /// Runs the program at a terminal of its own until it ends, or until the task is cancelled: then the terminal is
    /// hung up, and what does not end by that is killed.
    ///
    /// - Parameters:
    ///   - typed: what goes to the program; its end does not end the program.
    ///   - keys: makes of it what the program is to get.
    func sit(
        _ arguments: [String], environment: [String: String] = [:], namespace: String? = nil, typed: AsyncStream<[UInt8]>,
        keys: @escaping @Sendable ([UInt8]) -> [UInt8] = { $0 }, received: @escaping @Sendable ([UInt8]) -> Void
    ) async throws -> Result {
        if let namespace {
            let result = try await HostTool(name: "ip", package: "iproute2").sit(
                ["netns", "exec", namespace, name] + arguments, environment: environment, typed: typed, keys: keys, received: received)
            if result.status != 0, result.errors.hasPrefix("exec of \"") { throw missing }
            return result
        }
        let terminal = try PseudoTerminal()
        let ours = try await Self.channel(terminal)
        return try await ours.executeThenClose { inbound, outbound in
            let (executable, variables) = (executable, Self.variables(environment))
            let (far, second) = (terminal.far, dup(terminal.far))
            let program = Task {
                try await Subprocess.run(
                    executable, arguments: Arguments(arguments), environment: .inherit.updating(variables), platformOptions: Self.platform,
                    input: .fileDescriptor(.init(rawValue: far), closeAfterSpawningProcess: true),
                    output: .fileDescriptor(.init(rawValue: second), closeAfterSpawningProcess: true), error: .string(limit: 64 << 10))
            }
            let channel = ours.channel
            return try await withTaskCancellationHandler {
                try await withThrowingTaskGroup(of: Ending.self) { group in
                    group.addTask {
                        // The terminal's last error is its end.
                        do { for try await bytes in inbound { received(Array(bytes.readableBytesView)) } } catch {}
                        return .terminal
                    }
                    group.addTask {
                        for await bytes in typed { try await outbound.write(ByteBuffer(bytes: keys(bytes))) }
                        return .typing
                    }
                    defer { group.cancelAll() }
                    do {
                        let result = try await program.value
                        // What it said last is still in the terminal.
                        while let ending = try? await group.next(), ending != .terminal {}
                        return Result(status: result.terminationStatus.shellStatus, output: "", errors: result.standardError)
                    } catch let error as SubprocessError where error.code == .executableNotFound {
                        throw missing
                    } catch let error as SubprocessError {
                        try Task.checkCancellation()
                        throw Problem.bmc("error", "“\(name)” could not be run to its end", detail: "\(error)", remedy: "It is started anew.")
                    }
                }
            } onCancel: {
                channel.close(promise: nil)
                Task {
                    try? await Task.sleep(for: Self.farewell)
                    program.cancel()
                }
            }
        }
    }

    private enum Ending { case terminal, typing }

    private static func channel(_ terminal: PseudoTerminal) async throws -> NIOAsyncChannel<ByteBuffer, ByteBuffer> {
        let output = dup(terminal.near)
        do {
            return try await NIOPipeBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .takingOwnershipOfDescriptors(input: terminal.near, output: output) { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                    }
                }
        } catch {
            for descriptor in [terminal.near, terminal.far, output] { close(descriptor) }
            throw error
        }
    }
}
