internal import CLinux
internal import Model

/// Sends the inventory as soon as it is known, and again when more became known.
struct InventoryPoster: Sendable {
    /// LLDP is sent every 30 s.
    private static let listening: Duration = .seconds(35)

    let reader: InventoryReader
    let session: Session
    let drivers: DriverBox
    /// Set once work writes disks: what was read of them before is true no longer.
    let disksChange: Flag

    /// Loads the drivers that could wait, and sends what there is then, as a person or the control plane asks for it.
    func send() async throws -> Inventory { try await send { false } }

    /// Sends what there is before work is begun, with what disks hold unless this boot has written to them.
    func sendBeforeWork() async throws { _ = try await send { disksChange.isSet } }

    /// - Parameter isStale: whether what was read of the disks is not to be told any more.
    private func send(_ isStale: @escaping @Sendable () -> Bool) async throws -> Inventory {
        var inventory = try await WorkPool.run {
            drivers.load(urgentOnly: false)
            if SystemFile.exists("/sys/bus/platform/drivers/ipmi_si") { drivers.load(["ipmi_devintf"]) }
            Interfaces.turnOn(Interfaces.all(), log: session.log)
            return reader.read()
        }
        let contents = await DiskReading.contents(of: inventory.disks.map(\.name))
        for index in inventory.disks.indices { inventory.disks[index].contents = contents[inventory.disks[index].name] }
        inventory.storageWithoutDriver = DiskReading.controllersWithoutDriver()
        try await post(inventory, isStale)
        return inventory
    }

    private func post(_ inventory: Inventory, _ isStale: @escaping @Sendable () -> Bool = { false }) async throws {
        let fitting = try inventory.fitting()
        var without = fitting
        for index in without.disks.indices { without.disks[index].contents = nil }
        let bare = without
        try await session.insist(on: "inventory", isFinal: { if case .status(400, _) = $0 { true } else { false } }) {
            client throws(TalkError) in try await client.post("inventory", isStale() ? bare : fitting)
        }
    }

    /// Sends the inventory, then listens for the switches at the other end for half a minute and sends it again; so it does
    /// where a disk has come up late. What disks hold is told the first time, and after that only where there are others.
    func run() async {
        let log = session.log
        do {
            var inventory = try await send { disksChange.isSet }
            log.milestone("inventory-sent")
            let clock = ContinuousClock()
            let deadline = clock.now + Self.listening
            let listener = LLDPListener(Interfaces.all())
            var neighbours: [String: Inventory.Neighbour] = [:]
            while clock.now < deadline, neighbours.count < inventory.nics.count {
                try await Task.sleep(for: .seconds(1))
                if !disksChange.isSet, Set(Disks.all().map(\.name)) != Set(inventory.disks.map(\.name)) {
                    inventory = try await send { disksChange.isSet }
                }
                let new = listener.heard()
                neighbours.merge(new) { $1 }
                guard !new.isEmpty else { continue }
                inventory = try await WorkPool.run { reader.read() }
                for index in inventory.nics.indices { inventory.nics[index].neighbour = neighbours[inventory.nics[index].name] }
                try await post(inventory)
                log("heard LLDP on \(new.keys.sorted().joined(separator: ", "))")
            }
        } catch {
            if !(error is CancellationError) { log("the inventory was not taken: \(error)") }
        }
    }
}
