public import Model

/// How often machines' sensors are read, what counts as wrong, and what follows from it.
public struct HealthPolicy: Sendable, Equatable, Codable {
    /// A limit of the operator's own, beside what the BMC says.
    public struct Threshold: Sendable, Equatable, Codable {
        /// The sensor's name; `*` stands for any characters.
        public var sensor: String
        /// Critical above this value, in the sensor's own unit.
        public var above: Double?
        /// Critical below this value while the machine is on.
        public var below: Double?

        public init(sensor: String, above: Double? = nil, below: Double? = nil) {
            self.sensor = sensor
            self.above = above
            self.below = below
        }
    }

    /// In seconds, from one reading of a machine's sensors to the next; 0: never.
    public var everySeconds: Int
    /// Readings in a row that must agree before something is told: a BMC's single odd reading is none.
    public var confirmations: Int
    public var thresholds: [Threshold]
    /// The kinds of sensors whose critical fault puts the machine on hold. Empty: it is told and nothing more,
    /// since a hold also keeps identities from a machine that runs.
    public var holdOn: [SensorReading.Kind]

    public init(
        everySeconds: Int = 60, confirmations: Int = 2, thresholds: [Threshold] = [], holdOn: [SensorReading.Kind] = []
    ) {
        self.everySeconds = everySeconds
        self.confirmations = confirmations
        self.thresholds = thresholds
        self.holdOn = holdOn
    }

    private enum CodingKeys: CodingKey { case everySeconds, confirmations, thresholds, holdOn }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let usual = HealthPolicy()
        everySeconds = try container.decodeIfPresent(Int.self, forKey: .everySeconds) ?? usual.everySeconds
        confirmations = try container.decodeIfPresent(Int.self, forKey: .confirmations) ?? usual.confirmations
        thresholds = try container.decodeIfPresent([Threshold].self, forKey: .thresholds) ?? []
        holdOn = try container.decodeIfPresent([SensorReading.Kind].self, forKey: .holdOn) ?? []
    }

    /// Throws where it could not be followed.
    public func check() throws(Problem) {
        guard everySeconds == 0 || (10...86_400).contains(everySeconds), (1...10).contains(confirmations), thresholds.count <= 256,
            thresholds.allSatisfy({ !$0.sensor.isEmpty && ($0.above != nil || $0.below != nil) })
        else {
            throw Problem(
                "config-health", title: "The configuration's health section does not fit",
                remedy: "everySeconds is 0 or 10 to 86400, confirmations 1 to 10; each threshold has a sensor, and above or below.")
        }
    }
}

/// Text with `*` for any characters, compared without regard to case.
enum SensorPattern {
    static func matches(_ pattern: String, _ name: String) -> Bool {
        let pattern = Array(pattern.lowercased())
        let name = Array(name.lowercased())
        // After a star, where to go on when what follows it does not fit.
        var retry: (pattern: Int, name: Int)?
        var (p, n) = (0, 0)
        while n < name.count {
            if p < pattern.count, pattern[p] == "*" {
                retry = (p, n)
                p += 1
            } else if p < pattern.count, pattern[p] == name[n] {
                p += 1
                n += 1
            } else if let (star, from) = retry {
                retry = (star, from + 1)
                (p, n) = (star + 1, from + 1)
            } else {
                return false
            }
        }
        return pattern[p...].allSatisfy { $0 == "*" }
    }
}
