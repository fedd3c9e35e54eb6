internal import FoundationEssentials
internal import NIOCore
internal import NIOPosix

/// Speaks to a lab process. Each call is a connection of its own.
public struct LabClient: Sendable {
    public let socketPath: String

    public init(socketPath: String) { self.socketPath = socketPath }

    public init(lab: LabName, stateDirectory: String = LabPaths.defaultStateDirectory) throws(LabError) {
        socketPath = try LabPaths(lab, stateDirectory: stateDirectory).controlSocket
    }

    public func status() async throws -> RackStatus {
        guard let status = try await ask(LabRequest(verb: .status)).status else { throw Self.noAnswer(socketPath) }
        return status
    }

    /// Adds a machine, switched off.
    @discardableResult
    public func add(_ spec: VirtualMachineSpec) async throws -> MachineStatus {
        try machine(await ask(LabRequest(verb: .add, spec: spec)))
    }

    public func remove(_ machine: String) async throws {
        _ = try await ask(LabRequest(verb: .remove, machine: machine))
    }

    @discardableResult
    public func power(_ action: PowerAction, machine name: String) async throws -> MachineStatus {
        try machine(await ask(LabRequest(verb: .power, machine: name, power: action)))
    }

    /// `machine` is nil for a fault of the whole rack.
    public func inject(_ fault: Fault, machine: String? = nil) async throws {
        _ = try await ask(LabRequest(verb: .inject, machine: machine, fault: fault))
    }

    /// Nil fault: all of the machine's; nil machine too: all of the lab's.
    public func clear(_ fault: Fault? = nil, machine: String? = nil) async throws {
        _ = try await ask(LabRequest(verb: .clear, machine: machine, fault: fault))
    }

    /// Removes the lab; returns what is left, which should be nothing.
    public func down() async throws -> [String] {
        try await ask(LabRequest(verb: .down)).left ?? []
    }

    private func machine(_ reply: LabReply) throws(LabError) -> MachineStatus {
        guard let status = reply.machine else { throw Self.noAnswer(socketPath) }
        return status
    }

    private func ask(_ request: LabRequest) async throws -> LabReply {
        let line = try JSONEncoder().encode(request) + [UInt8(ascii: "\n")]
        let (lines, sink) = AsyncThrowingStream.makeStream(of: [UInt8].self)
        let splitter = LineSplitter(limitBytes: 64 << 20)
        let box = ReplyReader(splitter: splitter, sink: sink)
        let channel: ByteChannel
        do {
            channel = try await ByteChannel.connect(
                socketPath, onBytes: { box.received($0) }, onClose: { sink.finish() })
        } catch {
            throw LabError(
                .notRunning, "no lab answers at \(socketPath)", remedy: "Start one: `hostler lab up`.")
        }
        defer { channel.close() }
        channel.send(line)
        for try await line in lines {
            let reply = try JSONDecoder().decode(LabReply.self, from: Data(line))
            if let error = reply.error { throw error }
            return reply
        }
        throw Self.noAnswer(socketPath)
    }

    static func noAnswer(_ path: String) -> LabError {
        LabError(.notRunning, "the lab at \(path) ended without an answer", remedy: "Look at lab.log beside it.")
    }
}
