public import Model

/// What a BMC tells of the machine's parts, its sensors and its logs.
extension RedfishBMC {
    /// Everything that the BMC lists, by kind. A part that it cannot give is left out.
    public func inventory() async throws -> [Component] {
        let system = try await system()
        var parts: [Component] = []
        func add(_ kind: Component.Kind, _ collection: RedfishPath?) async throws {
            guard let collection else { return }
            parts += try await optional { try await self.client.resources(of: collection) }.compactMap { Component(kind, $0) }
        }
        try await add(.processor, system.processors)
        try await add(.memory, system.memory)
        try await add(.nic, system.ethernetInterfaces)
        parts += try await drives(system)
        for path in system.pcieDevices.prefix(64) {
            if let json = try await optional({ try await [self.client.get(path).json] }).first, let part = Component(.pcie, json) {
                parts.append(part)
            }
        }
        if let updates = try await client.serviceRoot().updates,
            let firmware = try await optional({ try await [self.client.get(updates).json] }).first?["FirmwareInventory"]?.link
        {
            try await add(.firmware, firmware)
        }
        return parts
    }

    private func drives(_ system: ComputerSystem) async throws -> [Component] {
        var parts: [Component] = []
        if let storage = system.storage {
            for controller in try await optional({ try await self.client.resources(of: storage, limit: 32) }) {
                for link in (controller["Drives"]?.items ?? []).prefix(128).compactMap(\.link) {
                    if let json = try await optional({ try await [self.client.get(link).json] }).first, let part = Component(.drive, json) {
                        parts.append(part)
                    }
                }
            }
        }
        if parts.isEmpty, let simple = system.simpleStorage {
            let controllers = try await optional { try await self.client.resources(of: simple, limit: 32) }
            parts = controllers.flatMap { $0["Devices"]?.items ?? [] }.compactMap { Component(.drive, $0) }
        }
        return parts
    }

    /// Empty where the BMC does not have it; throws where the BMC is gone.
    private func optional(_ body: () async throws -> [JSON]) async throws -> [JSON] {
        do {
            return try await body()
        } catch let problem as Problem where problem.isOfOneResource {
            return []
        }
    }

    public func health() async throws -> (health: HealthState, readings: [SensorReading]) {
        let system = try await system()
        var chassis = system.chassis
        if chassis.isEmpty, let collection = try await client.serviceRoot().chassis {
            chassis = try await client.members(of: collection, limit: 8).compactMap(\.link)
        }
        var worst = system.health
        var readings: [SensorReading] = []
        for path in chassis.prefix(8) {
            let json = try await client.get(path).json
            worst = max(worst, HealthState(status: json["Status"]))
            readings += try await sensors(of: json)
        }
        for reading in readings { worst = max(worst, reading.health) }
        return (worst, readings)
    }

    private func sensors(of chassis: JSON) async throws -> [SensorReading] {
        var readings: [SensorReading] = []
        if let link = chassis["Thermal"]?.link {
            readings += try await optional { try await [self.client.get(link).json] }.flatMap(SensorDecoding.thermal)
        }
        if let link = chassis["Power"]?.link {
            readings += try await optional { try await [self.client.get(link).json] }.flatMap(SensorDecoding.power)
        }
        // The newer form, where the older is gone.
        if readings.isEmpty, let link = chassis["Sensors"]?.link {
            readings += try await optional { try await self.client.resources(of: link, limit: 256) }.compactMap(SensorDecoding.sensor)
        }
        return readings
    }

    // MARK: Logs

    /// The newest `limit` entries of the log that holds hardware events, newest first.
    public func log(limit: Int) async throws -> [HardwareLogEntry] {
        guard let service = try await logService(), let entries = service["Entries"]?.link else {
            throw Problem.bmcUnsupported("show an event log", "\(address) has no log service for the machine")
        }
        let found = try await client.resources(of: entries, limit: RedfishClient.memberLimit).compactMap(LogDecoding.entry)
        return Array(found.sorted { ($0.time ?? "", $0.id.count, $0.id) > ($1.time ?? "", $1.id.count, $1.id) }.prefix(limit))
    }

    public func clearLog() async throws {
        guard let service = try await logService(), let path = service.link else {
            throw Problem.bmcUnsupported("clear an event log", "\(address) has no log service for the machine")
        }
        let target = service["Actions"]?["#LogService.ClearLog"]?["target"]?.text.flatMap { RedfishPath($0) }
        try await client.post(target ?? path.appending("Actions/LogService.ClearLog"), [:])
    }

    private func logService() async throws -> JSON? {
        let system = try await system()
        var places = [system.logServices].compactMap(\.self)
        for path in system.controllers.prefix(2) {
            if let link = try await optional({ try await [self.client.get(path).json] }).first?["LogServices"]?.link { places.append(link) }
        }
        var services: [JSON] = []
        for place in places { services += try await optional { try await self.client.resources(of: place, limit: 16) } }
        // By the names that vendors give the machine's own log: iDRAC Sel, iLO IML, Supermicro Log1, OpenBMC EventLog.
        for word in ["sel", "iml", "eventlog", "event", "log1", "platform"] {
            if let found = services.first(where: { $0["Id"]?.text?.lowercased().contains(word) == true }) { return found }
        }
        return services.first
    }
}
