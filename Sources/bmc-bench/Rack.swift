import Control
import Glibc
import Hardware
import Model
import Store
import Synchronization
import Wire

/// The machines of the bench and what is done to all of them at once.
enum Rack {
    /// Puts so many machines into the record, as if their agents had been there.
    static func register(_ count: Int, in store: any StateStore) async throws -> [MachineID] {
        var ids: [MachineID] = []
        for number in 1...count {
            let digits = String(repeating: "0", count: max(0, 6 - "\(number)".count)) + "\(number)"
            let id = MachineID(unchecked: "m-" + digits)
            // The second card of what `simulate` makes under this number.
            let mac = MACAddress(value: 0x5254_0078_0000 | UInt64(number) << 1)
            var machine = Machine(id: id, name: try DisplayName("node\(number)"), interfaces: [Interface(mac: mac, bootedAt: now())], now: now())
            machine.state = .ready
            try await store.commit([.put(key: machine.key, value: try RecordCoding.encode(machine), if: .absent)])
            ids.append(id)
        }
        return ids
    }

    static func add(_ requests: [BMCRequest], to desk: BMCDesk) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for request in requests { group.addTask { _ = try await desk.add(request, by: "bench") } }
            try await group.waitForAll()
        }
    }

    /// Switches all; the seconds until the last healthy one was read to be so. Those that hang are given up then.
    static func switchAll(_ action: PowerAction, _ machines: [MachineID], silent: Set<MachineID>, by desk: BMCDesk) async throws -> Double {
        try await timed(machines.count - silent.count) { tell in
            try await withThrowingTaskGroup(of: Bool.self) { group in
                for machine in machines {
                    let isHealthy = !silent.contains(machine)
                    group.addTask {
                        do {
                            _ = try await desk.power(action, machine: machine.rawValue, by: "bench")
                            if isHealthy { tell() }
                        } catch  where !isHealthy {}
                        return isHealthy
                    }
                }
                var left = machines.count - silent.count
                while left > 0, let wasHealthy = try await group.next() { if wasHealthy { left -= 1 } }
                group.cancelAll()
            }
        }
    }
}

/// How many have told, and when the last one did.
final class Last: Sendable {
    private let state = Mutex((count: 0, at: ContinuousClock.now))
    var value: (count: Int, at: ContinuousClock.Instant) { state.withLock { $0 } }
    func tell() { state.withLock { $0 = ($0.count + 1, .now) } }
}

/// Says it on standard error and ends.
func end(_ status: Int32, _ text: String) -> Never {
    let bytes = Array((text + "\n").utf8)
    _ = write(STDERR_FILENO, bytes, bytes.count)
    exit(status)
}
