public import Model

/// Readings from what BMCs have: Thermal and Power (DSP0268, until 2020), or the Sensors collection.
public enum SensorDecoding {
    /// A `Thermal` resource.
    public static func thermal(_ json: JSON) -> [SensorReading] {
        let temperatures = (json["Temperatures"]?.items ?? []).compactMap { item in
            reading(item, .temperature, item["ReadingCelsius"] ?? item["CurrentReading"], "Cel")
        }
        let fans = (json["Fans"]?.items ?? []).compactMap { item in
            // iLO 4 and 5 give percent in CurrentReading; Reading's unit is RPM unless ReadingUnits says otherwise.
            let unit = (item["ReadingUnits"] ?? item["Units"])?.text
            let isPercent = unit?.lowercased() == "percent" || item["Reading"] == nil && item["CurrentReading"] != nil
            return reading(item, .fan, item["Reading"] ?? item["CurrentReading"], isPercent ? "%" : unit ?? "RPM")
        }
        return temperatures + fans
    }

    /// A `Power` resource.
    public static func power(_ json: JSON) -> [SensorReading] {
        let voltages = (json["Voltages"]?.items ?? []).compactMap { reading($0, .voltage, $0["ReadingVolts"], "V") }
        let supplies = (json["PowerSupplies"]?.items ?? []).compactMap { item in
            reading(
                item, .power, item["PowerInputWatts"] ?? item["LastPowerOutputWatts"] ?? item["PowerOutputWatts"], "W",
                keepsWithoutValue: true)
        }
        let totals = (json["PowerControl"]?.items ?? []).compactMap { reading($0, .power, $0["PowerConsumedWatts"], "W") }
        return voltages + supplies + totals
    }

    /// A `Sensor` resource.
    public static func sensor(_ json: JSON) -> SensorReading? {
        let kind: SensorReading.Kind =
            switch json["ReadingType"]?.text?.lowercased() {
            case "temperature": .temperature
            case "rotational": .fan
            case "voltage": .voltage
            case "power": .power
            case "current": .current
            default: json["ReadingUnits"]?.text?.lowercased() == "rpm" ? .fan : .other
            }
        guard var found = reading(json, kind, json["Reading"], json["ReadingUnits"]?.text) else { return nil }
        found.upperCritical = json["Thresholds"]?["UpperCritical"]?["Reading"]?.number ?? found.upperCritical
        found.lowerCritical = json["Thresholds"]?["LowerCritical"]?["Reading"]?.number ?? found.lowerCritical
        return found
    }

    private static func reading(
        _ json: JSON, _ kind: SensorReading.Kind, _ value: JSON?, _ unit: String?, keepsWithoutValue: Bool = false
    ) -> SensorReading? {
        let state = json["Status"]?["State"]?.text?.lowercased()
        guard state != "absent" else { return nil }
        let health = HealthState(status: json["Status"])
        // A slot that gives neither a value nor a complaint is an empty one.
        guard value?.number != nil || keepsWithoutValue || health > .ok else { return nil }
        let name = json["Name"]?.text ?? json["FanName"]?.text ?? json["MemberId"]?.text ?? json["Id"]?.text ?? kind.rawValue
        var reading = SensorReading(name: name, kind: kind, value: value?.number, unit: unit, health: health)
        reading.upperCritical = (json["UpperThresholdCritical"] ?? json["UpperThresholdFatal"])?.number
        reading.lowerCritical = (json["LowerThresholdCritical"] ?? json["LowerThresholdFatal"])?.number
        // iLO gives 0 for "no threshold".
        if reading.upperCritical == 0 { reading.upperCritical = nil }
        return reading
    }
}

/// An entry of a log service (DSP0268 LogEntry).
public enum LogDecoding {
    public static func entry(_ json: JSON) -> HardwareLogEntry? {
        guard let id = json["Id"]?.text ?? json["RecordId"]?.integer.map(String.init) else { return nil }
        let message = json["Message"]?.text ?? json["Name"]?.text ?? json["MessageId"]?.text ?? ""
        return HardwareLogEntry(
            id: id, time: json["Created"]?.text ?? json["EventTimestamp"]?.text,
            severity: HealthState(redfish: json["Severity"]?.text), message: RedfishAnswer.printable(message))
    }
}
