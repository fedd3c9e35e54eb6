internal import Model
internal import Synchronization
internal import Crypto
internal import FoundationEssentials

/// A user's name and password. Never shown.
public struct BMCCredentials: Sendable, Equatable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var userName: String
    public var password: String

    public init(userName: String, password: String) {
        self.userName = userName
        self.password = password
    }

    public var description: String { "\(userName):•••" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: ["userName": userName]) }
}

/// Redfish (DSP0266) to one BMC: logs in, reads, changes, waits for tasks.
///
/// What a BMC answers is untrusted: links stay on the BMC, pages and hops are counted, bodies are bounded.
public final class RedfishClient: Sendable {
    public let transport: any RedfishTransport
    /// How the operator knows it.
    public let address: String
    let quirksBox: Mutex<Quirks>
    private let credentials: Mutex<BMCCredentials>
    private let session = Mutex(Session.unknown)
    /// As it was read last; it stays the same while nobody logs in anew.
    private let root = Mutex<ServiceRoot?>(nil)

    enum Session: Sendable {
        case unknown
        case token(String, RedfishPath?)
        /// The BMC has no sessions, or gives none.
        case basic
    }

    /// Pages of one collection; a rack of drives has five.
    public static let pageLimit = 64
    /// Members of one collection.
    public static let memberLimit = 2048
    /// Redirects on the BMC itself, as from `/redfish/v1` to `/redfish/v1/`.
    static let redirectLimit = 2

    public init(transport: any RedfishTransport, address: String, credentials: BMCCredentials, quirks: Quirks = .none) {
        self.transport = transport
        self.address = address
        self.credentials = Mutex(credentials)
        quirksBox = Mutex(quirks)
    }

    public var quirks: Quirks {
        get { quirksBox.withLock { $0 } }
        set { quirksBox.withLock { $0 = newValue } }
    }

    func withCredentials<T>(_ part: (BMCCredentials) -> T) -> T { credentials.withLock { part($0) } }

    /// From now on these; the old session is forgotten.
    public func use(_ new: BMCCredentials) {
        credentials.withLock { $0 = new }
        forgetSession()
    }

    /// Gives the session back to the BMC, which has few.
    public func close() async {
        if case .token(let token, let path?) = session.withLock({ $0 }) {
            var request = RedfishRequest(.delete, path)
            request.headers["X-Auth-Token"] = token
            request.timeout = .seconds(3)
            _ = try? await transport.send(request)
        }
        await transport.close()
    }

    // MARK: Reading

    /// A resource. Its own `@odata.id` must not say that it is another one.
    public func get(_ path: RedfishPath) async throws -> RedfishAnswer {
        let answer = try await send(RedfishRequest(.get, path))
        try check(answer.json, is: path)
        return answer
    }

    public func serviceRoot() async throws -> ServiceRoot {
        if let root = root.withLock({ $0 }) { return root }
        let request = RedfishRequest(.get, .root)
        let reply = try await followingOwnRedirects(request) { try await self.transport.send($0) }
        guard let found = ServiceRoot(try RedfishAnswer(reply, to: request, from: address).json) else {
            throw Problem.bmc(
                "not-redfish", status: 422, "What answers at \(address) is no Redfish service",
                detail: "its /redfish/v1/ has neither a version nor systems",
                remedy: "If the BMC is too old for Redfish: hostler bmc add --kind ipmi")
        }
        root.withLock { $0 = found }
        return found
    }

    /// A collection's members, whole where the BMC sends them whole, else `{"@odata.id": …}`.
    public func members(of path: RedfishPath, limit: Int = memberLimit) async throws -> [JSON] {
        var items: [JSON] = []
        var seen: Set<RedfishPath> = []
        var next: RedfishPath? = path
        while let page = next {
            guard seen.insert(page).inserted else {
                throw Problem.bmc(
                    "links-loop", "The BMC at \(address) leads in a circle", detail: "\(path): the next page of \(page) was seen before",
                    remedy: "Update its firmware; what it has there cannot be read.")
            }
            guard seen.count <= Self.pageLimit else {
                throw Problem.bmc(
                    "links-loop", "A collection of the BMC at \(address) has no end", detail: "\(path): more than \(Self.pageLimit) pages")
            }
            let json = try await send(RedfishRequest(.get, page)).json
            items += json["Members"]?.items ?? []
            if items.count >= limit { return Array(items.prefix(limit)) }
            next = try json["Members@odata.nextLink"]?.text.map { try ownPath($0, in: page) }
        }
        return items
    }

    /// The members' resources, each read. What a single member cannot give is passed over, unless the BMC is gone.
    public func resources(of path: RedfishPath, limit: Int = 256) async throws -> [JSON] {
        var found: [JSON] = []
        var seen: Set<RedfishPath> = []
        for member in try await members(of: path, limit: limit) {
            if member.members.count > 1 {
                found.append(member)
                continue
            }
            let link = try ownPath(member["@odata.id"]?.text ?? "", in: path)
            guard seen.insert(link).inserted else { continue }
            do {
                found.append(try await get(link).json)
            } catch let problem as Problem where problem.isOfOneResource { continue }
        }
        return found
    }

    // MARK: Changing

    /// Changes members, with the ETag where the BMC has them.
    @discardableResult
    public func patch(_ path: RedfishPath, _ body: JSON, etag known: String? = nil) async throws -> RedfishAnswer {
        var retry = PreconditionRetry()
        var step = retry.begin(etag: known)
        if known == nil, quirks.has(.ifMatchRequired) { step = .read }
        while true {
            switch step {
            case .read: step = retry.read(etag: try await send(RedfishRequest(.get, path)).etag)
            case .giveUp:
                throw Problem.bmc(
                    "refused", status: 422, "The BMC at \(address) refuses every form of its own ETag", detail: "PATCH \(path) → HTTP 412",
                    remedy: "Somebody else may be changing it at the same time; try again.")
            case .send(let ifMatch):
                var request = RedfishRequest(.patch, path, body: body)
                request.headers["If-Match"] = ifMatch
                let reply = try await authorised(request)
                if reply.status == 412 || reply.status == 428 {
                    step = retry.refused()
                    continue
                }
                return try await finished(RedfishAnswer(reply, to: request, from: address))
            }
        }
    }

    /// An action. Where it becomes a task, its end is waited for.
    @discardableResult
    public func post(
        _ path: RedfishPath, _ body: JSON, deadline: Duration = .seconds(120), progress: @Sendable (TaskProgress) -> Void = { _ in }
    ) async throws -> RedfishAnswer {
        try await finished(send(RedfishRequest(.post, path, body: body)), deadline: deadline, progress: progress)
    }

    /// Waits for the task that an answer of 202 (Accepted) began.
    func finished(
        _ answer: RedfishAnswer, deadline: Duration = .seconds(120), progress report: @Sendable (TaskProgress) -> Void = { _ in }
    ) async throws -> RedfishAnswer {
        guard answer.reply.status == 202 else { return answer }
        // The monitor is in Location; a few put the task itself in the body.
        let location = answer.reply.headers["location"].flatMap { RedfishPath(location: $0, origin: transport.origin) }
        guard let monitor = location ?? answer.json.link else { return answer }
        let end = ContinuousClock.now + deadline
        var progress = TaskProgress()
        while true {
            let reply = try await authorised(RedfishRequest(.get, monitor))
            // A monitor that is gone has ended (DSP0266 §12.2).
            if reply.status == 404 || reply.status == 410 { return answer }
            let now = try RedfishAnswer(reply, to: RedfishRequest(.get, monitor), from: address)
            let verdict = progress.answered(now, at: address)
            report(progress)
            switch verdict {
            case .done: return now
            case .failed(let problem): throw problem
            case .wait(let pause):
                guard ContinuousClock.now + pause < end else {
                    throw Problem.bmc(
                        "task-slow", "A job of the BMC at \(address) did not end in time",
                        detail: "\(monitor): \(progress.percent.map { "\($0) %" } ?? "no progress told")",
                        remedy: "It may still end; look at it on the BMC before you try again.")
                }
                try await Task.sleep(for: pause)
            }
        }
    }

    /// An event stream (DSP0266 §13.5), with the session that there is. Whoever is refused must ask something else
    /// first: that logs in anew.
    func stream(_ path: RedfishPath, _ receive: (StreamPart) async throws -> Void) async throws {
        var request = RedfishRequest(.get, path)
        request.headers["Accept"] = "text/event-stream"
        switch try await login() {
        case .token(let token, _): request.headers["X-Auth-Token"] = token
        case .basic, .unknown: request.headers["Authorization"] = basic
        }
        try await transport.stream(request) { part in
            if case .head(let reply) = part {
                if reply.status == 401 { forgetSession() }
                guard reply.isSuccess else { throw RedfishAnswer.failure(reply, "GET \(path)", address) }
                guard reply.contentType.lowercased().hasPrefix("text/event-stream") else {
                    throw Problem.bmc(
                        "not-a-stream", "The BMC at \(address) has no event stream where it says", detail: "\(path): \(reply.contentType)")
                }
            }
            try await receive(part)
        }
    }

    func send(_ request: RedfishRequest) async throws -> RedfishAnswer {
        try RedfishAnswer(try await authorised(request), to: request, from: address)
    }

    // MARK: Links

    /// The path that a link of `place` names; throws where it leads away from the BMC or is none.
    func ownPath(_ href: String, in place: RedfishPath) throws(Problem) -> RedfishPath {
        if let path = RedfishPath(href) ?? RedfishPath(location: href, origin: transport.origin) { return path }
        throw .bmc(
            "link-foreign", "The BMC at \(address) links to something that is not on it",
            detail: "\(place) links to “\(RedfishAnswer.printable(String(href.prefix(120))))”. It was not followed: credentials go to this BMC only.",
            remedy: "Update its firmware; what it has there cannot be read.")
    }

    private func check(_ json: JSON, is path: RedfishPath) throws(Problem) {
        guard let text = json["@odata.id"]?.text, !quirks.has(.selfLinkUnreliable) else { return }
        let own = try ownPath(text, in: path)
        guard own.isSameResource(as: path) else {
            throw .bmc(
                "answer-elsewhere", "The BMC at \(address) answered for another resource than it was asked for",
                detail: "asked: \(path); answered: \(own)",
                remedy: "Nothing was done, since it might be another machine's. Restart the BMC or update its firmware.")
        }
    }

    private func followingOwnRedirects(
        _ request: RedfishRequest, _ body: (RedfishRequest) async throws -> RedfishReply
    ) async throws -> RedfishReply {
        var request = request
        for _ in 0..<Self.redirectLimit {
            let reply = try await body(request)
            guard (300..<400).contains(reply.status), request.method == .get, let location = reply.headers["location"],
                let own = RedfishPath(location: location, origin: transport.origin)
            else { return reply }
            request.path = own
        }
        return try await body(request)
    }

    // MARK: Authentication (DSP0266 §13.3)

    /// Sends with a session, or with basic authentication where there are none. A session that expired is renewed once.
    func authorised(_ request: RedfishRequest) async throws -> RedfishReply {
        let (reply, usedToken) = try await attempt(request)
        guard reply.status == 401, usedToken else { return reply }
        forgetSession()
        return try await attempt(request).0
    }

    private func attempt(_ request: RedfishRequest) async throws -> (RedfishReply, usedToken: Bool) {
        var request = request
        let session = try await login()
        var usedToken = false
        switch session {
        case .token(let token, _):
            request.headers["X-Auth-Token"] = token
            usedToken = true
        case .basic, .unknown: request.headers["Authorization"] = basic
        }
        return (try await followingOwnRedirects(request) { try await self.transport.send($0) }, usedToken)
    }

    private func forgetSession() {
        session.withLock { $0 = .unknown }
        root.withLock { $0 = nil }
    }

    private var basic: String {
        let known = credentials.withLock { $0 }
        return "Basic " + Data("\(known.userName):\(known.password)".utf8).base64EncodedString()
    }

    private func login() async throws -> Session {
        let current = session.withLock { $0 }
        guard case .unknown = current else { return current }
        let made = quirks.has(.sessionsScarce) ? .basic : try await newSession()
        session.withLock { $0 = made }
        return made
    }

    private func newSession() async throws -> Session {
        let known = credentials.withLock { $0 }
        let root = try await serviceRoot()
        // Without either there is no session service, and asking would cost a failed login.
        guard root.sessions != nil || root.hasSessionService || quirks.has(.sessionsAtRoot) else { return .basic }
        let usual = quirks.has(.sessionsAtRoot) ? RedfishPath.root : RedfishPath.root.appending("SessionService")
        let path = root.sessions ?? usual.appending("Sessions")
        let request = RedfishRequest(
            .post, path, body: ["UserName": .string(known.userName), "Password": .string(known.password)])
        let reply = try await transport.send(request)
        switch reply.status {
        case 200..<300:
            guard let token = reply.headers["x-auth-token"] else { return .basic }
            let location = reply.headers["location"].flatMap { RedfishPath(location: $0, origin: transport.origin) }
            return .token(token, location ?? (try? RedfishAnswer(reply, to: request, from: address))?.json.link)
        // Asking again with the same password would only bring a lockout nearer.
        case 401 where reply.headers["www-authenticate"] == nil: throw RedfishAnswer.failure(reply, "POST \(path)", address)
        // No session service, or none left.
        default: return .basic
        }
    }
}
