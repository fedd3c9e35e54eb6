internal import Consoles
internal import FoundationEssentials
internal import Glibc
internal import Logging
public import Model
public import Wire

/// A private rack of QEMU machines on a wire of its own, in a network
/// namespace that nothing leads out of. Belongs to one lab process.
///
/// Its record, `lab.json`, lets a new lab process take up what a dead one
/// left: the machines come back switched off, with their disks.
public actor VirtualRack {
    /// What `lab.json` holds.
    struct Record: Codable, Hashable, Sendable {
        struct Member: Codable, Hashable, Sendable {
            let number: Int
            let spec: VirtualMachineSpec
            var faults: [Fault]
        }

        let lab: LabName
        let server: IPv4Prefix
        let accelerator: Accelerator
        var faults: [Fault] = []
        var members: [Member] = []
    }

    public nonisolated let lab: LabName
    public nonisolated let paths: LabPaths
    private let network: RackNetwork
    private let log: Logger
    private let now: @Sendable () -> Timestamp
    private var record: Record
    private var machines: [String: VirtualMachine] = [:]
    private var arrivals: AsyncStream<(path: String, console: Console)>.Continuation?
    private var bmcs: [String: LabBMC] = [:]
    private var bmcArrivals: AsyncStream<LabBMC>.Continuation?

    private init(
        record: Record, paths: LabPaths, now: @escaping @Sendable () -> Timestamp, log: Logger
    ) {
        lab = record.lab
        self.record = record
        self.paths = paths
        self.now = now
        self.log = log
        network = RackNetwork(lab: record.lab)
    }

    /// Builds the rack, or takes up the one whose record lies in the state
    /// directory (then `server` is what the record says). All machines are off.
    ///
    /// Throws `.alreadyRunning` where a lab process owns it.
    public static func open(
        lab: LabName, server: IPv4Prefix, stateDirectory: String = LabPaths.defaultStateDirectory,
        now: @escaping @Sendable () -> Timestamp = VirtualRack.systemTime
    ) async throws -> VirtualRack {
        let paths = try LabPaths(lab, stateDirectory: stateDirectory)
        if let owner = ProcessIdentity(file: paths.processFile), owner.isAlive, owner.pid != getpid() {
            throw LabError(
                .alreadyRunning, "lab “\(lab)” is run by process \(owner.pid)",
                remedy: "Use it, or `hostler lab down --name \(lab)` first.")
        }
        try FileManager.default.createDirectory(
            atPath: paths.machines, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        try ProcessIdentity(pid: getpid())?.write(to: paths.processFile)

        let record: Record
        if let data = FileManager.default.contents(atPath: paths.record) {
            record = try JSONDecoder().decode(Record.self, from: data)
        } else {
            let accelerator = await Accelerator.probe(in: paths.directory)
            record = Record(lab: lab, server: server, accelerator: accelerator)
        }
        let rack = VirtualRack(record: record, paths: paths, now: now, log: Logger(label: "hostler.lab"))
        try await rack.build()
        return rack
    }

    /// The clock of the system.
    public static let systemTime: @Sendable () -> Timestamp = {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(milliseconds: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000)
    }

    private func build() async throws {
        await LabCleanup.endMachines(of: paths)
        try await network.create(server: record.server)
        for member in record.members {
            let machine = makeMachine(member)
            try await machine.prepare()
            machines[member.spec.name] = machine
            try await addBMC(machine, faults: member.faults)
        }
        try await applyRackFaults()
        try save()
        log.info("rack open", metadata: ["lab": "\(lab)", "accelerator": "\(record.accelerator.rawValue)"])
    }

    // MARK: Machines

    public func status() async -> RackStatus {
        var statuses: [MachineStatus] = []
        for member in record.members {
            if let machine = machines[member.spec.name] { statuses.append(await status(of: machine)) }
        }
        return RackStatus(
            lab: lab, namespace: lab.namespace, bridge: RackNetwork.bridge, server: record.server,
            accelerator: record.accelerator, pid: getpid(), faults: record.faults, machines: statuses)
    }

    /// Adds a machine, switched off.
    public func add(_ spec: VirtualMachineSpec) async throws {
        try spec.validate()
        guard machines[spec.name] == nil else {
            throw LabError(
                .machineExists, "there is a machine “\(spec.name)” already", remedy: "Choose another name.")
        }
        let taken = Set(record.members.flatMap { $0.spec.nics.map(\.mac) })
        guard taken.isDisjoint(with: spec.nics.map(\.mac)) else {
            throw LabError(
                .invalidMachine, "a MAC of “\(spec.name)” is another machine's already",
                remedy: "Choose another name or give MACs.")
        }
        let number = (0...).first { number in !record.members.contains { $0.number == number } } ?? 0
        let member = Record.Member(number: number, spec: spec, faults: [])
        let machine = makeMachine(member)
        machines[spec.name] = machine
        record.members.append(member)
        do {
            try await machine.prepare()
            try await addBMC(machine, faults: [])
            try save()
            arrivals?.yield((machine.paths.consoleSocket, machine.console))
        } catch {
            machines[spec.name] = nil
            await removeBMC(spec.name)
            record.members.removeAll { $0.spec.name == spec.name }
            try? await machine.destroy()
            throw error
        }
    }

    /// Cuts its power and removes it with its disks.
    public func remove(_ name: String) async throws {
        let machine = try machine(name)
        await removeBMC(name)
        try await machine.destroy()
        machines[name] = nil
        record.members.removeAll { $0.spec.name == name }
        try save()
    }

    /// Names of the machines in the order they were added.
    public var machineNames: [String] { record.members.map(\.spec.name) }

    public func power(_ action: PowerAction, machine name: String) async throws -> MachineStatus {
        let machine = try machine(name)
        try await machine.perform(action)
        return await status(of: machine)
    }

    public func machineStatus(_ name: String) async throws -> MachineStatus {
        await status(of: try machine(name))
    }

    private func status(of machine: VirtualMachine) async -> MachineStatus {
        await machine.status(bmc: bmcs[machine.spec.name]?.status)
    }

    /// What the console's ring buffer holds, oldest byte first.
    public func consoleContents(_ name: String) throws -> [UInt8] { try machine(name).console.contents }

    func console(_ name: String) throws -> Console { try machine(name).console }

    /// Each machine's console, those of today first and then as machines are added. One listener.
    func consoleArrivals() -> AsyncStream<(path: String, console: Console)> {
        let (stream, sink) = AsyncStream.makeStream(of: (path: String, console: Console).self)
        for machine in machines.values { sink.yield((machine.paths.consoleSocket, machine.console)) }
        arrivals = sink
        return stream
    }

    // MARK: BMCs

    /// Each machine's BMC, which listens and is to be run: those of today first. One listener.
    func bmcsToRun() -> AsyncStream<LabBMC> {
        let (stream, sink) = AsyncStream.makeStream(of: LabBMC.self)
        for bmc in bmcs.values { sink.yield(bmc) }
        bmcArrivals = sink
        return stream
    }

    private func addBMC(_ machine: VirtualMachine, faults: [Fault]) async throws {
        try await network.addBMC(RackNetwork.bmcAddress(server: record.server, number: machine.number))
        let bmc = try await LabBMC(
            machine: machine, network: network, server: record.server, accelerator: record.accelerator)
        bmc.apply(faults)
        bmcs[machine.spec.name] = bmc
        bmcArrivals?.yield(bmc)
    }

    /// As when the lab process dies: nobody answers at their addresses any more.
    func closeBMCs() async {
        for name in bmcs.keys { await removeBMC(name) }
    }

    private func removeBMC(_ name: String) async {
        await bmcs.removeValue(forKey: name)?.close()
    }

    // MARK: Faults

    /// `machine` is nil for a fault of the whole rack.
    public func inject(_ fault: Fault, machine name: String?) async throws {
        if fault.isOfRack {
            record.faults = record.faults.filter { $0.key != fault.key } + [fault]
            try await applyRackFaults()
        } else {
            try await machine(named(name, for: fault)).inject(fault)
        }
        try await saveFaults()
    }

    /// Mends a fault; nil mends all of the machine, or, with no machine either, all of the lab.
    public func clear(_ fault: Fault?, machine name: String?) async throws {
        if let fault, !fault.isOfRack {
            try await machine(named(name, for: fault)).clear(fault)
        } else if let name {
            try await machine(name).clear(nil)
        } else {
            record.faults = []
            try await applyRackFaults()
            if fault == nil { for machine in machines.values { try await machine.clear(nil) } }
        }
        try await saveFaults()
    }

    private func applyRackFaults() async throws {
        try await network.setLoss(
            percent: record.faults.contains(.partition) ? 100 : 0, on: RackNetwork.bridge)
    }

    private func saveFaults() async throws {
        for machine in machines.values {
            let faults = await machine.faults
            bmcs[machine.spec.name]?.apply(faults)
            guard let index = record.members.firstIndex(where: { $0.spec.name == machine.spec.name }) else { continue }
            record.members[index].faults = faults
        }
        try save()
    }

    // MARK: The end

    /// Removes every trace: processes, wires, namespace, files. Then looks
    /// again; what is left is returned, and nothing is expected.
    public func down() async -> [String] {
        await closeBMCs()
        for machine in machines.values { try? await machine.destroy() }
        machines = [:]
        return await LabCleanup.removeAllTraces(of: lab, paths: paths)
    }

    /// Cuts all power but keeps disks, wires and record.
    public func powerOffAll() async {
        for machine in machines.values { try? await machine.perform(.cut) }
    }

    // MARK: Private parts

    private func makeMachine(_ member: Record.Member) -> VirtualMachine {
        VirtualMachine(
            spec: member.spec, number: member.number, faults: member.faults, network: network,
            paths: paths.machine(member.spec.name), accelerator: record.accelerator, now: now)
    }

    func machine(_ name: String) throws(LabError) -> VirtualMachine {
        guard let machine = machines[name] else {
            let known = record.members.map(\.spec.name).joined(separator: ", ")
            throw LabError(.noSuchMachine, "there is no machine “\(name)” in the lab", remedy: "There are: \(known).")
        }
        return machine
    }

    private func named(_ name: String?, for fault: Fault) throws(LabError) -> String {
        guard let name else {
            throw LabError(
                .invalidFault, "\(fault) strikes one machine, and none is named", remedy: "Name the machine.")
        }
        return name
    }

    private func save() throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        try encoder.encode(record).write(to: URL(filePath: paths.record), options: .atomic)
    }
}
