/// The service root (DSP0268 ServiceRoot): what a BMC says before anyone logged in.
public struct ServiceRoot: Sendable, Equatable {
    public var redfishVersion: String?
    public var vendor: String?
    public var product: String?
    public var uuid: String?
    public var systems: RedfishPath?
    public var chassis: RedfishPath?
    public var controllers: RedfishPath?
    public var sessions: RedfishPath?
    public var hasSessionService: Bool
    public var accounts: RedfishPath?
    public var updates: RedfishPath?
    public var events: RedfishPath?
    public var tasks: RedfishPath?

    /// Nil where it is no Redfish service root.
    public init?(_ json: JSON) {
        redfishVersion = json["RedfishVersion"]?.text
        systems = json["Systems"]?.link
        chassis = json["Chassis"]?.link
        controllers = json["Managers"]?.link
        guard redfishVersion != nil || systems != nil || controllers != nil else { return nil }
        // iLO names itself only in its own members.
        let oem = json["Oem"]?.members.keys.sorted().first
        vendor = json["Vendor"]?.text ?? oem
        product = json["Product"]?.text ?? json["Name"]?.text
        uuid = json["UUID"]?.text?.lowercased()
        sessions = json["Links"]?["Sessions"]?.link
        hasSessionService = json["SessionService"]?.link != nil
        accounts = json["AccountService"]?.link
        updates = json["UpdateService"]?.link
        events = json["EventService"]?.link
        tasks = json["Tasks"]?.link
    }
}
