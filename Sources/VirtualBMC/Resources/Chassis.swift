extension RedfishService {
    func chassis(_ rest: [String], at moment: RedfishMoment) -> Document? {
        let collection = "\(Self.root)/Chassis"
        guard let id = rest.first else { return .collection("Chassis", collection, name: "Chassis", members: ["1"]) }
        guard id == "1" else { return nil }
        let path = "\(collection)/1"
        let reading = moment.reading
        switch (rest.dropFirst().first, rest.count) {
        case (nil, _):
            return Document(
                [
                    "@odata.id": .string(path), "@odata.type": "#Chassis.v1_9_0.Chassis", "Id": "1",
                    "Name": .string(inventory.name), "ChassisType": "RackMount",
                    "Manufacturer": .string(inventory.manufacturer), "Model": .string(inventory.model),
                    "SerialNumber": .string(inventory.serial), "AssetTag": .string(assetTag),
                    "IndicatorLED": .string(indicator), "PowerState": .string(reading.power.rawValue),
                    "Status": [
                        "State": "Enabled", "Health": .string(reading.health.rawValue),
                    ],
                    "Thermal": Document.link("\(path)/Thermal"), "Power": Document.link("\(path)/Power"),
                    "Sensors": Document.link("\(path)/Sensors"),
                    "Links": [
                        "ComputerSystems": [Document.link("\(Self.root)/Systems/1")],
                        "ManagedBy": [Document.link("\(Self.root)/Managers/1")],
                    ],
                ], methods: ["PATCH"])
        case ("Thermal", 2): return thermal("\(path)/Thermal", reading)
        case ("Power", 2): return power("\(path)/Power", reading)
        case ("Sensors", 2):
            return .collection("Sensor", "\(path)/Sensors", name: "Sensors", members: sensors(reading).map(\.id))
        case ("Sensors", 3):
            return sensors(reading).first { $0.id == rest[2] }.map { sensor($0, "\(path)/Sensors") }
        default: return nil
        }
    }

    private func status(_ health: BMCReading.Health) -> JSON { ["State": "Enabled", "Health": .string(health.rawValue)] }

    private func thermal(_ path: String, _ reading: BMCReading) -> Document {
        let temperatures = reading.temperatures.enumerated().map { index, temperature -> JSON in
            [
                "@odata.id": .string("\(path)#/Temperatures/\(index)"), "MemberId": .string("\(index)"),
                "Name": .string(temperature.name), "SensorNumber": .integer(Int64(index + 1)),
                "ReadingCelsius": .number(temperature.celsius),
                "UpperThresholdNonCritical": .number(temperature.warningCelsius),
                "UpperThresholdCritical": .number(temperature.criticalCelsius),
                "PhysicalContext": index == 0 ? "Intake" : "CPU", "Status": status(temperature.health),
            ]
        }
        let fans = reading.fans.enumerated().map { index, fan -> JSON in
            [
                "@odata.id": .string("\(path)#/Fans/\(index)"), "MemberId": .string("\(index)"),
                "Name": .string(fan.name), "Reading": .integer(Int64(fan.rpm)), "ReadingUnits": "RPM",
                "LowerThresholdCritical": .integer(Int64(fan.criticalRPM)), "Status": status(fan.health),
            ]
        }
        return Document([
            "@odata.id": .string(path), "@odata.type": "#Thermal.v1_4_0.Thermal", "Id": "Thermal",
            "Name": "Temperatures and fans", "Temperatures": .array(temperatures),
            "Temperatures@odata.count": .integer(Int64(temperatures.count)), "Fans": .array(fans),
            "Fans@odata.count": .integer(Int64(fans.count)),
        ])
    }

    private func power(_ path: String, _ reading: BMCReading) -> Document {
        let supplies = reading.supplies.enumerated().map { index, supply -> JSON in
            [
                "@odata.id": .string("\(path)#/PowerSupplies/\(index)"), "MemberId": .string("\(index)"),
                "Name": .string(supply.name), "PowerSupplyType": "AC",
                "PowerInputWatts": .number(supply.inputWatts), "PowerCapacityWatts": .number(supply.capacityWatts),
                "LineInputVoltage": .number(supply.inputVolts), "Status": status(supply.health),
            ]
        }
        return Document([
            "@odata.id": .string(path), "@odata.type": "#Power.v1_5_0.Power", "Id": "Power", "Name": "Power",
            "PowerControl": [
                [
                    "@odata.id": .string("\(path)#/PowerControl/0"), "MemberId": "0", "Name": "System power",
                    "PowerConsumedWatts": .number(reading.watts),
                    "PowerCapacityWatts": .number(reading.supplies.map(\.capacityWatts).max() ?? 0),
                    "Status": status(reading.health),
                ]
            ],
            "PowerControl@odata.count": 1, "PowerSupplies": .array(supplies),
            "PowerSupplies@odata.count": .integer(Int64(supplies.count)),
        ])
    }

    // MARK: Sensors

    private struct Sensor {
        let id: String
        let name: String
        let type: String
        let units: String
        let value: Double
        let health: BMCReading.Health
    }

    /// The same measurements in the newer form, one resource each.
    private func sensors(_ reading: BMCReading) -> [Sensor] {
        func id(_ name: String) -> String { String(name.filter { $0 != " " }) }
        return reading.temperatures.map {
            Sensor(id: id($0.name), name: $0.name, type: "Temperature", units: "Cel", value: $0.celsius, health: $0.health)
        }
            + reading.fans.map {
                Sensor(
                    id: id($0.name), name: $0.name, type: "Rotational", units: "{rev}/min", value: Double($0.rpm),
                    health: $0.health)
            }
            + reading.supplies.map {
                Sensor(
                    id: "\(id($0.name))Input", name: "\($0.name) input", type: "Power", units: "W",
                    value: $0.inputWatts, health: $0.health)
            }
    }

    private func sensor(_ sensor: Sensor, _ path: String) -> Document {
        Document([
            "@odata.id": .string("\(path)/\(sensor.id)"), "@odata.type": "#Sensor.v1_0_0.Sensor",
            "Id": .string(sensor.id), "Name": .string(sensor.name), "ReadingType": .string(sensor.type),
            "ReadingUnits": .string(sensor.units), "Reading": .number(sensor.value), "Status": status(sensor.health),
        ])
    }
}
