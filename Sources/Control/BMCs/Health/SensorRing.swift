internal import Model

/// The last readings of a machine's sensors: bounded in sensors and in samples, so that a rack of 500 machines takes
/// some 20 MB.
struct SensorRing: Sendable {
    /// An hour of minutes.
    static let sampleLimit = 60
    /// Some BMCs list several hundred; the first of them are kept.
    static let sensorLimit = 160

    struct Key: Hashable {
        var kind: SensorReading.Kind
        var name: String
    }

    private struct Track {
        var reading: SensorReading
        var at: Timestamp
        /// As a ring; `next` is the oldest once it is full.
        var values: [(at: Timestamp, value: Float)] = []
        var next = 0

        mutating func add(_ value: Double, at now: Timestamp) {
            if values.count < SensorRing.sampleLimit {
                values.append((now, Float(value)))
            } else {
                values[next] = (now, Float(value))
                next = (next + 1) % SensorRing.sampleLimit
            }
        }

        var samples: [SensorSample] {
            (values[next...] + values[..<next]).map { SensorSample(at: $0.at, value: Double($0.value)) }
        }
    }

    private var tracks: [Key: Track] = [:]
    /// In the order in which the BMC lists them.
    private var order: [Key] = []
    private(set) var at: Timestamp?
    private(set) var health = HealthState.unknown

    mutating func add(_ health: HealthState, _ readings: [SensorReading], at now: Timestamp) {
        at = now
        self.health = health
        for reading in readings {
            let key = Key(kind: reading.kind, name: reading.name)
            if tracks[key] == nil {
                guard order.count < Self.sensorLimit else { continue }
                order.append(key)
                tracks[key] = Track(reading: reading, at: now)
            }
            tracks[key]?.reading = reading
            tracks[key]?.at = now
            if let value = reading.value { tracks[key]?.add(value, at: now) }
        }
    }

    /// The newest reading of each sensor.
    var latest: [SensorReading] { order.compactMap { tracks[$0]?.reading } }

    var histories: [SensorHistory] {
        order.compactMap { key in tracks[key].map { SensorHistory(reading: $0.reading, at: $0.at, samples: $0.samples) } }
    }
}
