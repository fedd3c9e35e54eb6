internal import Wire

/// What a command comes to: data that begins with the completion code, and perhaps an order before it.
enum IPMIOutcome {
    case data([UInt8])
    case order(BMCOrder, then: [UInt8])
}

enum IPMICommands {
    /// IPMI 2.0 §22.30: longer ones cannot be used here, though Redfish takes them.
    static let passwordBytes = 20

    /// The number of the only channel, which is the LAN.
    static let channel: UInt8 = 1

    /// The channel by its number, or as the one that was asked by (§6.3).
    static func isOurs(channel: UInt8) -> Bool { [Self.channel, 0x0e].contains(channel & 0x0f) }

    /// §20.8: the machine's UUID as SMBIOS has it (2.6: the first three fields have their lowest byte first).
    static func guid(_ inventory: BMCInventory) -> [UInt8] {
        let bytes = Hex.decode(inventory.uuid.filter { $0 != "-" }) ?? []
        guard bytes.count == 16 else { return [UInt8](repeating: 0, count: 16) }
        return bytes[0..<4].reversed() + bytes[4..<6].reversed() + bytes[6..<8].reversed() + bytes[8...]
    }

    /// What the caller must be at least (appendix G).
    static func privilege(_ request: IPMIRequest) -> IPMIPrivilege {
        switch (request.function, request.command) {
        case (0x00, 0x02), (0x00, 0x08), (0x00, 0x09): .operator
        case (0x06, 0x44), (0x06, 0x46): .operator
        case (0x06, 0x47), (0x0c, 0x21): .administrator
        default: .user
        }
    }
}

extension IPMIService {
    mutating func command(_ request: IPMIRequest, _ moment: IPMIMoment, session index: Int) -> IPMIOutcome {
        guard sessions[index].privilege >= IPMICommands.privilege(request) else { return .data([IPMICode.privilegeInsufficient]) }
        switch (request.function, request.command) {
        case (0x00, 0x01): return .data(chassisStatus(moment))
        case (0x00, 0x02): return chassisControl(request, moment)
        case (0x00, 0x08): return boot.set(request, current: moment.redfish.bootOverride, moment.redfish)
        case (0x00, 0x09): return .data(boot.get(request, current: moment.redfish.bootOverride))
        case (0x06, 0x3b):
            // Set Session Privilege Level (§22.18); 0 asks what it is.
            guard let wanted = request.data.first else { return .data([IPMICode.requestTooShort]) }
            if wanted & 0x0f != 0 {
                guard let level = IPMIPrivilege(rawValue: wanted & 0x0f), level <= sessions[index].limit else { return .data([0x81]) }
                sessions[index].privilege = level
            }
            return .data([IPMICode.good, sessions[index].privilege.rawValue])
        case (0x06, 0x3c):
            // Close Session (§22.19): its own.
            guard request.data.count >= 4 else { return .data([IPMICode.requestTooShort]) }
            guard request.data.little32(at: 0) == sessions[index].id else { return .data([0x87]) }
            if serial.session == sessions[index].id { serial.deactivate() }
            sessions.remove(at: index)
            return .data([IPMICode.good])
        case (0x06, 0x48...0x4b), (0x06, 0x4d...0x4f): return .data(payloadCommand(request, moment, session: index))
        case (0x0c, 0x21): return .data([serial.configuration.set(request.data)])
        case (0x0c, 0x22):
            let redfish = moment.redfish
            return .data(serial.configuration.get(request.data, hasConsole: redfish.hasSerialPort, port: redfish.ipmiPort ?? Self.port))
        case (0x06, _): return .data(appCommand(request, moment, session: index))
        case (0x0a, 0x10), (0x0a, 0x11): return .data(fruCommand(request, moment))
        // An empty SDR repository (§33.9, §33.11, §33.12): who asks for FRUs looks there for more of them.
        case (0x0a, 0x20): return .data([IPMICode.good, 0x51] + [UInt8](repeating: 0, count: 12) + [0x02])
        case (0x0a, 0x22): return .data([IPMICode.good, 0x01, 0x00])
        case (0x0a, 0x23): return .data([IPMICode.notPresent])
        default: return .data([IPMICode.invalidCommand])
        }
    }

    // MARK: Chassis

    /// §28.2.
    private func chassisStatus(_ moment: IPMIMoment) -> [UInt8] { [IPMICode.good, moment.power == .on ? 0x01 : 0x00, 0x00, 0x00] }

    /// §28.3.
    private func chassisControl(_ request: IPMIRequest, _ moment: IPMIMoment) -> IPMIOutcome {
        guard let verb = request.data.first else { return .data([IPMICode.requestTooShort]) }
        let isOn = moment.power == .on
        let type: ResetType? =
            switch verb & 0x0f {
            case 0: .forceOff
            case 1: .on
            case 2: isOn ? .powerCycle : nil
            case 3: isOn ? .forceRestart : nil
            case 4: isOn ? .nmi : nil
            case 5: isOn ? .gracefulShutdown : nil
            default: nil
            }
        guard verb & 0x0f <= 5 else { return .data([IPMICode.invalidField]) }
        guard let type else { return .data([IPMICode.notInThisState]) }
        return .order(.power(type), then: [IPMICode.good])
    }

    // MARK: Application

    /// - Parameter session: nil before one.
    func appCommand(_ request: IPMIRequest, _ moment: IPMIMoment, session: Int?) -> [UInt8] {
        switch request.command {
        // Get Device ID (§20.1): a BMC with chassis device, FRU and SDR repository, IPMI 2.0, no manufacturer's number.
        case 0x01: return [IPMICode.good, 0x20, 0x01, 0x01, 0x00, 0x02, 0x8a] + [UInt8](repeating: 0, count: 9)
        // Get Device GUID, Get System GUID.
        case 0x08, 0x37: return [IPMICode.good] + IPMICommands.guid(moment.redfish.inventory)
        // Get Channel Authentication Capabilities (§22.13): only IPMI 2.0's own, and named users.
        case 0x38: return [IPMICode.good, 0x01, 0x80, 0x04, 0x02, 0, 0, 0, 0]
        // Get Channel Info (§22.24): LAN, IPMB's form, sessions.
        case 0x42: return [IPMICode.good, 0x01, 0x04, 0x01, 0x80, 0xf2, 0x1b, 0x00, 0, 0]
        case 0x44, 0x46: return userCommand(request, moment)
        // Get Channel Cipher Suites (§22.15): all fit into the first part.
        case 0x54:
            guard request.data.count >= 3 else { return [IPMICode.requestTooShort] }
            return [IPMICode.good, 0x01] + (request.data[2] & 0x3f == 0 ? CipherSuite.allCases.flatMap(\.record) : [])
        default: return [IPMICode.invalidCommand]
        }
    }

    /// Get User Access (§22.27) and Get User Name (§22.29). Number 1 is the nameless user, who may not log in.
    private func userCommand(_ request: IPMIRequest, _ moment: IPMIMoment) -> [UInt8] {
        guard let last = request.data.last else { return [IPMICode.requestTooShort] }
        let accounts = moment.redfish.accounts
        let number = Int(last & 0x3f)
        guard (1...RedfishService.accountLimit + 1).contains(number) else { return [IPMICode.parameterOutOfRange] }
        let account = number >= 2 && number - 2 < accounts.count ? accounts[number - 2] : nil
        if request.command == 0x46 {
            let name = account.map { Array($0.userName.utf8.prefix(16)) } ?? []
            guard account != nil || number == 1 else { return [IPMICode.notPresent] }
            return [IPMICode.good] + name + [UInt8](repeating: 0, count: 16 - name.count)
        }
        let enabled = UInt8(accounts.count { $0.isEnabled })
        let access = account.map { $0.isEnabled ? 0x30 | IPMIPrivilege($0.role).rawValue : 0x0f } ?? 0x0f
        return [IPMICode.good, UInt8(RedfishService.accountLimit + 1), 0x40 | enabled, 0x01, access]
    }

    // MARK: FRU

    /// Get FRU Inventory Area Info (§34.1) and Read FRU Data (§34.2), of the one device 0.
    private func fruCommand(_ request: IPMIRequest, _ moment: IPMIMoment) -> [UInt8] {
        guard request.data.first == 0 else { return [IPMICode.notPresent] }
        let area = FRUArea.bytes(moment.redfish.inventory)
        if request.command == 0x10 { return [IPMICode.good] + UInt16(area.count).littleBytes + [0x00] }
        guard request.data.count >= 4 else { return [IPMICode.requestTooShort] }
        let start = Int(request.data[1]) | Int(request.data[2]) << 8
        guard start < area.count else { return [IPMICode.parameterOutOfRange] }
        let part = area[start..<min(area.count, start + min(32, Int(request.data[3])))]
        return [IPMICode.good, UInt8(part.count)] + part
    }
}

/// The machine's FRU (Platform Management FRU Information Storage Definition 1.0): its product area alone.
enum FRUArea {
    static func bytes(_ inventory: BMCInventory) -> [UInt8] {
        // Format 1; the product area begins after these 8 bytes (§8).
        let head: [UInt8] = [0x01, 0, 0, 0, 0x01, 0, 0]
        // §12: format, length in eights, language English.
        var area: [UInt8] = [0x01, 0x00, 0x19]
        let fields = [inventory.manufacturer, inventory.model, inventory.sku, "", inventory.serial, inventory.assetTag]
        for text in fields {
            let bytes = Array(text.utf8.prefix(63))
            // 8-bit text; a length of 1 would mean the end of the fields.
            area += [0xc0 | UInt8(bytes.count == 1 ? 2 : bytes.count)] + bytes + (bytes.count == 1 ? [0x20] : [])
        }
        area.append(0xc1)
        while (area.count + 1) % 8 != 0 { area.append(0) }
        area[1] = UInt8((area.count + 1) / 8)
        return head + [0 &- head.reduce(0, &+)] + area + [0 &- area.reduce(0, &+)]
    }
}
