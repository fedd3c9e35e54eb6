/// One value of a sensor at one moment.
public struct SensorSample: Codable, Sendable, Equatable {
    public var at: Timestamp
    public var value: Double

    /// - Parameter value: one that no sensor could measure becomes 0.
    public init(at: Timestamp, value: Double) {
        self.at = at
        self.value = SensorReading.possible(value) ?? 0
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.init(at: try container.decode(Timestamp.self, forKey: .at), value: try container.decode(Double.self, forKey: .value))
    }
}

/// What one sensor read lately, oldest first.
public struct SensorHistory: Codable, Sendable, Equatable {
    /// The newest reading.
    public var reading: SensorReading
    /// When it was read.
    public var at: Timestamp
    public var samples: [SensorSample]

    public init(reading: SensorReading, at: Timestamp, samples: [SensorSample]) {
        self.reading = reading
        self.at = at
        self.samples = samples
    }
}

/// Something of a machine's body that is not as it should be, as its BMC reads it.
public struct HardwareFault: Codable, Sendable, Equatable {
    public var sensor: String
    public var kind: SensorReading.Kind
    /// `warning` or `critical`.
    public var health: HealthState
    /// In words, as “0 RPM, critical below 600 RPM”.
    public var why: String
    public var since: Timestamp

    public init(sensor: String, kind: SensorReading.Kind, health: HealthState, why: String, since: Timestamp) {
        self.sensor = sensor
        self.kind = kind
        self.health = health
        self.why = why
        self.since = since
    }
}

/// What was read of a machine's sensors lately, and what is wrong with them.
public struct SensorHistories: Codable, Sendable, Equatable {
    public var machine: MachineID
    /// When its sensors were read last; nil: never since the server started.
    public var at: Timestamp?
    public var sensors: [SensorHistory]
    public var faults: [HardwareFault]

    public init(machine: MachineID, at: Timestamp?, sensors: [SensorHistory], faults: [HardwareFault]) {
        self.machine = machine
        self.at = at
        self.sensors = sensors
        self.faults = faults
    }
}
