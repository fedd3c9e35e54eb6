public import Model

/// A machine as its BMC has it (DSP0268 ComputerSystem).
public struct ComputerSystem: Sendable, Equatable {
    public var path: RedfishPath?
    public var id: String?
    public var uuid: String?
    public var serial: String?
    /// What Dell has SMBIOS give as the serial number; its `SerialNumber` is the board's.
    public var serviceTag: String?
    public var manufacturer: String?
    public var model: String?
    public var biosVersion: String?
    public var power: PowerState
    public var health: HealthState
    public var boot: Boot
    /// Where resets are posted.
    public var resetTarget: RedfishPath?
    /// Nil: the BMC does not say.
    public var resetTypes: [String]?
    /// Where `resetTypes` stand when they do not stand here.
    public var resetActionInfo: RedfishPath?
    /// When the machine was last reset, where the BMC says (ComputerSystem 1.12).
    public var lastReset: String?
    /// How far the boot is, as `OSRunning` (ComputerSystem 1.13).
    public var bootProgress: String?
    public var processors: RedfishPath?
    public var memory: RedfishPath?
    public var storage: RedfishPath?
    public var simpleStorage: RedfishPath?
    public var ethernetInterfaces: RedfishPath?
    public var bios: RedfishPath?
    public var secureBoot: RedfishPath?
    public var logServices: RedfishPath?
    public var virtualMedia: RedfishPath?
    public var pcieDevices: [RedfishPath]
    public var chassis: [RedfishPath]
    public var controllers: [RedfishPath]
    /// The UDP port by which IPMI has the console (ComputerSystem 1.13 `SerialConsole.IPMI`); nil: it does not say that it does.
    public var ipmiConsolePort: Int?
    /// Where changes go that take effect at the next boot (`@Redfish.Settings`).
    public var settings: RedfishPath?
    public var etag: String?

    /// The boot members.
    public struct Boot: Sendable, Equatable {
        public var target: String?
        public var enabled: String?
        public var mode: String?
        public var httpURI: String?
        public var allowedTargets: [String]?
        public var allowedModes: [String]?
        public var order: [String]

        init(_ json: JSON?) {
            target = json?["BootSourceOverrideTarget"]?.text
            enabled = json?["BootSourceOverrideEnabled"]?.text
            mode = json?["BootSourceOverrideMode"]?.text
            httpURI = json?["HttpBootUri"]?.text
            allowedTargets = json?["BootSourceOverrideTarget@Redfish.AllowableValues"]?.items.compactMap(\.text)
            allowedModes = json?["BootSourceOverrideMode@Redfish.AllowableValues"]?.items.compactMap(\.text)
            order = json?["BootOrder"]?.items.compactMap(\.text) ?? []
        }
    }

    public init(_ json: JSON) {
        path = json.link
        id = json["Id"]?.text
        uuid = json["UUID"]?.text?.lowercased()
        serial = json["SerialNumber"]?.text
        manufacturer = json["Manufacturer"]?.text
        // Elsewhere a SKU is the model's, the same on all of them.
        serviceTag = manufacturer?.lowercased().hasPrefix("dell") == true ? json["SKU"]?.text : nil
        model = json["Model"]?.text
        biosVersion = json["BiosVersion"]?.text
        power = PowerState(redfish: json["PowerState"]?.text ?? json["Power"]?.text)
        health = HealthState(status: json["Status"])
        boot = Boot(json["Boot"])
        let reset = json["Actions"]?["#ComputerSystem.Reset"]
        resetTarget = reset?["target"]?.text.flatMap { RedfishPath($0) }
        resetTypes = reset?["ResetType@Redfish.AllowableValues"]?.items.compactMap(\.text)
        resetActionInfo = reset?["@Redfish.ActionInfo"]?.text.flatMap { RedfishPath($0) }
        lastReset = json["LastResetTime"]?.text
        bootProgress = json["BootProgress"]?["LastState"]?.text
        processors = json["Processors"]?.link
        memory = json["Memory"]?.link
        storage = json["Storage"]?.link
        simpleStorage = json["SimpleStorage"]?.link
        ethernetInterfaces = json["EthernetInterfaces"]?.link
        bios = json["Bios"]?.link
        secureBoot = json["SecureBoot"]?.link
        logServices = json["LogServices"]?.link
        virtualMedia = json["VirtualMedia"]?.link
        pcieDevices = json["PCIeDevices"]?.items.compactMap(\.link) ?? []
        chassis = json["Links"]?["Chassis"]?.items.compactMap(\.link) ?? []
        controllers = json["Links"]?["ManagedBy"]?.items.compactMap(\.link) ?? []
        let console = json["SerialConsole"]?["IPMI"]
        ipmiConsolePort = console?["ServiceEnabled"]?.flag == true ? console?["Port"]?.integer ?? 623 : nil
        settings = json["@Redfish.Settings"]?["SettingsObject"]?.link
        etag = json["@odata.etag"]?.text
    }
}

extension PowerState {
    /// From Redfish's words (DSP0268 Resource.PowerState).
    init(redfish word: String?) {
        switch word?.lowercased() {
        case "on": self = .on
        case "off": self = .off
        case "poweringon": self = .turningOn
        case "poweringoff": self = .turningOff
        default: self = .unknown
        }
    }
}

extension HealthState {
    /// From a `Status` object: the rollup where there is one.
    init(status: JSON?) {
        self = HealthState(redfish: (status?["HealthRollup"] ?? status?["HealthRollUp"])?.text ?? status?["Health"]?.text)
    }

    init(redfish word: String?) {
        switch word?.lowercased() {
        case "ok", "good", "informational", "information": self = .ok
        case "warning", "degraded", "caution", "minor", "major": self = .warning
        case "critical", "failed", "fatal": self = .critical
        default: self = .unknown
        }
    }
}
