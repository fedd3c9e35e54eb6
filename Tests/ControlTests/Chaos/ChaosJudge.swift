import Model

@testable import Control

/// What truly happened in a simulated rack, and whether the record tells it so.
final class ChaosJudge {
    private struct Order {
        var kind: OperationKind
        var machine: Int
        var operation: OperationID?
        var isRefused = false
    }
    private struct Wait: Equatable {
        var step: StepName
        var attempts: Int
        var state: StepState
    }

    private(set) var complaints: [String] = []
    private var orders: [Order] = []
    private var cancelled: Set<OperationID> = []
    /// Codes that agents reported.
    private var failures: [OperationID: Set<String>] = [:]
    private var systemsStarted: Set<OperationID> = []
    private var wipes: Set<OperationID> = []
    private var waits: [OperationID: Wait] = [:]
    /// When the last sign of life of each operation was, by the time that the server was there, and how often it had started.
    private var signs: [OperationID: (served: Int64, starts: Int)] = [:]
    private var open: [OperationID: Operation] = [:]
    private var served: Int64 = 0
    private var starts = 0
    /// A tick, and what a start may count at most.
    private static let tolerance: Int64 = 16_000
    private static let countedAtStart: Int64 = 10_000

    func complain(_ text: String) { if complaints.count < 20 { complaints.append(text) } }

    // MARK: What people ask for

    func asked(_ kind: OperationKind, _ machine: Int) -> Int {
        orders.append(Order(kind: kind, machine: machine))
        return orders.count - 1
    }
    func accepted(_ order: Int, _ id: OperationID) { orders[order].operation = id }
    func refused(_ order: Int) { orders[order].isRefused = true }
    func askedToCancel(_ id: OperationID) { cancelled.insert(id) }

    /// Whether an operation is what somebody asked for, be it that he never learnt that it was accepted.
    private func isOrdered(_ id: OperationID?, _ kind: OperationKind, _ machine: Int) -> Bool {
        if let index = orders.firstIndex(where: { $0.operation == id }) {
            return orders[index].kind == kind && orders[index].machine == machine
        }
        let unknown = orders.firstIndex { $0.operation == nil && !$0.isRefused && $0.kind == kind && $0.machine == machine }
        guard let unknown else { return false }
        orders[unknown].operation = id
        return true
    }

    // MARK: What machines do

    func begins(_ id: OperationID?, _ kind: OperationKind, on machine: SimulatedMachine) {
        if !isOrdered(id, kind, machine.number) {
            complain("machine \(machine.number) got work that nobody asked for: \(kind) \(id.debugDescription)")
        }
    }

    func writes(_ id: OperationID, to disk: SimulatedDisk, of machine: SimulatedMachine) {
        if !orders.contains(where: { $0.operation == id && $0.machine == machine.number }) {
            complain("\(id) wrote to \(disk.serial), and nobody asked for that")
        }
        if let request = open[id]?.request, case .install(let install) = request, let named = install.disk, named != disk.serial {
            complain("\(id) is for \(named), and wrote to \(disk.serial)")
        }
    }

    func started(_ id: OperationID, on machine: SimulatedMachine) { systemsStarted.insert(id) }
    func wiped(_ id: OperationID, on machine: SimulatedMachine) {
        if machine.disks.allSatisfy({ $0.content == .empty }) { wipes.insert(id) }
    }
    func reported(_ id: OperationID, _ code: String) { failures[id, default: []].insert(code) }
    func heard(_ id: OperationID) { signs[id] = (served, starts) }

    // MARK: What the record says meanwhile

    func look(_ control: ControlPlane, served: Int64, starts: Int) throws {
        (self.served, self.starts) = (served, starts)
        for operation in control.snapshot.operations.values {
            guard let step = operation.currentStep else { continue }
            let wait = Wait(step: step.name, attempts: step.attempts, state: step.state)
            if waits[operation.id] != wait {
                waits[operation.id] = wait
                signs[operation.id] = (served, starts)
            }
            open[operation.id] = operation
            let silence = silence(of: operation.id)
            let longest = StepPolicy.of(step.name).silence.wholeMilliseconds + 2 * OperationTransition.restartGrace(step.name).wholeMilliseconds
            if silence > longest + Self.tolerance { complain("\(operation.id) still waits for \(step.name) after \(silence) ms of silence") }
        }
    }

    func beforeTick(_ control: ControlPlane) { open = control.snapshot.operations }

    /// Of what time alone has brought about: whether there was that much silence.
    func afterTick(_ control: ControlPlane, served: Int64, starts: Int) async throws {
        (self.served, self.starts) = (served, starts)
        for before in open.values {
            guard let step = before.currentStep, step.state == .running else { continue }
            let after = try await control.operation(before.id).value
            guard let now = after.step(step.name), now.problem?.code == "no-sign-of-life", step.problem != now.problem || now.state != .running,
                now.state == .pending || now.state == .failed
            else { continue }
            let silence = silence(of: before.id) + Int64(starts - (signs[before.id]?.starts ?? 0)) * Self.countedAtStart
            if silence + Self.tolerance < StepPolicy.of(step.name).silence.wholeMilliseconds {
                complain("\(before.id): \(step.name) was given up after \(silence) ms of silence, not \(StepPolicy.of(step.name).silence)")
            }
        }
    }

    private func silence(of id: OperationID) -> Int64 { served - (signs[id]?.served ?? 0) }

    // MARK: The end

    func close(_ world: ChaosWorld) async throws {
        guard let control = world.control else { return complain("the server is not there at the end") }
        let operations = try await control.records.all(Operation.self).map(\.value)
        for order in orders where order.operation.map({ id in !operations.contains { $0.id == id } }) ?? false {
            complain("\(order.operation.debugDescription) was accepted, and is lost")
        }
        for operation in operations {
            if operation.kind != .inspect, !orders.contains(where: { $0.operation == operation.id }) {
                let number = world.machines.first { control.snapshot.machine(with: $0.mac)?.id == operation.machine }?.number
                if !isOrdered(operation.id, operation.kind, number ?? -1) { complain("nobody asked for \(operation.id)") }
            }
            judge(operation)
        }
        for machine in world.machines { judge(machine, control, operations) }
        // Events are in the order in which they happened, whatever the clock did.
        let revisions = try await control.records.all(Event.self).map(\.revision)
        if revisions != revisions.sorted() { complain("the events are not in the order in which they were made") }
    }

    private func judge(_ operation: Operation) {
        let id = operation.id
        switch (operation.state, operation.kind) {
        case (.waiting, _), (.running, _), (.undoing, _), (.stuck, _):
            complain("\(id) (\(operation.kind)) is \(operation.state) for ever, in \(operation.currentStep.map { "\($0.name)" } ?? "no step")")
        case (.succeeded, .install): if !systemsStarted.contains(id) { complain("\(id) succeeded, and its system never started") }
        case (.succeeded, .wipe): if !wipes.contains(id) { complain("\(id) succeeded, and a disk was not wiped") }
        case (.succeeded, _): break
        case (.cancelled, _): if !cancelled.contains(id) { complain("\(id) is cancelled, and nobody asked for that") }
        case (.failed, _):
            let code = operation.problem?.code ?? "none"
            let boots = operation.steps.map(\.attempts).max() ?? 0
            let isTrue = code == "no-sign-of-life" || (code == "boot-loop" && boots >= 20) || failures[id]?.contains(code) == true
            if !isTrue { complain("\(id) failed for \(code), which did not happen") }
        }
    }

    private func judge(_ machine: SimulatedMachine, _ control: ControlPlane, _ operations: [Operation]) {
        guard let record = control.snapshot.machine(with: machine.mac) else { return }
        if let open = record.openOperation { complain("machine \(machine.number) has \(open) open for ever") }
        if record.state == .running {
            guard let installed = record.installed else { return complain("machine \(machine.number) runs, and the record knows no system") }
            if !machine.disks.contains(where: { $0.bootable == installed.operation }) {
                complain("machine \(machine.number) has \(installed.operation) by the record, and on no disk")
            }
        }
        // A system that runs is known, however late it said so and whatever became of its operation: unless something came after it.
        if let running = machine.running {
            let (id, answer) = (running.operation, running.disk.answer)
            let later = operations.filter { $0.machine == record.id && [.install, .wipe].contains($0.kind) }.max { $0.generation < $1.generation }
            switch answer {
            case nil: complain("machine \(machine.number) runs \(id), which calls home and is never answered")
            case .acknowledged where later?.id == id && (record.installed?.operation != id || record.state != .running || !record.holds.isEmpty):
                complain("machine \(machine.number) runs \(id), which was acknowledged, and is \(record.state), with \(record.holds.count) holds")
            case .superseded where later?.id == id: complain("\(id) is superseded by nothing")
            default: break
            }
        }
        // What runs and has been acknowledged is in the record, unless something was asked for since.
        let own = operations.filter { $0.machine == record.id && $0.kind != .inspect }
        if let newest = own.max(by: { $0.generation < $1.generation }), newest.state == .succeeded, newest.kind == .install,
            record.installed?.operation != newest.id || record.state != .running
        {
            complain(
                "\(newest.id) succeeded last, and machine \(machine.number) is \(record.state) with \(record.installed?.operation.rawValue ?? "nothing")"
            )
        }
    }
}
