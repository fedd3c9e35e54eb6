internal import Model

extension RedfishService {
    /// PATCH (DSP0266 §7.6): a wrong value changes nothing; a property that
    /// cannot be changed is told of, and the others are changed all the same.
    mutating func patch(
        _ segments: [String], _ document: Document, _ request: RedfishRequest, _ caller: Caller,
        at moment: RedfishMoment
    ) -> RedfishAnswer {
        guard caller.allows(Self.privilege(toChange: segments)) || isOwn(segments, caller) else { return forbidden }
        guard let body = JSON(parsing: request.body) else { return .response(.error(400, .malformedJSON)) }
        guard let members = body.members else { return .response(.error(400, .unrecognizedBody)) }
        let asked = members.filter { !$0.name.hasPrefix("@") && !$0.name.contains("@odata.") }
        guard !asked.isEmpty else { return .response(.error(400, .noOperation)) }

        var changed = self
        var order: BMCOrder?
        var refused: [(name: String, message: BaseMessage)] = []
        var wrong: [BaseMessage] = []
        let writable = Self.writable(segments)
        for member in asked {
            if !writable.contains(member.name) {
                let isKnown = document.json[member.name] != nil
                refused.append(
                    (member.name, isKnown ? .propertyNotWritable(member.name) : .propertyUnknown(member.name)))
                continue
            }
            switch changed.set(member, segments, caller, at: moment) {
            case .changed: break
            case .order(let new): order = new
            case .wrong(let messages): wrong += messages
            case .forbidden: return forbidden
            }
        }
        guard wrong.isEmpty else { return .response(.error(400, wrong)) }
        guard refused.count < asked.count else { return .response(.error(400, refused.map(\.message))) }
        self = changed
        if let order { return .perform(order, then: .resource(segments)) }
        guard let after = self.document(segments, at: moment) else { return .response(.noContent) }
        return .response(Self.representation(after, telling: refused.map(\.message)))
    }

    enum Change {
        case changed
        case order(BMCOrder)
        case wrong([BaseMessage])
        case forbidden
    }

    private static func writable(_ segments: [String]) -> Set<String> {
        switch (segments.first, segments.count) {
        case ("Systems", 2): ["AssetTag", "IndicatorLED", "Boot"]
        case ("Systems", _) where segments.last == "Settings": ["Attributes"]
        case ("Systems", _) where segments.last == "SecureBoot": ["SecureBootEnable"]
        case ("Chassis", 2): ["AssetTag", "IndicatorLED"]
        case ("AccountService", 3): ["UserName", "Password", "RoleId", "Enabled"]
        case ("SessionService", 1): ["SessionTimeout"]
        default: []
        }
    }

    static func privilege(toChange segments: [String]) -> Privilege {
        switch segments.first {
        case "Systems", "Chassis": .configureComponents
        case "AccountService": .configureUsers
        default: .configureManager
        }
    }

    /// Whether it is the caller's own account.
    private func isOwn(_ segments: [String], _ caller: Caller) -> Bool {
        segments.count == 3 && segments[0] == "AccountService" && segments[2] == caller.account.id
    }

    private mutating func set(
        _ member: JSON.Member, _ segments: [String], _ caller: Caller, at moment: RedfishMoment
    ) -> Change {
        let value = member.value
        switch member.name {
        case "AssetTag":
            guard let text = value.text, text.utf8.count <= 64 else { return .wrong([.valueType(value, "AssetTag")]) }
            assetTag = text
        case "IndicatorLED":
            guard let text = value.text else { return .wrong([.valueType(value, "IndicatorLED")]) }
            guard ["Off", "Lit", "Blinking"].contains(text) else { return .wrong([.notInList(value, "IndicatorLED")]) }
            indicator = text
        case "Boot": return setBoot(value)
        case "Attributes":
            guard let members = value.members else { return .wrong([.valueType(value, "Attributes")]) }
            let problems = members.compactMap { BiosAttributes.problem($0.name, $0.value) }
            guard problems.isEmpty else { return .wrong(problems) }
            for member in members {
                pendingBios[member.name] = bios[member.name] == member.value ? nil : member.value
            }
        case "SecureBootEnable":
            guard let flag = value.flag else { return .wrong([.valueType(value, "SecureBootEnable")]) }
            pendingSecureBoot = flag == isSecureBootEnabled ? nil : flag
        case "SessionTimeout":
            // DSP0268: 30 to 86,400 seconds.
            guard let seconds = value.whole else { return .wrong([.valueType(value, "SessionTimeout")]) }
            guard (30...86_400).contains(seconds) else { return .wrong([.notInList(value, "SessionTimeout")]) }
            sessionTimeoutSeconds = seconds
        default: return setAccount(segments[2], member, caller)
        }
        return .changed
    }

    // MARK: Boot

    private mutating func setBoot(_ value: JSON) -> Change {
        guard let members = value.members else { return .wrong([.valueType(value, "Boot")]) }
        var target = bootOverride?.target.rawValue ?? "None"
        var enabled = bootOverride.map { $0.isOnce ? "Once" : "Continuous" } ?? "Disabled"
        var mode = bootOverride?.mode ?? (inventory.firmware == .uefi ? .uefi : .legacy)
        var uri = httpBootURI
        var wrong: [BaseMessage] = []
        for member in members {
            let name = "Boot/\(member.name)"
            switch (member.name, member.value) {
            case ("BootSourceOverrideTarget", .string(let text)):
                if !bootTargets.contains(text) { wrong.append(.notInList(member.value, name)) }
                target = text
                // A target without a word on how long is for once: so do the BMCs of the field.
                if text != "None", enabled == "Disabled" { enabled = "Once" }
            case ("BootSourceOverrideEnabled", .string(let text)):
                if !["Once", "Continuous", "Disabled"].contains(text) { wrong.append(.notInList(member.value, name)) }
                enabled = text
            case ("BootSourceOverrideMode", .string(let text)):
                guard let known = BootOverride.Mode(rawValue: text), bootModes.contains(known) else {
                    wrong.append(.notInList(member.value, name))
                    continue
                }
                mode = known
            case ("HttpBootUri", .string(let text)):
                let isURI = ["http://", "https://"].contains { text.lowercased().hasPrefix($0) }
                if !isURI, !text.isEmpty { wrong.append(.valueFormat(member.value, name)) }
                uri = text.isEmpty ? nil : text
            case ("HttpBootUri", .null): uri = nil
            case ("BootSourceOverrideTarget", _), ("BootSourceOverrideEnabled", _), ("BootSourceOverrideMode", _),
                ("HttpBootUri", _):
                wrong.append(.valueType(member.value, name))
            default: if !member.name.contains("@") { wrong.append(.propertyUnknown(name)) }
            }
        }
        // The order of members is the reader's: “Disabled” said anywhere means it.
        if case .string("Disabled")? = value["BootSourceOverrideEnabled"] { enabled = "Disabled" }
        guard wrong.isEmpty else { return .wrong(wrong) }
        httpBootURI = uri
        guard enabled != "Disabled", let known = BootOverride.Target(rawValue: target) else { return .order(.boot(nil)) }
        return .order(
            .boot(
                BootOverride(
                    target: known, mode: mode, isOnce: enabled == "Once", httpURI: known == .uefiHTTP ? uri : nil)))
    }

    /// What BootSourceOverrideTarget may be here.
    var bootTargets: [String] {
        ["None"]
            + BootOverride.Target.allCases.filter { inventory.firmware == .uefi || $0 != .uefiHTTP }.map(\.rawValue)
    }

    var bootModes: [BootOverride.Mode] { inventory.firmware == .uefi ? [.uefi] : [.legacy] }

    // MARK: Accounts

    private mutating func setAccount(_ id: String, _ member: JSON.Member, _ caller: Caller) -> Change {
        guard let index = accounts.firstIndex(where: { $0.id == id }) else { return .changed }
        if member.name != "Password", !caller.allows(.configureUsers) { return .forbidden }
        switch (member.name, member.value) {
        case ("UserName", .string(let name)):
            guard Self.isUserName(name) else { return .wrong([.valueFormat(member.value, "UserName")]) }
            guard !accounts.contains(where: { $0.userName == name && $0.id != id }) else {
                return .wrong([.alreadyExists("ManagerAccount", "UserName", name)])
            }
            accounts[index].userName = name
        case ("Password", .string(let password)):
            guard Self.passwordLengths.contains(password.utf8.count) else {
                return .wrong([.valueFormat("******", "Password")])
            }
            accounts[index].password = password
            accounts[index].revision += 1
        case ("RoleId", .string(let text)):
            guard let role = BMCAccount.Role(rawValue: text) else { return .wrong([.notInList(member.value, "RoleId")]) }
            accounts[index].role = role
        case ("Enabled", .bool(let flag)): accounts[index].isEnabled = flag
        default: return .wrong([.valueType(member.value, member.name)])
        }
        return .changed
    }

    static func isUserName(_ name: String) -> Bool {
        (1...32).contains(name.utf8.count) && name.utf8.allSatisfy { (0x21...0x7e).contains($0) && $0 != 0x3a }
    }
}
