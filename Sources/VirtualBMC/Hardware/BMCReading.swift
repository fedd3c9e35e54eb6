/// What a BMC measures: the state of its machine at one moment.
public struct BMCReading: Hashable, Sendable {
    public enum Power: String, Hashable, Sendable {
        case on = "On"
        case off = "Off"
    }

    /// Resource.Health of the DMTF.
    public enum Health: String, Hashable, Sendable {
        case ok = "OK"
        case warning = "Warning"
        case critical = "Critical"
    }

    public struct Temperature: Hashable, Sendable {
        public var name: String
        public var celsius: Double
        public var warningCelsius: Double
        public var criticalCelsius: Double

        public init(name: String, celsius: Double, warningCelsius: Double, criticalCelsius: Double) {
            self.name = name
            self.celsius = celsius
            self.warningCelsius = warningCelsius
            self.criticalCelsius = criticalCelsius
        }

        public var health: Health {
            celsius >= criticalCelsius ? .critical : celsius >= warningCelsius ? .warning : .ok
        }
    }

    public struct Fan: Hashable, Sendable {
        public var name: String
        public var rpm: Int
        public var criticalRPM: Int
        public var health: Health

        public init(name: String, rpm: Int, criticalRPM: Int, health: Health) {
            self.name = name
            self.rpm = rpm
            self.criticalRPM = criticalRPM
            self.health = health
        }
    }

    public struct PowerSupply: Hashable, Sendable {
        public var name: String
        public var inputWatts: Double
        public var capacityWatts: Double
        public var inputVolts: Double
        public var health: Health

        public init(name: String, inputWatts: Double, capacityWatts: Double, inputVolts: Double, health: Health) {
            self.name = name
            self.inputWatts = inputWatts
            self.capacityWatts = capacityWatts
            self.inputVolts = inputVolts
            self.health = health
        }
    }

    public var power: Power
    public var temperatures: [Temperature]
    public var fans: [Fan]
    public var supplies: [PowerSupply]
    /// Whether each network card has a carrier.
    public var linksUp: [Bool]

    public init(
        power: Power, temperatures: [Temperature], fans: [Fan], supplies: [PowerSupply], linksUp: [Bool]
    ) {
        self.power = power
        self.temperatures = temperatures
        self.fans = fans
        self.supplies = supplies
        self.linksUp = linksUp
    }

    public var watts: Double { supplies.map(\.inputWatts).reduce(0, +) }

    /// The worst of what was measured.
    public var health: Health {
        let all = temperatures.map(\.health) + fans.map(\.health) + supplies.map(\.health)
        return all.contains(.critical) ? .critical : all.contains(.warning) ? .warning : .ok
    }

    /// What a machine of a lab shows: plausible for one that is on or off, the
    /// same each time. Nothing is measured; QEMU has no thermometer.
    public static func nominal(power: Power, networkCards: Int, broken: Set<Part> = []) -> BMCReading {
        let on = power == .on
        let hot = broken.contains(.hot)
        return BMCReading(
            power: power,
            temperatures: [
                Temperature(name: "Inlet Temp", celsius: 22, warningCelsius: 38, criticalCelsius: 42),
                Temperature(
                    name: "CPU1 Temp", celsius: hot ? 97 : on ? 48 : 24, warningCelsius: 85, criticalCelsius: 95),
            ],
            fans: (1...2).map { number in
                let dead = number == 1 && broken.contains(.fan)
                return Fan(
                    name: "Fan\(number)", rpm: on && !dead ? 5400 : 0, criticalRPM: 600,
                    health: dead && on ? .critical : .ok)
            },
            supplies: (1...2).map { number in
                let dead = number == 1 && broken.contains(.powerSupply)
                return PowerSupply(
                    name: "PSU\(number)", inputWatts: dead ? 0 : on ? 84.5 : 6.5, capacityWatts: 800,
                    inputVolts: dead ? 0 : 230, health: dead ? .critical : .ok)
            },
            linksUp: Array(repeating: on, count: networkCards))
    }

    /// Something of the machine's body that can break.
    public enum Part: String, Hashable, Sendable, CaseIterable {
        case fan
        case powerSupply = "psu"
        /// The processor is too hot.
        case hot
    }
}
