public import Control
public import Model
public import Wire

/// What the API asks of the BMCs. Every failure that a client can do something about is thrown as a `Problem`.
public protocol BMCControl: Sendable {
    func all() async throws -> [BMC]
    /// By id, address, or the machine's id or name.
    func bmc(named name: String) async throws -> Versioned<BMC>
    func add(_ request: BMCRequest, by actor: String) async throws -> BMC
    func scan(_ network: IPv4Prefix, by actor: String) async throws -> [FoundBMC]
    func verify(_ name: String, by actor: String) async throws -> BMC
    /// Says in which machine a BMC is; nil: in the only one that is proposed.
    func bind(_ name: String, to machine: String?, by actor: String) async throws -> BMC
    func unbind(_ name: String, by actor: String) async throws -> BMC
    func remove(_ name: String, by actor: String) async throws
    func trust(_ name: String, fingerprint: String?, by actor: String) async throws -> BMC
    func rotatePassword(_ name: String, by actor: String) async throws -> BMC
    /// - Parameter beyondLimits: an admin's word that it may be beyond the limits for the whole rack.
    func power(_ action: PowerAction, machine: String, by actor: String, beyondLimits: Bool) async throws -> PowerProof
    func powerStatus(machine: String) async throws -> ObservedPower
    func setBoot(_ wanted: BootOverride, machine: String, by actor: String) async throws -> BootOverride
    func bootOverride(machine: String) async throws -> BootOverride
    func health(machine: String) async throws -> MachineHealth
    /// What was read of its sensors lately; asks nobody.
    func sensors(machine: String) async throws -> SensorHistories
    /// Of all BMCs, as this server knows them.
    func vitals() -> [BMCVitals]
    func firmwareSettings(machine: String) async throws -> FirmwareSettings
    func stage(_ settings: [String: SettingValue], machine: String, by actor: String) async throws -> FirmwareSettings
    func secureBoot(machine: String) async throws -> SecureBootSetting
    func setSecureBoot(_ setting: SecureBootSetting, machine: String, by actor: String) async throws -> SecureBootSetting
    /// Nil empties the drive.
    func setMedia(_ url: String?, machine: String, by actor: String) async throws
    func updateFirmware(from url: String, targets: [String], machine: String, by actor: String) async throws -> FirmwareUpdate
    func pushFirmware(_ file: [UInt8], named fileName: String, targets: [String], machine: String, by actor: String) async throws -> FirmwareUpdate
    func firmwareUpdate(machine: String) async throws -> FirmwareUpdate
    func hardwareLog(machine: String, limit: Int) async throws -> [HardwareLogEntry]
    func clearHardwareLog(machine: String, by actor: String) async throws
}
