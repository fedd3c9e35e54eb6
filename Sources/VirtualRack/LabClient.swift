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

extension LabClient {
    /// Adds `node1`, `node2`… as far as they are missing, the last `uefi` of
    /// `machines` with UEFI, and switches on what is off.
    public func fill(lab: LabName, machines: Int, uefi: Int, powerOn: Bool) async throws -> RackStatus {
        var present = try await status().machines
        for number in 1...max(1, machines) where number <= machines {
            let name = "node\(number)"
            guard !present.contains(where: { $0.spec.name == name }) else { continue }
            var spec = VirtualMachineSpec(name: name, lab: lab, firmware: number > machines - uefi ? .uefi : .bios)
            let taken = Set(present.flatMap { $0.spec.nics.map(\.mac) })
            var attempt = 0
            while !taken.isDisjoint(with: spec.nics.map(\.mac)) {
                attempt += 1
                spec.nics[0].mac = DerivedIdentity.mac(lab: lab, machine: name, nic: 0, attempt: attempt)
            }
            present.append(try await add(spec))
        }
        if powerOn {
            for machine in present where machine.power.state == .off {
                try await power(.on, machine: machine.spec.name)
            }
        }
        return try await status()
    }
}
