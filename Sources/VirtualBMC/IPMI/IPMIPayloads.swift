/// The commands around payloads (IPMI 2.0 §24). The only payload beside IPMI messages is serial over LAN, in one instance.
extension IPMIService {
    /// §13.1.2: RMCP's primary port.
    static let port: UInt16 = 623
    private static let serialOverLAN = IPMIDatagram.Payload.serialOverLAN.rawValue

    /// Completion codes (§24.1, §24.2, §24.9).
    private enum PayloadCode {
        /// Activate Payload: another session has it.
        static let alreadyActive: UInt8 = 0x80
        static let disabled: UInt8 = 0x81
        static let needsEncryption: UInt8 = 0x84
        /// Deactivate Payload.
        static let alreadyInactive: UInt8 = 0x80
        /// Get Channel Payload Version.
        static let unavailable: UInt8 = 0x80
    }

    mutating func payloadCommand(_ request: IPMIRequest, _ moment: IPMIMoment, session index: Int) -> [UInt8] {
        let data = request.data
        switch request.command {
        case 0x48: return activate(data, moment, index)
        case 0x49: return deactivate(data, index)
        case 0x4a: return activationStatus(data)
        case 0x4b: return instance(data)
        case 0x4d: return access(data, moment)
        case 0x4e: return support(data)
        default: return version(data)
        }
    }

    /// Nil: it is our payload's only instance.
    private func refusal(_ data: [UInt8], count: Int) -> [UInt8]? {
        guard data.count >= count else { return [IPMICode.requestTooShort] }
        guard data[0] & 0x3f == Self.serialOverLAN, data[1] & 0x0f == 1 else { return [IPMICode.invalidField] }
        return nil
    }

    /// Activate Payload (§24.1).
    private mutating func activate(_ data: [UInt8], _ moment: IPMIMoment, _ index: Int) -> [UInt8] {
        if let refusal = refusal(data, count: 6) { return refusal }
        guard sessions[index].privilege >= serial.configuration.privilege else { return [IPMICode.privilegeInsufficient] }
        guard moment.redfish.hasSerialPort, serial.configuration.isEnabled else { return [PayloadCode.disabled] }
        // Encryption and authentication.
        guard data[2] & 0xc0 == 0xc0 else { return [PayloadCode.needsEncryption] }
        let id = sessions[index].id
        guard serial.session == nil || serial.session == id else { return [PayloadCode.alreadyActive] }
        serial.activate(id, isOn: moment.power == .on)
        let size = UInt16(SerialOverLAN.characterLimit + SOLPacket.headerBytes).littleBytes
        // Auxiliary data, the sizes to and from the BMC, the port, and no VLAN.
        return [IPMICode.good, 0, 0, 0, 0] + size + size + (moment.redfish.ipmiPort ?? Self.port).littleBytes + [0xff, 0xff]
    }

    /// Deactivate Payload (§24.2): of any session that may activate it.
    private mutating func deactivate(_ data: [UInt8], _ index: Int) -> [UInt8] {
        if let refusal = refusal(data, count: 2) { return refusal }
        guard sessions[index].privilege >= serial.configuration.privilege else { return [IPMICode.privilegeInsufficient] }
        guard let holder = serial.session else { return [PayloadCode.alreadyInactive] }
        if holder != sessions[index].id { deposed.append(holder) }
        serial.deactivate()
        return [IPMICode.good]
    }

    /// Get Payload Activation Status (§24.4): how many there may be, and which there are.
    private func activationStatus(_ data: [UInt8]) -> [UInt8] {
        guard let type = data.first else { return [IPMICode.requestTooShort] }
        guard type & 0x3f == Self.serialOverLAN else { return [IPMICode.invalidField] }
        return [IPMICode.good, 0x01, serial.session == nil ? 0x00 : 0x01, 0x00]
    }

    /// Get Payload Instance Info (§24.5): whose it is, and the number of the serial port.
    private func instance(_ data: [UInt8]) -> [UInt8] {
        if let refusal = refusal(data, count: 2) { return refusal }
        return [IPMICode.good] + (serial.session ?? 0).littleBytes + [0x01] + [UInt8](repeating: 0, count: 7)
    }

    /// Get User Payload Access (§24.7): those may who have the privilege.
    private func access(_ data: [UInt8], _ moment: IPMIMoment) -> [UInt8] {
        guard data.count >= 2 else { return [IPMICode.requestTooShort] }
        let number = Int(data[1] & 0x3f)
        guard IPMICommands.isOurs(channel: data[0]), (1...RedfishService.accountLimit + 1).contains(number) else {
            return [IPMICode.parameterOutOfRange]
        }
        let accounts = moment.redfish.accounts
        let account = number >= 2 && number - 2 < accounts.count ? accounts[number - 2] : nil
        let may = account.map { $0.isEnabled && IPMIPrivilege($0.role) >= serial.configuration.privilege } ?? false
        return [IPMICode.good, may ? 0x02 : 0x00, 0, 0, 0]
    }

    /// Get Channel Payload Support (§24.8): bit by bit, the standard payloads, those of the handshake, and none of others.
    private func support(_ data: [UInt8]) -> [UInt8] {
        guard let channel = data.first else { return [IPMICode.requestTooShort] }
        guard IPMICommands.isOurs(channel: channel) else { return [IPMICode.parameterOutOfRange] }
        return [IPMICode.good, 0x03, 0x00, 0x3f, 0x00, 0, 0, 0, 0]
    }

    /// Get Channel Payload Version (§24.9): 1.0, all of them.
    private func version(_ data: [UInt8]) -> [UInt8] {
        guard data.count >= 2 else { return [IPMICode.requestTooShort] }
        guard IPMICommands.isOurs(channel: data[0]), IPMIDatagram.Payload(rawValue: data[1] & 0x3f) != nil else {
            return [PayloadCode.unavailable]
        }
        return [IPMICode.good, 0x10]
    }
}
