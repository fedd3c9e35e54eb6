public import Model

/// What a network says of its metadata service.
public struct MetadataPolicy: Sendable, Equatable {
    /// Whether EC2's old way, reads without a token, is answered.
    public var allowsTokenless: Bool
    /// Whether secrets need the instance key. Without it whoever copies a machine's MAC address and address gets them;
    /// behind a router, where an address is all there is, they need it always.
    public var secretsNeedKey: Bool
    /// The names that a request may call us by, in lower case.
    public var hosts: Set<String>

    public init(allowsTokenless: Bool = false, secretsNeedKey: Bool = true, hosts: Set<String> = ["169.254.169.254", "[fd00:ec2::254]"]) {
        self.allowsTokenless = allowsTokenless
        self.secretsNeedKey = secretsNeedKey
        self.hosts = hosts
    }
}

/// What is answered at once.
public struct MetadataReply: Sendable, Equatable {
    public var status: Int
    public var type: String
    public var body: [UInt8]
    /// A header beside the usual ones.
    public var header: String?

    public init(_ status: Int, _ body: [UInt8], type: String = "text/plain", header: String? = nil) {
        self.status = status
        self.type = type
        self.body = body
        self.header = header
    }

    public init(_ text: String) { self.init(200, Array(text.utf8)) }

    static func json(_ body: [UInt8]) -> MetadataReply { MetadataReply(200, body, type: "application/json") }

    /// A refusal says no more than its status.
    public static func refusal(_ status: Int) -> MetadataReply {
        let phrase =
            switch status {
            case 400: "Bad Request"
            case 401: "Unauthorized"
            case 403: "Forbidden"
            case 404: "Not Found"
            case 405: "Method Not Allowed"
            case 429: "Too Many Requests"
            case 501: "Not Implemented"
            default: "Service Unavailable"
            }
        return MetadataReply(status, Array("\(status) \(phrase)\n".utf8))
    }
}

/// What a request comes to.
public enum MetadataAnswer: Sendable, Equatable {
    case reply(MetadataReply)
    /// Refused; `why` is a word for the log and the counters.
    case refuse(status: Int, why: Refusal)
    /// A token that is good for so many seconds.
    case issueToken(seconds: Int, Proof)
    /// What rests in the store, given out once it is read there.
    case secret(Secret)
    /// The machine's own document, again at each change.
    case watch
    /// What the identity of the machine says (see `InstanceIdentity`).
    case identity(Identity)

    var isSecret: Bool {
        switch self {
        case .secret, .identity: true
        default: false
        }
    }

    public enum Secret: Sendable, Equatable {
        /// As it is; nothing there is 404.
        case userData
        /// As it is; nothing there is an empty one, as NoCloud wants it.
        case noCloudUserData
        case vendorData
        case openStackVendorData
        /// The user-data for a nonce: Ignition, Talos and their like.
        case rawConfig(nonce: String)
    }

    public enum Identity: Sendable, Equatable {
        case signature
        case pkcs7
        /// A token for `audience`.
        case token(audience: String?)
        case sshHostCertificates
    }

    public enum Refusal: String, Sendable {
        case malformed, forwarded, stranger, method
        case foreignHost = "foreign-host"
        case noToken = "no-token"
        case badToken = "bad-token"
        case badKey = "bad-key"
        case badSeconds = "bad-ttl"
        case notFound = "not-found"
        case needsKey = "needs-key"
        /// Behind a router, without a key or a token that was got with one.
        case unproved
        case tooMany = "too-many"
        /// A nonce that was spent, or is another machine's.
        case badNonce = "bad-nonce"
    }
}

/// Decides what a request gets: a pure function of the request, of who asks, and of the network's policy.
public struct MetadataDesk: Sendable {
    public let sessions: MetadataSessions
    public var policy: MetadataPolicy

    public init(sessions: MetadataSessions, policy: MetadataPolicy = MetadataPolicy()) {
        self.sessions = sessions
        self.policy = policy
    }

    /// What is wrong with a request whoever asks; nil: nothing.
    public func refusal(of head: RequestHead) -> MetadataAnswer? {
        if head.isForwarded { return .refuse(status: 403, why: .forwarded) }
        if let host = head.host, !policy.hosts.contains(host) { return .refuse(status: 403, why: .foreignHost) }
        if head.method == .other { return .refuse(status: 405, why: .method) }
        if head.target.hasEmptyPart { return .refuse(status: 404, why: .notFound) }
        return nil
    }

    /// What the token of a request proved.
    public enum TokenCheck: Sendable, Equatable {
        case none
        case bad
        case good(Proof)
    }

    public func check(_ head: RequestHead, of asker: Asker, now: Timestamp) -> TokenCheck {
        guard let token = head.token else { return .none }
        return sessions.check(token, of: asker, now: now).map { .good($0.proof) } ?? .bad
    }

    /// - Parameters:
    ///   - view: what the asker may know of itself.
    ///   - checked: what its token proved, where that is known already.
    public func answer(
        _ head: RequestHead, from asker: Asker, view: InstanceView, now: Timestamp, checked: TokenCheck? = nil
    ) -> MetadataAnswer {
        if let refusal = refusal(of: head) { return refusal }
        let path = head.pathBehindKey
        var proof: Proof?
        if let given = head.shownKey {
            guard let found = sessions.check(key: given, of: asker) else { return .refuse(status: 403, why: .badKey) }
            proof = found
        }
        if path.elementsEqual(["latest", "api", "token"]) { return token(head, proof ?? asker.shows) }
        if head.method == .put { return .refuse(status: 405, why: .method) }
        // A boot nonce is a proof of its own, and whoever has it has nothing else yet.
        if path.count == 4, path.starts(with: ["hostler", "v1", "config"]), let nonce = path.last {
            if head.method == .head { return Self.headRefused }
            return .secret(.rawConfig(nonce: nonce))
        }
        switch checked ?? check(head, of: asker, now: now) {
        case .none: break
        case .bad: return .refuse(status: 401, why: .badToken)
        case .good(let found): proof = max(proof ?? found, found)
        }
        let answer = Self.answer(at: path, head, view)
        guard let proof = proof ?? (policy.allowsTokenless ? asker.shows : nil) else {
            // Behind a router whoever takes a machine's address gets no token to be refused with.
            if asker.isBehindRouter, answer.isSecret { return .refuse(status: 403, why: .needsKey) }
            return .refuse(status: 401, why: .noToken)
        }
        if answer.isSecret, head.method == .head { return Self.headRefused }
        let needed: Proof =
            switch answer {
            case .secret: .seed
            case .identity: .key
            default: .address
            }
        guard proof >= needed || (proof >= .wire && !policy.secretsNeedKey) else { return .refuse(status: 403, why: .needsKey) }
        return proof >= .key ? answer : Self.withoutCallHome(answer)
    }

    /// The call home's proof is for root alone, whatever the policy: with it any user of the machine could call home before
    /// its system does, and name host keys of his own. Systems that have their data by the seed key have it on their disk.
    private static func withoutCallHome(_ answer: MetadataAnswer) -> MetadataAnswer {
        switch answer {
        case .secret(.vendorData): .reply(.init(200, NoCloudSeed.emptyUserData))
        case .secret(.openStackVendorData): .reply(.json(OpenStackTree.vendorData(nil)))
        default: answer
        }
    }

    private func token(_ head: RequestHead, _ proof: Proof?) -> MetadataAnswer {
        guard head.method == .put else { return .refuse(status: 405, why: .method) }
        guard let proof else { return .refuse(status: 403, why: .unproved) }
        guard let text = head.tokenSeconds, text.utf8.count <= 5, text.utf8.allSatisfy({ (48...57).contains($0) }),
            let seconds = Int(text), MetadataSessions.tokenSeconds.contains(seconds)
        else { return .refuse(status: 400, why: .badSeconds) }
        return .issueToken(seconds: seconds, proof)
    }

    // MARK: Paths

    private static let nothing = MetadataAnswer.refuse(status: 404, why: .notFound)
    /// A question about a secret would spend it: it may be one that is read once, or be made anew at each reading.
    private static let headRefused = MetadataAnswer.refuse(status: 405, why: .method)

    private static func answer(at path: ArraySlice<String>, _ head: RequestHead, _ view: InstanceView) -> MetadataAnswer {
        guard let first = path.first else { return .reply(.init(EC2Tree.versions.joined(separator: "\n"))) }
        let rest = path.dropFirst()
        switch first {
        case "openstack": return openStack(rest, view)
        case "nocloud": return noCloud(rest, view)
        case "hostler": return own(rest, head, view)
        default: return EC2Tree.isVersion.contains(first) ? ec2(rest, view) : nothing
        }
    }

    private static func ec2(_ path: ArraySlice<String>, _ view: InstanceView) -> MetadataAnswer {
        let rest = path.dropFirst()
        switch path.first {
        case nil: return .reply(.init("dynamic\nmeta-data\nuser-data"))
        case "meta-data": return EC2Tree.text(at: rest, view).map { .reply(.init($0)) } ?? nothing
        case "user-data": return rest.isEmpty ? .secret(.userData) : nothing
        case "dynamic":
            switch Array(rest) {
            case []: return .reply(.init("instance-identity/"))
            case ["instance-identity"]: return .reply(.init("document\npkcs7\nsignature"))
            case ["instance-identity", "document"]: return .reply(.init(200, EC2Tree.identityDocument(view)))
            case ["instance-identity", "signature"]: return .identity(.signature)
            case ["instance-identity", "pkcs7"]: return .identity(.pkcs7)
            default: return nothing
            }
        default: return nothing
        }
    }

    private static func openStack(_ path: ArraySlice<String>, _ view: InstanceView) -> MetadataAnswer {
        guard let version = path.first else { return .reply(.init(OpenStackTree.versions.joined(separator: "\n"))) }
        guard OpenStackTree.versions.contains(version) else { return nothing }
        let rest = path.dropFirst()
        guard let file = rest.first else { return .reply(.init(OpenStackTree.files.joined(separator: "\n"))) }
        guard rest.count == 1 else { return nothing }
        switch file {
        case "meta_data.json": return .reply(.json(OpenStackTree.metaData(view)))
        case "network_data.json": return .reply(.json(OpenStackTree.networkData(view)))
        case "user_data": return .secret(.userData)
        case "vendor_data.json": return .secret(.openStackVendorData)
        default: return nothing
        }
    }

    private static func noCloud(_ path: ArraySlice<String>, _ view: InstanceView) -> MetadataAnswer {
        guard path.count == 1 else { return nothing }
        switch path.first {
        case "meta-data": return .reply(.init(200, NoCloudSeed.metaData(view)))
        case "network-config": return .reply(.init(200, NoCloudSeed.networkConfig(view)))
        case "user-data": return .secret(.noCloudUserData)
        case "vendor-data": return .secret(.vendorData)
        default: return nothing
        }
    }

    private static func own(_ path: ArraySlice<String>, _ head: RequestHead, _ view: InstanceView) -> MetadataAnswer {
        switch Array(path) {
        case ["v1"]: return .reply(.init("config/\nself\nssh-host-certificates\ntoken\nuser-data"))
        case ["v1", "self"]:
            if head.target.query["watch"] == "true", head.method == .get { return .watch }
            return .reply(.json(SelfDocument.bytes(view)))
        case ["v1", "user-data"]: return .secret(.userData)
        case ["v1", "ssh-host-certificates"]: return .identity(.sshHostCertificates)
        case ["v1", "token"]: return .identity(.token(audience: head.target.query["audience"]))
        default: return nothing
        }
    }
}

extension MetadataDesk {
    /// What `dynamic/instance-identity/document` says, as it is signed.
    public static func identityDocument(_ view: InstanceView) -> [UInt8] { EC2Tree.identityDocument(view) }

    public static func tokenDocument(_ token: WorkloadToken) -> [UInt8] {
        let tree: [(String, JSONTree)] = [
            ("token", .string(token.token)), ("audience", .string(token.audience)), ("expiresAt", .string(token.expiresAt.description)),
        ]
        return JSONTree.object(tree).bytes
    }
}
