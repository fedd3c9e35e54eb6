public import Model

/// A boot override as Redfish has it (DSP0268 ComputerSystem `Boot`), both ways.
public enum BootOverridePlan {
    static func redfishTarget(_ target: BootTarget) -> String {
        switch target {
        case .none: "None"
        case .pxe: "Pxe"
        case .disk: "Hdd"
        case .cd: "Cd"
        case .bios: "BiosSetup"
        case .http: "UefiHttp"
        }
    }

    /// The body of the PATCH; throws where this BMC says that it cannot.
    public static func body(for wanted: BootOverride, on boot: ComputerSystem.Boot, quirks: Quirks) throws(Problem) -> JSON {
        var name = redfishTarget(wanted.target)
        if let allowed = boot.allowedTargets, !allowed.isEmpty, wanted.target != .none {
            guard let offered = allowed.first(where: { $0.lowercased() == name.lowercased() }) else {
                throw .bmcUnsupported("boot from \(wanted.target.rawValue)", "it offers: \(allowed.joined(separator: ", "))")
            }
            name = offered
        }
        var members: [String: JSON] = [:]
        if wanted.target == .none {
            members["BootSourceOverrideEnabled"] = "Disabled"
            if !quirks.has(.disabledOverrideKeepsTarget) { members["BootSourceOverrideTarget"] = "None" }
        } else {
            members["BootSourceOverrideTarget"] = .string(name)
            members["BootSourceOverrideEnabled"] = wanted.persistent ? "Continuous" : "Once"
        }
        if let mode = mode(wanted, boot, quirks) { members["BootSourceOverrideMode"] = .string(mode) }
        if let uri = wanted.uri, wanted.target == .http { members["HttpBootUri"] = .string(uri) }
        return ["Boot": .object(members)]
    }

    private static func mode(_ wanted: BootOverride, _ boot: ComputerSystem.Boot, _ quirks: Quirks) -> String? {
        guard !quirks.has(.modeReadOnly) else { return nil }
        // UEFI HTTP boot is UEFI's; a machine in legacy mode would not do it.
        let isUEFI = wanted.uefi ?? (wanted.target == .http && boot.mode != nil ? true : nil)
        if let isUEFI { return isUEFI ? "UEFI" : "Legacy" }
        // Left out, such a BMC falls back to Legacy; where it has no such member, it refuses it.
        return quirks.has(.modeMustBeRepeated) ? boot.mode : nil
    }

    /// What the BMC has now.
    public static func reading(_ boot: ComputerSystem.Boot) -> BootOverride {
        guard let enabled = boot.enabled, enabled.lowercased() != "disabled" else { return BootOverride(target: .none) }
        let target = BootTarget.allCases.first { redfishTarget($0).lowercased() == boot.target?.lowercased() } ?? .none
        return BootOverride(
            target: target, persistent: enabled.lowercased() == "continuous", uri: target == .http ? boot.httpURI : nil,
            uefi: boot.mode.map { $0.lowercased() == "uefi" })
    }

    /// Whether what was read back is what was wanted.
    public static func isFulfilled(_ wanted: BootOverride, by read: BootOverride, quirks: Quirks = .none) -> Bool {
        let isAlwaysThere = quirks.has(.overrideAlwaysContinuous) || quirks.has(.bootFlagsLost)
        guard wanted.target != .none else { return read.target == .none || isAlwaysThere }
        let readsOther = wanted.target == .http && quirks.has(.httpBootReadsDifferently)
        guard read.target == wanted.target || readsOther && [.cd, .pxe].contains(read.target) else { return false }
        return (read.persistent == wanted.persistent || isAlwaysThere)
            && (wanted.uri == nil || wanted.target != .http || read.uri == wanted.uri || readsOther)
    }
}
