public import Model
public import Store
public import Wire
internal import Synchronization

/// The rack as the machine-facing services see it: an immutable value that the
/// store's watch keeps current, so that no boot waits for the database.
public struct RackSnapshot: Sendable {
    public fileprivate(set) var revision: Revision = .zero
    public fileprivate(set) var machines: [MachineID: Machine] = [:]
    public fileprivate(set) var operations: [OperationID: Operation] = [:]
    /// Machines whose records cannot be read.
    public fileprivate(set) var damaged: [MachineID: DamagedMachine] = [:]
    /// That nothing may change a machine; nil: the rack is not frozen.
    public fileprivate(set) var freeze: Freeze?
    /// Boards have been sold with one MAC address on all of them: the machine that told of it last is the one.
    fileprivate var byMAC: [MACAddress: [MachineID]] = [:]
    fileprivate var byClaim: [MACAddress: [MachineID]] = [:]
    fileprivate var byAddress: [IPv4Address: [MachineID]] = [:]

    /// The machine that the port identifies.
    public func machine(with mac: MACAddress) -> Machine? { byMAC[mac]?.last.flatMap { machines[$0] } }
    /// The same, unless several have the port: then it identifies none of them.
    public func onlyMachine(with mac: MACAddress) -> Machine? { byMAC[mac].flatMap { $0.count == 1 ? machines[$0[0]] : nil } }
    /// The machine whose record cannot be read and had the port, where no other has it.
    public func damagedMachine(with mac: MACAddress) -> DamagedMachine? {
        damaged.isEmpty || byMAC[mac] != nil ? nil : damaged.values.first { $0.macs.contains(mac) }
    }
    /// All machines that have the port in their record. One person's word, or one boot, gives it to one; records of earlier
    /// versions, and restored ones, may have it twice.
    public func machines(with mac: MACAddress) -> [Machine] { byMAC[mac]?.compactMap { machines[$0] } ?? [] }
    /// Whether what is said to `neighbour` reaches the machine whose port a frame came from. A machine with several ports on one
    /// wire may answer ARP by another of them.
    public func isReached(_ frame: MACAddress, by neighbour: MACAddress) -> Bool {
        if frame == neighbour { return true }
        let machine = machine(with: frame)
        return machine?.owns(neighbour) == true || machine?.claims(neighbour) == true
    }

    /// The machines whose agents named the port as theirs; none of them has shown that it is.
    public func machines(claiming mac: MACAddress) -> [Machine] { byClaim[mac]?.compactMap { machines[$0] } ?? [] }
    /// The machines that have the address without a lease telling so: in their desired network, or by calling home from it.
    public func machines(knownAt address: IPv4Address) -> [Machine] { byAddress[address]?.compactMap { machines[$0] } ?? [] }
    /// The open operation of a machine. One that waits for its second word is none: nothing of it has begun.
    public func openOperation(of machine: Machine) -> Operation? {
        namedOperation(of: machine).flatMap { $0.state == .waiting ? nil : $0 }
    }

    /// The open operation that a machine's record names, one that waits included.
    public func namedOperation(of machine: Machine) -> Operation? { machine.openOperation.flatMap { operations[$0] } }

    fileprivate mutating func set(_ machine: Machine) {
        remove(machine.id)
        for mac in Set(machine.interfaces.map(\.mac)) { byMAC[mac, default: []].append(machine.id) }
        for port in machine.observed.claimedInterfaces ?? [] { byClaim[port.mac, default: []].append(machine.id) }
        for address in Self.addresses(of: machine) { byAddress[address, default: []].append(machine.id) }
        machines[machine.id] = machine
    }

    fileprivate mutating func set(_ machine: DamagedMachine) {
        remove(machine.id)
        damaged[machine.id] = machine
    }

    private mutating func remove(_ id: MachineID) {
        damaged[id] = nil
        guard let old = machines.removeValue(forKey: id) else { return }
        for mac in Set(old.interfaces.map(\.mac)) { Self.remove(id, from: &byMAC, at: mac) }
        for port in old.observed.claimedInterfaces ?? [] { Self.remove(id, from: &byClaim, at: port.mac) }
        for address in Self.addresses(of: old) { Self.remove(id, from: &byAddress, at: address) }
    }

    private static func remove<Key>(_ id: MachineID, from index: inout [Key: [MachineID]], at key: Key) {
        index[key]?.removeAll { $0 == id }
        if index[key]?.isEmpty == true { index[key] = nil }
    }

    private static func addresses(of machine: Machine) -> Set<IPv4Address> {
        var all = Set(machine.desired.network?.staticAddresses ?? [])
        if let seen = machine.observed.address { all.insert(seen) }
        return all
    }

    fileprivate mutating func set(_ operation: Operation) {
        // The hot path asks for open operations only.
        operations[operation.id] = operation.isOpen ? operation : nil
    }

    fileprivate mutating func apply(_ event: StoreEvent, _ records: Records) {
        revision = max(revision, event.revision)
        switch event {
        case .put(let stored) where stored.key.hasPrefix(Machine.prefix):
            if let machine = try? records.decode(Machine.self, stored) { return set(machine) }
            if let id = MachineID(rawValue: String(stored.key.dropFirst(Machine.prefix.count))) { set(DamagedMachine(id: id, in: stored)) }
        case .put(let stored) where stored.key.hasPrefix(Operation.prefix):
            if let operation = try? records.decode(Operation.self, stored) { return set(operation) }
            // One that cannot be read is believed neither open nor over.
            OperationID(rawValue: String(stored.key.dropFirst(Operation.prefix.count))).map { operations[$0] = nil }
        case .put(let stored) where stored.key == Freeze.key: freeze = Freeze.decode(stored)
        case .delete(Freeze.key, _): freeze = nil
        case .delete(let key, _) where key.hasPrefix(Machine.prefix):
            records.damaged.clear(key)
            if let id = MachineID(rawValue: String(key.dropFirst(Machine.prefix.count))) { remove(id) }
        default: break
        }
    }
}

/// Holds the current snapshot, and lets callers wait until it has a revision.
final class SnapshotHolder: Sendable {
    private struct Waiter {
        var revision: Revision
        var continuation: CheckedContinuation<Void, Never>
    }

    private struct State {
        var snapshot = RackSnapshot()
        var waiting: [Int: Waiter] = [:]
        var nextWaiter = 0
        /// Whether something applies the store's changes; without it no wait would end.
        var isFollowed = false
        var observers: [Int: @Sendable (Set<MachineID>?, RackSnapshot) -> Void] = [:]
        var nextObserver = 0
    }
    private let state = Mutex(State())

    var current: RackSnapshot { state.withLock { $0.snapshot } }
    var revision: Revision { state.withLock { $0.snapshot.revision } }

    /// Returns once the snapshot holds what `revision` wrote, or the caller is
    /// cancelled, or nothing follows the store (any more): then no boot is answered either.
    func reached(_ revision: Revision) async {
        let id = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let now = state.withLock { state in
                    if state.snapshot.revision >= revision || !state.isFollowed || Task.isCancelled { return true }
                    state.waiting[id] = Waiter(revision: revision, continuation: continuation)
                    return false
                }
                if now { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiting.removeValue(forKey: id) }?.continuation.resume()
        }
    }

    /// Says whether the store's changes are being applied. When they no longer are, whoever waits goes on.
    func setFollowed(_ isFollowed: Bool) {
        let stranded = state.withLock { state in
            state.isFollowed = isFollowed
            guard !isFollowed else { return [Waiter]() }
            defer { state.waiting = [:] }
            return Array(state.waiting.values)
        }
        for waiter in stranded { waiter.continuation.resume() }
    }

    /// Calls `observer` after each change until `stop(observing:)`.
    func observe(_ observer: @escaping @Sendable (RackSnapshot) -> Void) -> Int {
        observeMachines { observer($1) }
    }

    /// The same with the machines that changed; nil: any may have.
    func observeMachines(_ observer: @escaping @Sendable (Set<MachineID>?, RackSnapshot) -> Void) -> Int {
        state.withLock {
            $0.nextObserver += 1
            $0.observers[$0.nextObserver] = observer
            return $0.nextObserver
        }
    }

    var observerCount: Int { state.withLock { $0.observers.count } }

    func stop(observing id: Int) { state.withLock { $0.observers[id] = nil } }

    func load(
        _ machines: [Machine], _ operations: [Operation], damaged: [DamagedMachine] = [], freeze: Freeze? = nil, at revision: Revision
    ) {
        publish(changed: nil) { snapshot in
            snapshot = RackSnapshot()
            for machine in damaged { snapshot.set(machine) }
            for machine in machines { snapshot.set(machine) }
            for operation in operations { snapshot.set(operation) }
            snapshot.freeze = freeze
            snapshot.revision = revision
        }
    }

    func apply(_ batch: WatchBatch, _ records: Records) {
        publish(changed: Set(batch.events.compactMap { machine(concernedBy: $0) })) { snapshot in
            for event in batch.events { snapshot.apply(event, records) }
            snapshot.revision = max(snapshot.revision, batch.revision)
        }
    }

    /// Whose metadata an event of the store changes; an operation's is that of its machine, which changes with it.
    private func machine(concernedBy event: StoreEvent) -> MachineID? {
        guard event.key.hasPrefix(Machine.prefix) else { return nil }
        return MachineID(rawValue: String(event.key.dropFirst(Machine.prefix.count)))
    }

    private func publish(changed: Set<MachineID>?, _ change: (inout RackSnapshot) -> Void) {
        let (snapshot, ready, observers) = state.withLock { state in
            change(&state.snapshot)
            let reached = state.snapshot.revision
            let ready = state.waiting.filter { $0.value.revision <= reached }
            for id in ready.keys { state.waiting[id] = nil }
            return (state.snapshot, Array(ready.values), Array(state.observers.values))
        }
        for waiter in ready { waiter.continuation.resume() }
        for observer in observers { observer(changed, snapshot) }
    }
}
