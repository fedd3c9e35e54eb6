internal import Control
internal import Model
internal import NIOCore

/// The connections of one event loop: whose time is over, and who watches which machine.
final class MetadataCrowd: @unchecked Sendable {
    // Unchecked: touched on its event loop only.
    private var connections: [ObjectIdentifier: MetadataConnection] = [:]
    private var watchers: [MachineID: [ObjectIdentifier: MetadataConnection]] = [:]
    private var clock: RepeatedTask?
    let loop: any EventLoop
    private let control: ControlPlane

    init(loop: any EventLoop, control: ControlPlane) {
        self.loop = loop
        self.control = control
    }

    /// On the loop.
    func start() {
        loop.preconditionInEventLoop()
        let bound = NIOLoopBound(self, eventLoop: loop)
        clock = loop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { _ in
            let now = NIODeadline.now()
            for connection in bound.value.connections.values { connection.timePassed(now) }
        }
    }

    func stop() {
        clock?.cancel()
        clock = nil
    }

    func add(_ connection: MetadataConnection) { connections[ObjectIdentifier(connection)] = connection }
    func remove(_ connection: MetadataConnection) { connections[ObjectIdentifier(connection)] = nil }

    func add(_ connection: MetadataConnection, watching machine: MachineID) {
        watchers[machine, default: [:]][ObjectIdentifier(connection)] = connection
    }

    func remove(_ connection: MetadataConnection, watching machine: MachineID) {
        watchers[machine]?[ObjectIdentifier(connection)] = nil
        if watchers[machine]?.isEmpty == true { watchers[machine] = nil }
    }

    /// Any thread. `changed` nil: any machine may have changed.
    func machinesChanged(_ changed: Set<MachineID>?) {
        loop.execute { [self] in
            let concerned = changed.map { $0.compactMap { watchers[$0] } } ?? Array(watchers.values)
            guard !concerned.isEmpty else { return }
            let snapshot = control.snapshot
            for connections in concerned {
                for connection in Array(connections.values) { connection.machineChanged(snapshot) }
            }
        }
    }
}
