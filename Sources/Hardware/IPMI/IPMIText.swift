public import Model
internal import Wire

/// What `ipmitool` prints, understood. Pure: text in, values out. What it prints is what the BMC says.
public enum IPMIText {
    /// Of `chassis power status`: `Chassis Power is on`.
    public static func power(_ text: String) -> PowerState {
        let words = text.lowercased().split(whereSeparator: \.isWhitespace)
        guard let at = words.firstIndex(of: "is"), words.index(after: at) < words.endIndex else { return .unknown }
        return PowerState(rawValue: String(words[words.index(after: at)])) ?? .unknown
    }

    private static func lines(_ text: String) -> [Substring] {
        PrintableText.lines(text, limitBytes: 1 << 20).split(separator: "\n")
    }

    /// Of `chassis bootparam get 5`: the five bytes of boot flags (IPMI 2.0 §28.13, parameter 5).
    public static func bootFlags(_ text: String, quirks: Quirks = .none) -> BootOverride? {
        guard let line = text.split(separator: "\n").first(where: { $0.contains("Boot parameter data:") }),
            let hex = line.split(separator: ":").last?.filter({ !$0.isWhitespace }), hex.count >= 4,
            let first = UInt8(hex.prefix(2), radix: 16), let second = UInt8(hex.dropFirst(2).prefix(2), radix: 16)
        else { return nil }
        let isValid = first & 0x80 != 0 || quirks.has(.bootFlagsLost)
        let target: BootTarget =
            switch second >> 2 & 0x0f {
            case 1: .pxe
            case 2, 3, 11: .disk
            case 5, 8: .cd
            case 6: .bios
            default: .none
            }
        guard isValid, target != .none else { return BootOverride(target: .none) }
        return BootOverride(target: target, persistent: first & 0x40 != 0, uefi: first & 0x20 != 0)
    }

    /// Of `-c sdr list`: `NAME,VALUE,UNIT,STATUS` a line.
    public static func sensors(_ text: String) -> [SensorReading] {
        lines(text).compactMap { line in
            let fields = line.split(separator: ",", omittingEmptySubsequences: false).map { $0.trimmed }
            guard fields.count >= 4, !fields[0].isEmpty else { return nil }
            // A discrete sensor has a state in hexadecimal, no reading.
            let value = fields[2].lowercased() == "discrete" ? nil : Double(fields[1]).flatMap { $0.isFinite ? $0 : nil }
            let health: HealthState =
                switch fields[3].lowercased() {
                case "ok": .ok
                case "nc", "lnc", "unc": .warning
                case "cr", "nr", "lcr", "ucr", "lnr", "unr": .critical
                default: .unknown
                }
            // "ns" has no reading: an empty slot. Discrete sensors have no number.
            guard value != nil || health > .ok else { return nil }
            let (kind, unit) = unit(fields[2])
            return SensorReading(name: fields[0], kind: kind, value: value, unit: unit, health: health)
        }
    }

    private static func unit(_ text: String) -> (SensorReading.Kind, String?) {
        switch text.lowercased() {
        case "degrees c": (.temperature, "Cel")
        case "rpm": (.fan, "RPM")
        case "volts": (.voltage, "V")
        case "watts": (.power, "W")
        case "amps": (.current, "A")
        case "percent", "%": (.other, "%")
        case "": (.other, nil)
        default: (.other, text)
        }
    }

    /// Of `-c sel elist`: `ID,DATE,TIME,SENSOR,EVENT,DIRECTION` a line, oldest first.
    public static func log(_ text: String) -> [HardwareLogEntry] {
        lines(text).compactMap { line in
            let fields = line.split(separator: ",", omittingEmptySubsequences: false).map { $0.trimmed }
            guard fields.count >= 4, UInt32(fields[0], radix: 16) != nil else { return nil }
            let message = fields[3...].filter { !$0.isEmpty }.joined(separator: ": ")
            let lowered = message.lowercased()
            let isGone = lowered.contains("deasserted")
            let isCritical = ["critical", "failure", "fault", "uncorrectable", "non-recoverable", "lost"].contains(where: lowered.contains)
            return HardwareLogEntry(
                id: fields[0], time: "\(fields[1]) \(fields[2])", severity: isCritical && !isGone ? .critical : .ok,
                message: RedfishAnswer.printable(message))
        }
    }

    /// `NAME : VALUE` lines, of `fru print`, `mc info`, `mc guid`. The first of a name wins.
    public static func fields(_ text: String) -> [String: String] {
        var fields: [String: String] = [:]
        for line in lines(text) {
            guard let colon = line.firstIndex(of: ":") else { continue }
            let name = line[..<colon].trimmed
            let value = line[line.index(after: colon)...].trimmed
            guard !name.isEmpty, !value.isEmpty, fields[name] == nil else { continue }
            fields[name] = value
        }
        return fields
    }

    public static func facts(fru: String, controller: String, guid: String) -> BMCFacts {
        let (fru, controller, guid) = (fields(fru), fields(controller), fields(guid))
        var facts = BMCFacts()
        facts.vendor = fru["Product Manufacturer"] ?? controller["Manufacturer Name"].flatMap { $0.hasPrefix("Unknown") ? nil : $0 }
        facts.model = fru["Product Name"] ?? fru["Board Product"]
        let serials = [fru["Product Serial"], fru["Board Serial"]].compactMap(\.self)
        // All machines of one chassis have its number: it is the last that is taken for one's own.
        facts.serial = serials.first { Filler.identifies(serial: $0) } ?? serials.first ?? fru["Chassis Serial"]
        let others = serials.filter { $0 != facts.serial }
        facts.otherSerials = others.isEmpty ? nil : others
        facts.firmware = controller["Firmware Revision"]
        facts.systemUUID = guid["System GUID"].map { $0.lowercased() }
        return facts
    }

    /// The number of the user with this name, of `-c user list`: `ID,NAME,…` a line.
    public static func userNumber(_ text: String, named name: String) -> Int? {
        for line in text.split(separator: "\n") {
            let fields = line.split(separator: ",", omittingEmptySubsequences: false).map { $0.trimmed }
            if fields.count >= 2, fields[1] == name, let number = Int(fields[0]) { return number }
        }
        return nil
    }

    /// What went wrong, of what it said on standard error.
    static func problem(_ result: HostTool.Result, _ what: String, _ address: String) -> Problem {
        let said = RedfishAnswer.printable((result.errors + " " + result.output).trimmed)
        let lowered = said.lowercased()
        if ["password", "unauthorized", "rakp 2", "rakp 4", "insufficient privilege", "hmac"].contains(where: lowered.contains) {
            return .bmcUnauthorised(address, said: said)
        }
        if lowered.contains("unable to establish") || lowered.contains("timeout") || lowered.contains("could not open socket")
            || lowered.contains("get session challenge")
        {
            return .bmc(
                "unreachable", "The BMC at \(address) gives no IPMI session", detail: said,
                remedy: "Is IPMI over LAN enabled on it, UDP 623 open, and user, password and cipher suite right? Wrong passwords look the same.")
        }
        return .bmc("refused", status: 422, "The BMC at \(address) refused", detail: "\(what): \(said)")
    }
}

extension StringProtocol {
    /// Without spaces at both ends.
    var trimmed: String {
        var rest = self[...]
        while rest.first?.isWhitespace == true { rest.removeFirst() }
        while rest.last?.isWhitespace == true { rest.removeLast() }
        return String(rest)
    }
}
