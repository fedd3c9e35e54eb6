public import Model
internal import Synchronization

/// A BMC that speaks IPMI 2.0 over LAN, through Debian's `ipmitool`.
public final class IPMIBMC: PowerSwitch {
    public struct Options: Sendable, Equatable {
        public var port = 623
        /// IPMI 2.0 table 22-20; 17 is the newest, 3 what old BMCs have. Nil: what ipmitool chooses.
        public var cipherSuite: Int?
        /// Boots in UEFI mode.
        public var efi = true
        /// For one run of the tool.
        public var timeout: Duration = .seconds(30)
        public init() {}

        public init(_ options: [String: String]) throws(Problem) {
            for (name, value) in options {
                switch (name, Int(value)) {
                case ("port", let number?) where (1...65535).contains(number): port = number
                case ("cipher", let number?) where (0...17).contains(number): cipherSuite = number
                case ("efi", _): efi = value != "false"
                default:
                    throw Problem(
                        "bmc-option-invalid", status: 422, title: "“\(name)=\(value)” is no option of an IPMI BMC",
                        remedy: "There are port, cipher (0 to 17) and efi (true, false).")
                }
            }
        }
    }

    private let host: String
    let options: Options
    private let credentials: Mutex<BMCCredentials>
    private let quirks = Mutex<Quirks?>(nil)
    let network: BMCNetwork
    static let tool = HostTool(name: "ipmitool", package: "ipmitool")

    public init(host: String, credentials: BMCCredentials, options: Options = Options(), network: BMCNetwork = .own) {
        self.host = host
        self.network = network
        self.options = options
        self.credentials = Mutex(credentials)
    }

    public var address: String { host }

    /// What stands before each command, and what the tool is told without its being seen.
    func line(retries: Int) -> (arguments: [String], environment: [String: String]) {
        let known = credentials.withLock { $0 }
        var line = ["-I", "lanplus", "-H", host, "-p", String(options.port), "-U", known.userName, "-E", "-N", "2", "-R", String(retries)]
        if let suite = options.cipherSuite { line += ["-C", String(suite)] }
        return (line, ["IPMI_PASSWORD": known.password])
    }

    @discardableResult
    func call(_ arguments: [String], csv: Bool = false, input: String = "") async throws -> String {
        let (line, environment) = line(retries: 3)
        let result = try await Self.tool.run(
            line + (csv ? ["-c"] : []) + arguments, environment: environment, input: input, namespace: network.namespace,
            timeout: options.timeout)
        guard result.status == 0 else { throw IPMIText.problem(result, arguments.joined(separator: " "), host) }
        return result.output
    }

    // MARK: Power and boot

    public func readPower() async throws -> PowerReading {
        PowerReading(state: IPMIText.power(try await call(["chassis", "power", "status"])))
    }

    public func request(_ request: PowerRequest) async throws {
        let word =
            switch request {
            case .on: "on"
            case .off: "off"
            case .shutdown: "soft"
            case .restart: "reset"
            }
        try await call(["chassis", "power", word])
    }

    public func setBoot(_ wanted: BootOverride) async throws {
        let device: String
        switch wanted.target {
        case .none: device = "none"
        case .pxe: device = "pxe"
        case .disk: device = "disk"
        case .cd: device = "cdrom"
        case .bios: device = "bios"
        case .http:
            throw Problem.bmcUnsupported("boot from a URI", "IPMI has no such boot device; boot from the network (pxe) instead")
        }
        var flags: [String] = []
        if wanted.uefi ?? options.efi { flags.append("efiboot") }
        if wanted.persistent { flags.append("persistent") }
        try await call(["chassis", "bootdev", device] + (flags.isEmpty || wanted.target == .none ? [] : ["options=\(flags.joined(separator: ","))"]))
        let read = try await bootOverride()
        guard BootOverridePlan.isFulfilled(wanted, by: read, quirks: try await knownQuirks()) else {
            throw Problem.bmc(
                "boot-not-proved", "The BMC at \(address) said OK to the boot override and does not have it",
                detail: "wanted: \(wanted.words); it has: \(read.words)",
                remedy: "Set it again; if it stays so, put network boot first in the machine's own boot order.")
        }
    }

    public func networkBoot(uri: String?, uefi: Bool?) async throws -> BootOverride {
        BootOverride(target: .pxe, uefi: uefi ?? options.efi)
    }

    public func bootOverride() async throws -> BootOverride {
        let text = try await call(["chassis", "bootparam", "get", "5"])
        guard let flags = IPMIText.bootFlags(text, quirks: try await knownQuirks()) else {
            throw Problem.bmc("reply-unknown", "What ipmitool said of the boot flags was not understood", detail: RedfishAnswer.printable(text))
        }
        return flags
    }

    // MARK: Sensors, log, identity

    public func health() async throws -> (health: HealthState, readings: [SensorReading]) {
        let readings = IPMIText.sensors(try await call(["sdr", "list"], csv: true))
        return (readings.map(\.health).max() ?? .unknown, readings)
    }

    public func log(limit: Int) async throws -> [HardwareLogEntry] {
        let text = try await call(["sel", "elist", "last", String(limit)], csv: true)
        return IPMIText.log(text).reversed()
    }

    public func clearLog() async throws { try await call(["sel", "clear"]) }

    public func facts() async throws -> BMCFacts {
        let controller = try await call(["mc", "info"])
        // Not every BMC has a FRU or a GUID.
        let fru = try await optional(["fru", "print"])
        let guid = try await optional(["mc", "guid"])
        return IPMIText.facts(fru: fru, controller: controller, guid: guid)
    }

    private func knownQuirks() async throws -> Quirks {
        if let known = quirks.withLock({ $0 }) { return known }
        let facts = try await facts()
        let found = QuirkTable.quirks(for: .init(vendor: facts.vendor, model: facts.model, firmware: facts.firmware))
        quirks.withLock { $0 = found }
        return found
    }

    private func optional(_ arguments: [String]) async throws -> String {
        do { return try await call(arguments) } catch let problem as Problem where problem.code == "bmc-refused" { return "" }
    }

    // MARK: Account

    /// IPMI 2.0 takes 20 bytes at most; the password goes to the tool by its standard input.
    public func setPassword(_ password: String) async throws {
        let known = credentials.withLock { $0 }
        guard (1...20).contains(password.utf8.count),
            password.utf8.allSatisfy({ Character(Unicode.Scalar($0)).isLetter || Character(Unicode.Scalar($0)).isNumber })
        else {
            throw Problem("bmc-password-form", status: 422, title: "An IPMI password has 1 to 20 letters and digits")
        }
        guard let number = IPMIText.userNumber(try await call(["user", "list"], csv: true), named: known.userName) else {
            throw Problem.bmc("account-missing", status: 422, "The BMC at \(address) does not list the account “\(known.userName)”")
        }
        try await call(["exec", "/dev/stdin"], input: "user set password \(number) \(password) 20\n")
        credentials.withLock { $0.password = password }
    }
}
