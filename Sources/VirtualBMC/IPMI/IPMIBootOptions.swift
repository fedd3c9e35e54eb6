/// System boot options (IPMI 2.0 §28.12 to §28.14): the boot flags are the BMC's one boot override, as Redfish shows it.
struct IPMIBootOptions {
    /// Parameter 0: somebody is in the middle of setting them.
    private var progress: UInt8 = 0
    /// Parameter 3: what does not clear the valid bit.
    private var clearing: UInt8 = 0
    /// Parameter 4.
    private var acknowledge: [UInt8] = [0, 0]

    mutating func set(_ request: IPMIRequest, current: BootOverride?, _ redfish: RedfishService) -> IPMIOutcome {
        guard let selector = request.data.first else { return .data([IPMICode.requestTooShort]) }
        let data = Array(request.data.dropFirst())
        switch selector & 0x7f {
        case 0: progress = (data.first ?? 0) & 0x03
        case 3: clearing = data.first ?? 0
        case 4: acknowledge = Array((data + [0, 0]).prefix(2))
        case 5:
            guard data.count >= 5 else { return .data([IPMICode.requestTooShort]) }
            return setFlags(data, redfish)
        default: return .data([IPMICode.parameterUnsupported])
        }
        return .data([IPMICode.good])
    }

    private func setFlags(_ data: [UInt8], _ redfish: RedfishService) -> IPMIOutcome {
        guard data[0] & 0x80 != 0, let device = Device(rawValue: data[1] >> 2 & 0x0f), device != .none else {
            return .order(.boot(nil), then: [IPMICode.good])
        }
        let mode: BootOverride.Mode = data[0] & 0x20 != 0 ? .uefi : .legacy
        // The lab's firmware is one or the other; a real one may be both.
        guard redfish.bootModes.contains(mode), let target = device.target else { return .data([IPMICode.invalidField]) }
        return .order(.boot(BootOverride(target: target, mode: mode, isOnce: data[0] & 0x40 == 0)), then: [IPMICode.good])
    }

    func get(_ request: IPMIRequest, current: BootOverride?) -> [UInt8] {
        guard let selector = request.data.first else { return [IPMICode.requestTooShort] }
        let head: [UInt8] = [IPMICode.good, 0x01, selector & 0x7f]
        switch selector & 0x7f {
        case 0: return head + [progress]
        case 3: return head + [clearing]
        case 4: return head + acknowledge
        case 5: return head + Self.flags(current)
        default: return [IPMICode.parameterUnsupported]
        }
    }

    /// Parameter 5 (table 28-14).
    private static func flags(_ override: BootOverride?) -> [UInt8] {
        guard let override else { return [0, 0, 0, 0, 0] }
        let first: UInt8 = 0x80 | (override.isOnce ? 0 : 0x40) | (override.mode == .uefi ? 0x20 : 0)
        return [first, Device(override.target).rawValue << 2, 0, 0, 0]
    }

    /// The boot device selector.
    private enum Device: UInt8 {
        case none = 0, pxe = 1, disk = 2, safeDisk = 3, diagnostics = 4, cd = 5, setup = 6, remoteFloppy = 7, remoteCD = 8
        case remoteMedia = 9, remoteDisk = 11, floppy = 15

        init(_ target: BootOverride.Target) {
            self =
                switch target {
                // IPMI has no word for a boot by HTTP; it comes from the network as well.
                case .pxe, .uefiHTTP: .pxe
                case .cd: .cd
                case .hdd: .disk
                }
        }

        /// Nil: this machine has no such thing.
        var target: BootOverride.Target? {
            switch self {
            case .pxe: .pxe
            case .disk, .safeDisk, .remoteDisk: .hdd
            case .cd, .remoteCD: .cd
            default: nil
            }
        }
    }
}
