internal import Model

/// Judges from one reading of a machine's sensors to the next what is wrong with it.
///
/// A pure state machine; after a restart it goes on from the faults that the record has.
struct HealthJudge: Sendable {
    private struct Sensor {
        /// As it was confirmed last.
        var health = HealthState.ok
        var since: Timestamp?
        var why = ""
        /// Another state, and how often it was read in a row.
        var pending: (health: HealthState, times: Int)?
        /// A fan that was seen to turn and then stands still has died; an empty slot reads 0 from the first.
        var hasTurned = false
    }

    private let policy: HealthPolicy
    private var sensors: [SensorRing.Key: Sensor] = [:]

    init(_ policy: HealthPolicy, known faults: [HardwareFault] = []) {
        self.policy = policy
        for fault in faults {
            sensors[.init(kind: fault.kind, name: fault.sensor)] = Sensor(
                health: fault.health, since: fault.since, why: fault.why, hasTurned: fault.kind == .fan)
        }
    }

    /// What is wrong now, worst first.
    var faults: [HardwareFault] {
        sensors.filter { $0.value.health > .ok }.map { key, sensor in
            HardwareFault(
                sensor: key.name, kind: key.kind, health: sensor.health, why: sensor.why, since: sensor.since ?? Timestamp(milliseconds: 0))
        }.sorted { ($1.health, $0.sensor) < ($0.health, $1.sensor) }
    }

    mutating func read(_ readings: [SensorReading], power: PowerState, at now: Timestamp) {
        var listed: Set<SensorRing.Key> = []
        for reading in readings.prefix(SensorRing.sensorLimit) {
            let key = SensorRing.Key(kind: reading.kind, name: reading.name)
            guard listed.insert(key).inserted else { continue }
            let (health, why) = judge(reading, power, hasTurned: sensors[key]?.hasTurned ?? false)
            if reading.kind == .fan, let value = reading.value, value > 0 { sensors[key, default: Sensor()].hasTurned = true }
            note(key, health, why, now)
        }
        // A power supply that was pulled is no longer listed by most BMCs. One that lists nothing at all has a bad
        // moment; a machine that is off may hide its fans.
        guard power == .on, !listed.isEmpty else { return }
        for key in sensors.keys where !listed.contains(key) && (key.kind == .fan || key.kind == .power) {
            note(key, .critical, "the BMC does not list it any more", now)
        }
    }

    private mutating func note(_ key: SensorRing.Key, _ health: HealthState, _ why: String, _ now: Timestamp) {
        var sensor = sensors[key] ?? Sensor()
        defer { sensors[key] = sensor }
        guard health != sensor.health else {
            sensor.pending = nil
            return
        }
        let times = sensor.pending?.health == health ? (sensor.pending?.times ?? 0) + 1 : 1
        sensor.pending = (health, times)
        guard times >= policy.confirmations else { return }
        sensor.pending = nil
        sensor.health = health
        sensor.why = why
        sensor.since = now
    }

    private func judge(_ reading: SensorReading, _ power: PowerState, hasTurned: Bool) -> (HealthState, String) {
        let isOn = power == .on
        var health = max(reading.health, .ok)
        var why = health == .ok ? said(reading) : "\(said(reading)), \(health.rawValue) by the BMC"
        func worsen(_ state: HealthState, _ words: String) {
            guard state > health else { return }
            health = state
            why = "\(said(reading)), \(words)"
        }
        guard let value = reading.value else { return (health, why) }
        let unit = reading.unit.map { " \($0)" } ?? ""
        if let limit = reading.upperCritical, value > limit { worsen(.critical, "critical above \(Self.short(limit))\(unit)") }
        // What stands still or has no voltage is right while the machine is off.
        if isOn, let limit = reading.lowerCritical, value < limit { worsen(.critical, "critical below \(Self.short(limit))\(unit)") }
        if isOn, reading.kind == .fan, value == 0, hasTurned { worsen(.critical, "it turned before") }
        for threshold in policy.thresholds where SensorPattern.matches(threshold.sensor, reading.name) {
            if let limit = threshold.above, value > limit { worsen(.critical, "above the limit of \(Self.short(limit))\(unit)") }
            if isOn, let limit = threshold.below, value < limit { worsen(.critical, "below the limit of \(Self.short(limit))\(unit)") }
        }
        return (health, why)
    }

    private func said(_ reading: SensorReading) -> String {
        reading.value.map { Self.short($0) + (reading.unit.map { " \($0)" } ?? "") } ?? "no value"
    }

    /// Up to two digits after the point.
    static func short(_ value: Double) -> String {
        guard abs(value) < 1e12 else { return "\(value)" }
        let hundredths = (value * 100).rounded() / 100
        return hundredths == hundredths.rounded() ? String(Int64(hundredths)) : String(hundredths)
    }
}
