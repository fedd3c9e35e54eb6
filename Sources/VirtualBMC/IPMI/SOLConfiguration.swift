/// The parameters of serial over LAN (IPMI 2.0 table 26-5).
struct SOLConfiguration {
    /// Of the specification's table.
    private static let revision: UInt8 = 0x11
    /// 115.2 kbit/s (table 26-5, parameter 5).
    private static let fastest: UInt8 = 10

    /// Completion codes of Set SOL Configuration Parameters (§26.2).
    enum Refusal {
        static let unsupported: UInt8 = 0x80
        static let inProgress: UInt8 = 0x81
        static let readOnly: UInt8 = 0x82
    }

    private(set) var isEnabled = true
    /// What a console must be at least: who types at a machine's console owns it.
    private(set) var privilege = IPMIPrivilege.operator
    private var isInProgress = false
    /// In 5 ms: how long characters are gathered before they are sent though they are few.
    private var accumulate: UInt8 = 8
    /// In characters: so many are sent at once.
    private var threshold: UInt8 = 96
    private var retryCount: UInt8 = 7
    /// In 10 ms.
    private var retryInterval: UInt8 = 25
    private var lastingRate = Self.fastest
    private var passingRate = Self.fastest

    var gathersFor: Duration { .milliseconds(5 * Int(accumulate)) }
    var sendsFrom: Int { Int(threshold) }
    /// After the first time.
    var retries: Int { Int(retryCount) }
    var retriesAfter: Duration { .milliseconds(10 * Int(retryInterval)) }

    /// Get SOL Configuration Parameters (§26.3).
    ///
    /// - Parameter port: UDP.
    func get(_ data: [UInt8], hasConsole: Bool, port: UInt16) -> [UInt8] {
        guard data.count >= 2 else { return [IPMICode.requestTooShort] }
        guard Self.isOurs(channel: data[0]) else { return [IPMICode.parameterOutOfRange] }
        let value: [UInt8]? =
            switch data[1] {
            case 0: [isInProgress ? 1 : 0]
            case 1: [isEnabled && hasConsole ? 1 : 0]
            // Encryption and authentication are forced, always.
            case 2: [0xc0 | privilege.rawValue]
            case 3: [accumulate, threshold]
            case 4: [retryCount, retryInterval]
            case 5: [lastingRate]
            case 6: [passingRate]
            case 7: [IPMICommands.channel]
            case 8: port.littleBytes
            default: nil
            }
        guard let value else { return [Refusal.unsupported] }
        // The highest bit asks for the revision alone.
        return [IPMICode.good, Self.revision] + (data[0] & 0x80 != 0 ? [] : value)
    }

    /// Set SOL Configuration Parameters (§26.2): the completion code.
    mutating func set(_ data: [UInt8]) -> UInt8 {
        guard data.count >= 3 else { return IPMICode.requestTooShort }
        guard Self.isOurs(channel: data[0]) else { return IPMICode.parameterOutOfRange }
        let (first, second) = (data[2], data.count > 3 ? data[3] : nil)
        switch data[1] {
        case 0:
            guard first & 0x03 != 1 || !isInProgress else { return Refusal.inProgress }
            isInProgress = first & 0x03 == 1
        case 1: isEnabled = first & 0x01 != 0
        case 2:
            guard first & 0xc0 == 0xc0, let level = IPMIPrivilege(rawValue: first & 0x0f), level >= .user else {
                return IPMICode.invalidField
            }
            privilege = level
        case 3:
            guard let second else { return IPMICode.requestTooShort }
            guard first > 0, second > 0 else { return IPMICode.invalidField }
            (accumulate, threshold) = (first, second)
        case 4:
            guard let second else { return IPMICode.requestTooShort }
            // Without a pause between them, retries would fill the network.
            guard second > 0 else { return IPMICode.invalidField }
            (retryCount, retryInterval) = (first & 0x07, second)
        case 5, 6:
            guard [0, 6, 7, 8, 9, 10].contains(first & 0x0f) else { return IPMICode.invalidField }
            if data[1] == 5 { lastingRate = first & 0x0f } else { passingRate = first & 0x0f }
        case 7, 8: return Refusal.readOnly
        default: return Refusal.unsupported
        }
        return IPMICode.good
    }

    private static func isOurs(channel: UInt8) -> Bool { IPMICommands.isOurs(channel: channel) }
}
