internal import CLinux
internal import Model

/// Sends the inventory as soon as it is known, and again when more became known.
struct InventoryPoster: Sendable {
    /// LLDP is sent every 30 s.
    private static let listening: Duration = .seconds(35)

    let reader: InventoryReader
    let session: Session
    let drivers: DriverBox

    /// Loads the drivers that could wait, and sends what there is then.
    func send() async throws -> Inventory {
        let inventory = try await WorkPool.run {
            drivers.load(urgentOnly: false)
            if SystemFile.exists("/sys/bus/platform/drivers/ipmi_si") { drivers.load(["ipmi_devintf"]) }
            Interfaces.turnOn(Interfaces.all(), log: session.log)
            return reader.read()
        }
        try await post(inventory)
        return inventory
    }

    private func post(_ inventory: Inventory) async throws {
        let fitting = try inventory.fitting()
        try await session.insist(on: "inventory", isFinal: { if case .status(400, _) = $0 { true } else { false } }) {
            client throws(TalkError) in try await client.post("inventory", fitting)
        }
    }

    /// Sends the inventory, then listens for the switches at the other end for half a minute and sends it again.
    func run() async {
        let log = session.log
        do {
            var inventory = try await send()
            log.milestone("inventory-sent")
            let clock = ContinuousClock()
            let deadline = clock.now + Self.listening
            let listener = LLDPListener(Interfaces.all())
            var neighbours: [String: Inventory.Neighbour] = [:]
            while clock.now < deadline, neighbours.count < inventory.nics.count {
                try await Task.sleep(for: .seconds(1))
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
