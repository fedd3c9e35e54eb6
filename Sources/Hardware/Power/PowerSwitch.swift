public import Model

/// What can be asked of whatever switches a machine's power. An answer is what the
/// thing said, never a proof: ``PowerPursuit`` reads back.
public protocol PowerSwitch: Sendable {
    /// How the operator knows it.
    var address: String { get }
    func readPower() async throws -> PowerReading
    func request(_ request: PowerRequest) async throws
    /// Who it is and in which machine.
    func facts() async throws -> BMCFacts
    func setBoot(_ wanted: BootOverride) async throws
    func bootOverride() async throws -> BootOverride
    /// How to have it start from the network once: by UEFI HTTP from `uri` where this BMC and its firmware can, else by PXE.
    ///
    /// - Parameter uefi: what its firmware is known to be; nil: what the BMC says.
    func networkBoot(uri: String?, uefi: Bool?) async throws -> BootOverride
    func health() async throws -> (health: HealthState, readings: [SensorReading])
    func log(limit: Int) async throws -> [HardwareLogEntry]
    func clearLog() async throws
    /// Gives the account another password, and goes on with it.
    func setPassword(_ password: String) async throws
    /// Logs in with what it has.
    func verify() async throws
    /// How it is known to behave when its power is switched.
    var manners: PowerManners { get }
    /// What certificate it showed, where it has one.
    var fingerprint: String? { get }
    func close() async
}

/// What is peculiar in how a power switch does what it is asked to.
public struct PowerManners: Sendable, Equatable {
    /// What it reads lags behind the machine: a request is not repeated before this.
    public var lag: Duration?
    /// Between off and on.
    public var rest: Duration?
    /// Why a shutdown may come to nothing, in words for the operator.
    public var shutdownCaveat: String?

    public init(lag: Duration? = nil, rest: Duration? = nil, shutdownCaveat: String? = nil) {
        self.lag = lag
        self.rest = rest
        self.shutdownCaveat = shutdownCaveat
    }

    public static let usual = PowerManners()

    public init(_ quirks: Quirks) {
        self.init(
            lag: quirks.has(.powerStateLags) ? .seconds(60) : nil, rest: quirks.has(.onNeedsPause) ? .seconds(10) : nil,
            shutdownCaveat: quirks.has(.gracefulNeedsSystem)
                ? "BMCs of this kind accept a shutdown and do nothing while no operating system runs." : nil)
    }
}

/// The power as it was read once.
public struct PowerReading: Sendable, Equatable {
    public var state: PowerState
    /// Changes when the machine restarts, where the BMC says so; a restart leaves the state as it was.
    public var bootMark: String?

    public init(state: PowerState, bootMark: String? = nil) {
        self.state = state
        self.bootMark = bootMark
    }
}

extension PowerSwitch {
    public var fingerprint: String? { nil }
    public var manners: PowerManners { .usual }
    public func close() async {}
    public func verify() async throws { _ = try await readPower() }
    public func facts() async throws -> BMCFacts { BMCFacts() }
    public func setBoot(_ wanted: BootOverride) async throws { throw unable("set where the machine boots from") }
    public func bootOverride() async throws -> BootOverride { throw unable("tell where the machine boots from") }
    public func networkBoot(uri: String?, uefi: Bool?) async throws -> BootOverride { throw unable("set where the machine boots from") }
    public func health() async throws -> (health: HealthState, readings: [SensorReading]) { throw unable("read sensors") }
    public func log(limit: Int) async throws -> [HardwareLogEntry] { throw unable("show an event log") }
    public func clearLog() async throws { throw unable("clear an event log") }
    public func setPassword(_ password: String) async throws { throw unable("change its password") }

    func unable(_ what: String) -> Problem { .bmcUnsupported(what, "\(address) switches power and nothing else") }
}
