public import Model

/// What a BMC can change of its machine beside the power.
public protocol MachineSettings: Sendable {
    func firmwareSettings() async throws -> FirmwareSettings
    /// Stages settings for the next start.
    func stage(_ settings: [String: SettingValue]) async throws
    func secureBoot() async throws -> Bool
    func setSecureBoot(_ enabled: Bool) async throws
    func insertMedia(_ url: String) async throws
    func ejectMedia() async throws
    func updateFirmware(
        from url: String, targets: [String], deadline: Duration, progress: @Sendable (TaskProgress) -> Void) async throws
    func pushFirmware(
        _ file: [UInt8], name: String, targets: [String], deadline: Duration, progress: @Sendable (TaskProgress) -> Void) async throws
}

extension RedfishBMC: MachineSettings {
    public func firmwareSettings() async throws -> FirmwareSettings {
        let now = try await biosAttributes().compactMapValues(\.setting)
        let staged = try await stagedAttributes().compactMapValues(\.setting)
        return FirmwareSettings(attributes: now, staged: staged.filter { now[$0.key] != $0.value })
    }

    public func stage(_ settings: [String: SettingValue]) async throws {
        try await stageBIOS(settings.mapValues { JSON($0) })
    }

    /// What the settings resource holds; empty where there is none, or it cannot be read.
    private func stagedAttributes() async throws -> [String: JSON] {
        guard let path = try await system().bios,
            let settings = try await client.get(path).json["@Redfish.Settings"]?["SettingsObject"]?.link
        else { return [:] }
        do {
            return try await client.get(settings).json["Attributes"]?.members ?? [:]
        } catch let problem as Problem where problem.isOfOneResource {
            return [:]
        }
    }
}

extension JSON {
    /// Nil where it is no value of a setting.
    fileprivate var setting: SettingValue? {
        switch self {
        case .null: SettingValue.none
        case .bool(let flag): .flag(flag)
        case .number(let number): .number(number)
        case .string(let text): .text(RedfishAnswer.printable(String(text.prefix(1024))))
        case .array, .object: nil
        }
    }

    fileprivate init(_ setting: SettingValue) {
        switch setting {
        case .none: self = .null
        case .flag(let flag): self = .bool(flag)
        case .number(let number): self = .number(number)
        case .text(let text): self = .string(text)
        }
    }
}
