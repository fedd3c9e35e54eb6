internal import Control
internal import Model

/// BMCs and sensors among the metrics.
extension ServerMetrics {
    private typealias Sample = Exposition.Sample

    mutating func add(bmcs: [BMCVitals]) {
        exposition.add(
            "hostler_bmc_info", .gauge, "1 for each BMC, with who it is.",
            bmcs.map { vitals in
                let bmc = vitals.bmc
                return Sample(
                    1,
                    Self.labels(
                        vitals, ("kind", bmc.kind.rawValue), ("address", bmc.address), ("vendor", bmc.facts?.vendor ?? ""),
                        ("model", bmc.facts?.model ?? ""), ("firmware", bmc.facts?.firmware ?? "")))
            })
        exposition.add(
            "hostler_bmc_up", .gauge, "1 where the BMC answered when it was asked last.",
            bmcs.map { Sample($0.bmc.observed.problem == nil && $0.bmc.observed.breaker == .closed ? 1 : 0, Self.labels($0)) })
        exposition.add(
            "hostler_bmc_breaker", .gauge, "1 for the state in which the BMC's circuit breaker is.",
            bmcs.flatMap { vitals in
                BreakerState.allCases.map { state in
                    Sample(vitals.bmc.observed.breaker == state ? 1 : 0, Self.labels(vitals, ("state", state.rawValue)))
                }
            })
        exposition.add(
            "hostler_bmc_power_on", .gauge, "1 where the machine was on when its BMC was read last, 0 where it was off.",
            bmcs.compactMap { vitals -> Sample? in
                switch vitals.bmc.observed.power?.state {
                case .on: Sample(1, Self.labels(vitals))
                case .off: Sample(0, Self.labels(vitals))
                default: nil
                }
            })
        exposition.add(
            "hostler_bmc_power_read_timestamp_seconds", .gauge, "When the power was read last, in seconds since 1970.",
            bmcs.compactMap { vitals in vitals.bmc.observed.power.map { Sample(Self.seconds($0.at), Self.labels(vitals)) } })
        exposition.add(
            "hostler_machine_health", .gauge, "What the BMC says of the machine as a whole: 0 ok, 1 warning, 2 critical.",
            bmcs.compactMap { vitals in Self.number(vitals.health).map { Sample($0, Self.labels(vitals)) } })
        exposition.add(
            "hostler_machine_hardware_faults", .gauge, "Parts of the machine that are not as they should be.",
            bmcs.filter { $0.readAt != nil }.flatMap { vitals in
                [HealthState.warning, .critical].map { health in
                    Sample(Double((vitals.bmc.observed.faults ?? []).count { $0.health == health }), Self.labels(vitals, ("health", health.rawValue)))
                }
            })
        exposition.add(
            "hostler_sensors_read_timestamp_seconds", .gauge, "When the sensors were read last, in seconds since 1970.",
            bmcs.compactMap { vitals in vitals.readAt.map { Sample(Self.seconds($0), Self.labels(vitals)) } })
        addSensors(bmcs)
    }

    private mutating func addSensors(_ bmcs: [BMCVitals]) {
        func add(_ name: String, _ help: String, scale: Double = 1, _ isMeant: (SensorReading) -> Bool) {
            exposition.add(
                name, .gauge, help,
                bmcs.flatMap { vitals in
                    vitals.readings.filter(isMeant).compactMap { reading in
                        reading.value.map { Sample($0 * scale, Self.labels(vitals, ("sensor", reading.name))) }
                    }
                })
        }
        add("hostler_sensor_temperature_celsius", "Temperatures.") { $0.kind == .temperature }
        add("hostler_sensor_fan_rpm", "Fans' speeds, where the BMC gives revolutions a minute.") { $0.kind == .fan && $0.unit != "%" }
        add("hostler_sensor_fan_ratio", "Fans' speeds, where the BMC gives a share of the highest: 0 to 1.", scale: 0.01) {
            $0.kind == .fan && $0.unit == "%"
        }
        add("hostler_sensor_voltage_volts", "Voltages.") { $0.kind == .voltage }
        add("hostler_sensor_power_watts", "Power of supplies and of the whole.") { $0.kind == .power }
        add("hostler_sensor_current_amperes", "Currents.") { $0.kind == .current }
        exposition.add(
            "hostler_sensor_health", .gauge, "What the BMC says of each sensor: 0 ok, 1 warning, 2 critical.",
            bmcs.flatMap { vitals in
                vitals.readings.compactMap { reading in
                    Self.number(reading.health).map {
                        Sample($0, Self.labels(vitals, ("kind", reading.kind.rawValue), ("sensor", reading.name)))
                    }
                }
            })
    }

    private static func labels(_ vitals: BMCVitals, _ more: (name: String, value: String)...) -> [(name: String, value: String)] {
        [("bmc", vitals.bmc.id.rawValue), ("machine", vitals.bmc.machine?.rawValue ?? "")] + more
    }

    private static func seconds(_ time: Timestamp) -> Double { Double(time.milliseconds) / 1000 }

    /// Nil where the BMC does not say.
    private static func number(_ health: HealthState) -> Double? {
        switch health {
        case .unknown: nil
        case .ok: 0
        case .warning: 1
        case .critical: 2
        }
    }
}
