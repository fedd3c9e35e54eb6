public import Model

/// What a request comes to.
public enum RedfishAnswer: Hashable, Sendable {
    case response(RedfishResponse)
    /// Carry the order out; then `done(_:at:)` and the completion's response.
    case perform(BMCOrder, then: Completion)
    /// A stream of server-sent events begins (DSP0266 §13.5), as this subscription.
    case events(subscription: String)

    public enum Completion: Hashable, Sendable {
        case noContent
        /// The resource as it is then.
        case resource([String])
    }
}

/// What the service knows of the world when it answers; nothing else gets in.
public struct RedfishMoment: Sendable {
    public var now: Timestamp
    public var reading: BMCReading
    /// Unpredictable text, different each time: a token, should one be needed.
    public var nonce: String

    public init(now: Timestamp, reading: BMCReading, nonce: String) {
        self.now = now
        self.reading = reading
        self.nonce = nonce
    }
}

/// The Redfish service (DSP0266) of one BMC with one system: a value. A
/// request goes in, an answer or an order to the hardware comes out.
public struct RedfishService: Sendable {
    static let root = "/redfish/v1"
    static let realm = "Hostler virtual BMC"
    /// DSP0268's AccountService.MinPasswordLength and MaxPasswordLength.
    static let passwordLengths = 8...64
    static let sessionLimit = 32
    static let accountLimit = 15

    public let inventory: BMCInventory
    public internal(set) var accounts: [BMCAccount]
    var sessions: [BMCSession] = []
    var sessionTimeoutSeconds: Int64 = 1800
    /// What the next start does otherwise; nil where nothing.
    public internal(set) var bootOverride: BootOverride?
    /// What the resource shows while no override is set, as people left it.
    var httpBootURI: String?
    public internal(set) var media: VirtualMediaImage?
    var bios = BiosAttributes.defaults
    /// Waits for the next start.
    var pendingBios: [String: JSON] = [:]
    var isSecureBootEnabled = false
    var pendingSecureBoot: Bool?
    var assetTag: String
    var indicator = "Off"
    var log = SystemLog()
    var tasks: [UpdateTask] = []
    var updateTakes: Duration
    var subscriptions: [String] = []
    var eventCount = 0
    var outbox: [JSON] = []
    /// Whether the BMC has the machine's serial port.
    public let hasSerialPort: Bool
    /// Where the BMC speaks IPMI, by UDP; nil: it does not.
    public internal(set) var ipmiPort: UInt16?
    /// Whether the serial port is to be had by IPMI, where both are there.
    var isSerialOverLANEnabled = true
    private var lastID = 0

    public init(
        inventory: BMCInventory, account: BMCAccount, updateTakes: Duration = .seconds(3), hasSerialPort: Bool = false
    ) {
        self.inventory = inventory
        self.hasSerialPort = hasSerialPort
        self.updateTakes = updateTakes
        accounts = [account]
        assetTag = inventory.assetTag
    }

    /// A number that no resource of the service has had.
    mutating func newID() -> String {
        lastID += 1
        return "\(lastID)"
    }

    /// The BMC's firmware, after all finished updates.
    func managerVersion(at now: Timestamp) -> String {
        tasks.last { $0.isDone(at: now) }?.version ?? "1.0.0"
    }

    // MARK: Requests

    public mutating func answer(_ request: RedfishRequest, at moment: RedfishMoment) -> RedfishAnswer {
        let timeout = sessionTimeoutSeconds * 1000
        sessions.removeAll { moment.now.milliseconds - $0.usedAtMilliseconds > timeout }
        if let version = request.header("odata-version"), version != "4.0" {
            return .response(.error(412, .generalError))
        }
        if request.path == "/redfish" || request.path == "/redfish/" {
            guard ["GET", "HEAD"].contains(request.method) else { return notAllowed("GET, HEAD") }
            return .response(.json(["v1": "/redfish/v1/"]))
        }
        guard let segments = request.segments else { return notFound(request.path) }

        let isSessionCreation =
            request.method == "POST"
            && (segments == ["SessionService", "Sessions"] || segments == ["SessionService", "Sessions", "Members"])
        let isPublic =
            ["GET", "HEAD"].contains(request.method) && [[], ["odata"], ["$metadata"]].contains(segments)
        if isSessionCreation { return createSession(request, at: moment) }
        guard isPublic || authenticated(request, at: moment) != nil else {
            return .response(
                .error(
                    401, .noValidSession,
                    headers: [.init("WWW-Authenticate", "Basic realm=\"\(Self.realm)\"")]))
        }
        let caller = authenticated(request, at: moment)

        if let action = action(segments, at: moment) {
            guard request.method == "POST" else { return notAllowed("POST") }
            guard let caller, caller.allows(action.privilege) else { return forbidden }
            return perform(action, request, at: moment)
        }
        guard let document = document(segments, at: moment) else { return notFound(request.path) }
        switch request.method {
        case "GET", "HEAD": return read(document, segments, request, at: moment)
        case "PATCH", "POST", "DELETE":
            guard document.methods.contains(request.method) else { return notAllowed(document.allow) }
            guard let caller else { return forbidden }
            if let wanted = request.header("if-match"), wanted != "*", !Self.list(wanted).contains(document.etag) {
                return .response(.error(412, .generalError))
            }
            return switch request.method {
            case "PATCH": patch(segments, document, request, caller, at: moment)
            case "POST": create(segments, request, caller, at: moment)
            default: delete(segments, caller)
            }
        case "PUT", "OPTIONS", "TRACE", "CONNECT": return notAllowed(document.allow)
        default: return .response(.error(501, .generalError))
        }
    }

    /// The order was carried out: what it changed in the service itself.
    public mutating func done(_ order: BMCOrder, at now: Timestamp) {
        switch order {
        case .power(let type): log.add("Power: \(type.rawValue) was asked for.", at: now)
        case .boot(let override):
            bootOverride = override
            if let override, override.target == .uefiHTTP { httpBootURI = override.httpURI }
        case .insert(let image): media = image
        case .eject: media = nil
        }
    }

    public func response(_ completion: RedfishAnswer.Completion, at moment: RedfishMoment) -> RedfishResponse {
        switch completion {
        case .noContent: return .noContent
        case .resource(let segments):
            guard let document = document(segments, at: moment) else { return .noContent }
            return Self.representation(document)
        }
    }

    /// The order was not carried out.
    public static func failure(_ error: any Error, _ order: BMCOrder) -> RedfishResponse {
        guard let error = error as? BMCHardwareError else { return .error(500, .internalError) }
        switch (error.reason, order) {
        case (.wrongState, _): return .error(409, .resourceInUse)
        case (.image, .insert(let image)): return .error(400, .couldNotConnect(image.uri))
        default: return .error(500, .internalError)
        }
    }

    // MARK: Reading

    private func read(
        _ document: Document, _ segments: [String], _ request: RedfishRequest, at moment: RedfishMoment
    ) -> RedfishAnswer {
        if segments == ["EventService", "SSE"] { return .events(subscription: "") }
        if segments.starts(with: ["TaskService", "TaskMonitors"]),
            let task = tasks.first(where: { $0.id == segments.last }), !task.isDone(at: moment.now)
        {
            return .response(taskResponse(task, at: moment))
        }
        if let xml = document.xml {
            return .response(
                RedfishResponse(status: 200, headers: [.init("Content-Type", "application/xml")], body: Array(xml.utf8)))
        }
        let unknown = request.query.contains { $0.name.hasPrefix("$") && !["$skip", "$top"].contains($0.name) }
        if unknown { return .response(.error(501, .queryNotSupported)) }
        var document = document
        if request.query.contains(where: { ["$skip", "$top"].contains($0.name) }) {
            guard let members = document.json["Members"]?.elements,
                let skip = Self.number("$skip", request.query, or: 0),
                let top = Self.number("$top", request.query, or: members.count)
            else { return .response(.error(400, .queryNotSupported)) }
            document = Self.page(document, members, skip: skip, top: top, path: request.path)
        } else if segments.last == "Entries", let members = document.json["Members"]?.elements {
            document = Self.page(document, members, skip: 0, top: SystemLog.page, path: request.path)
        }
        if let known = request.header("if-none-match"), Self.list(known).contains(document.etag) {
            return .response(RedfishResponse(status: 304, headers: [.init("ETag", document.etag)]))
        }
        return .response(Self.representation(document))
    }

    /// - Parameter messages: what went not as asked, though the request as a whole did.
    static func representation(_ document: Document, telling messages: [BaseMessage] = []) -> RedfishResponse {
        var json = document.json
        let etag = document.etag
        var headers: [RedfishResponse.Header] = [.init("ETag", etag), .init("Allow", document.allow)]
        if let type = json["@odata.type"]?.text {
            json["@odata.etag"] = .string(etag)
            // DSP0266 §8.2: `#Chassis.v1_9_0.Chassis` is described by Chassis.v1_9_0.json.
            let schema = type.dropFirst().split(separator: ".").dropLast().joined(separator: ".")
            headers.append(.init("Link", "<http://redfish.dmtf.org/schemas/v1/\(schema).json>; rel=describedby"))
        }
        if !messages.isEmpty { json["@Message.ExtendedInfo"] = .array(messages.map(\.json)) }
        return .json(json, headers: headers)
    }

    /// DSP0266 §7.4.3: part of a collection, with a link to the next part.
    private static func page(_ document: Document, _ members: [JSON], skip: Int, top: Int, path: String) -> Document {
        var document = document
        let part = Array(members.dropFirst(skip).prefix(top))
        document.json["Members"] = .array(part)
        if skip + part.count < members.count, !part.isEmpty {
            document.json["Members@odata.nextLink"] = .string("\(path)?$skip=\(skip + part.count)&$top=\(top)")
        }
        return document
    }

    private static func number(
        _ name: String, _ query: [(name: String, value: String)], or fallback: Int
    ) -> Int? {
        guard let text = query.first(where: { $0.name == name })?.value else { return fallback }
        return Int(text).flatMap { $0 >= 0 ? $0 : nil }
    }

    private static func list(_ header: String) -> [String] {
        header.split(separator: ",").map { part in
            let tag = part.drop { $0 == " " }
            return String(tag.hasPrefix("W/") ? tag.dropFirst(2) : tag)
        }
    }

    // MARK: Refusals

    var forbidden: RedfishAnswer { .response(.error(403, .insufficientPrivilege)) }

    func notFound(_ path: String) -> RedfishAnswer { .response(.error(404, .resourceMissing(path))) }

    func notAllowed(_ allow: String) -> RedfishAnswer {
        .response(.error(405, .generalError, headers: [.init("Allow", allow)]))
    }
}
