internal import Crypto
internal import FoundationEssentials
public import Logging
public import Model
public import Store
internal import Synchronization
internal import Wire

/// What the issuer asks of the program around it.
public struct IdentitySurroundings: Sendable {
    /// What the gate decides on, of this moment.
    public var question: @Sendable (MachineID) -> IdentityQuestion
    /// Adds to the audit log.
    public var record:
        @Sendable (_ kind: String, _ machine: MachineID?, _ actor: String, _ message: String, _ evidence: [String: String]) async throws -> Void
    /// The wall clock, which relying parties have too.
    public var now: @Sendable () -> Timestamp
    /// Time that is never set: for the lives of keys and the pace of requests.
    public var steady: @Sendable () -> Timestamp
    public var logger: Logger

    public init(
        question: @escaping @Sendable (MachineID) -> IdentityQuestion,
        record: @escaping @Sendable (String, MachineID?, String, String, [String: String]) async throws -> Void,
        now: @escaping @Sendable () -> Timestamp, steady: (@Sendable () -> Timestamp)? = nil, logger: Logger
    ) {
        self.question = question
        self.record = record
        self.now = now
        self.steady = steady ?? now
        self.logger = logger
    }
}

/// The issuer of identities: OIDC tokens and signed documents for machines, and the SSH CA.
public final class IdentityService: Sendable {
    /// Of a token that nobody asked a lifetime for.
    public static let usualLifetime: Duration = .seconds(600)
    public static let lifetimes: ClosedRange<Duration> = .seconds(60)...(.seconds(3600))

    public let issuer: IssuerURL
    public let region: String?
    let surroundings: IdentitySurroundings
    private let keys: SigningKeys
    private let documents: DocumentSigner
    let ssh: SSHAuthority
    private let limits = Mutex((budget: MintBudget(), log: MintLog()))

    /// Loads the keys from the store, or makes them at the first start.
    /// `forgetting`: the keys that are there, readable or not, are thrown away first.
    public init(
        issuer: IssuerURL, region: String?, store: any StateStore, sealing: SealingKey, schedule: KeySchedule = .init(),
        forgetting: Bool = false, surroundings: IdentitySurroundings
    ) async throws {
        self.issuer = issuer
        self.region = region
        self.surroundings = surroundings
        func vault(_ purpose: String) -> KeyVault { KeyVault(store: store, sealing: sealing, purpose: purpose) }
        if forgetting { for purpose in ["oidc", "document", "ssh-user", "ssh-host"] { try await vault(purpose).clear() } }
        keys = SigningKeys(vault: vault("oidc"), schedule: schedule)
        documents = try await DocumentSigner.open(vault("document"), now: surroundings.now())
        ssh = try await SSHAuthority.open(user: vault("ssh-user"), host: vault("ssh-host"), now: surroundings.now())
        _ = try await keys.keep(now: surroundings.steady())
    }

    /// Rotates keys in their time. Runs until cancelled.
    public func run() async throws {
        while !Task.isCancelled {
            // Often, since another server on the same store may have rotated meanwhile.
            try await Task.sleep(for: .seconds(60))
            let now = surroundings.steady()
            limits.withLock {
                $0.budget.tidy(now: now)
                $0.log.tidy(now: now)
            }
            do {
                _ = try await keys.keep(now: now)
            } catch is CancellationError {
                return
            } catch {
                surroundings.logger.error("the issuer's keys could not be looked after", metadata: ["error": "\(error)"])
            }
        }
    }

    public var discovery: DiscoveryDocument { DiscoveryDocument(issuer: issuer) }
    public var publishedKeys: PublishedKeys { get async { await keys.published } }
    /// What readers of instance identity documents pin.
    public var documentCertificatePEM: String { documents.certificatePEM }

    /// After a theft: all signing keys are made anew, and every token that is out is void.
    public func replaceKeys(by actor: String) async throws {
        try await keys.replaceAll(now: surroundings.steady())
        try await surroundings.record(
            "identity.keys-replaced", nil, actor, "The issuer's signing keys were replaced; all tokens that were out are void", [:])
    }

    // MARK: Minting

    /// As ``mint(machine:audience:lifetime:)``, for somebody who acts on the machine's behalf.
    public func mint(
        machine id: MachineID, audience text: String, lifetime: Duration?, by actor: String
    ) async throws -> WorkloadToken {
        let audience = try Audience(text)
        let lifetime = lifetime ?? Self.usualLifetime
        guard Self.lifetimes.contains(lifetime) else {
            throw Problem(
                "lifetime-invalid", title: "A token lives 60 to 3600 seconds", detail: "\(lifetime.components.seconds) were asked for")
        }
        let now = surroundings.now()
        let (question, until) = try await admit(id, "token for \(audience.text)", by: actor, now: now)
        guard let machine = question.machine, let installed = machine.installed else { throw Problem.notFound("machine", id.rawValue) }
        let claims = HostlerClaims(
            machine: machine, installed: installed, region: region, lease: question.lease?.id, attestation: question.attestation)
        // Whole seconds, as the claims have them; never beyond the lease.
        let issued = now.milliseconds / 1000
        let expires = min(issued + lifetime.components.seconds, until.map { $0.milliseconds / 1000 } ?? .max)
        let token = try await keys.sign(
            MachineClaims(
                iss: issuer.text, sub: claims.subject, aud: audience.text, iat: issued, nbf: issued, exp: expires,
                jti: Hex.encode(SymmetricKey(size: .bits128).withUnsafeBytes { Array($0) }), hostler: claims),
            now: surroundings.steady())
        return WorkloadToken(token: token, audience: audience.text, expiresAt: Timestamp(milliseconds: expires * 1000))
    }

    /// Asks the gate, then the budget; tells the audit log of either answer.
    private func admit(
        _ id: MachineID, _ what: String, by actor: String, now: Timestamp
    ) async throws -> (question: IdentityQuestion, until: Timestamp?) {
        let question = surroundings.question(id)
        switch IdentityGate.decide(question, now: now) {
        case .refuse(let code, let why):
            try await tell("identity.refused", id, code, "\(what) refused: \(why)", by: actor, known: question.machine != nil)
            throw Problem(
                "identity-refused", status: 403, title: "\(question.machine?.name.text ?? id.rawValue) gets no identity now",
                detail: why, remedy: "See hostler machine show \(id)")
        case .grant(let until):
            if let wait = limits.withLock({ $0.budget.take(id, now: surroundings.steady()) }) {
                try await tell("identity.limited", id, "rate", "\(what): asked too often", by: actor)
                throw Problem(
                    "identity-rate", status: 429, title: "\(question.machine?.name.text ?? id.rawValue) asks for identity too often",
                    detail: "\(MintBudget.burst) at once, then one every \(MintBudget.interval.components.seconds) s",
                    remedy: "Keep the token until it is nearly over; ask again in \(wait.components.seconds) s.")
            }
            try await tell("identity.issued", id, what, what, by: actor)
            return (question, until)
        }
    }

    /// The machine, if the gate and the budget let it have `what`.
    func admitted(_ id: MachineID, _ what: String, by actor: String, now: Timestamp) async throws -> Machine {
        guard let machine = try await admit(id, what, by: actor, now: now).question.machine else {
            throw Problem.notFound("machine", id.rawValue)
        }
        return machine
    }

    /// `known`: false for a machine of which there is no record, which gets no event, so that nobody fills the log with names.
    private func tell(
        _ kind: String, _ id: MachineID, _ what: String, _ message: String, by actor: String, known: Bool = true
    ) async throws {
        guard known, let count = limits.withLock({ $0.log.note(id, "\(kind) \(what)", now: surroundings.steady()) }) else { return }
        try await surroundings.record(
            kind, id, actor, count == 1 ? message : "\(message) (\(count) times since it was last told)", ["count": "\(count)"])
    }
}

extension IdentityService: WorkloadTokens {
    public func mint(machine: MachineID, audience: String, lifetime: Duration?) async throws -> WorkloadToken {
        try await mint(machine: machine, audience: audience, lifetime: lifetime, by: "machine")
    }

    public func sign(document: [UInt8], of machine: MachineID) async throws -> DocumentSignatures {
        guard document.count <= 64 << 10 else {
            throw Problem("document-too-large", status: 413, title: "An identity document has at most 64 KiB")
        }
        _ = try await admit(machine, "instance identity document", by: "machine", now: surroundings.now())
        return try documents.sign(document)
    }

    public func sshHostCertificates(of machine: MachineID) async throws -> [String] {
        try await hostCertificates(of: machine).map(\.certificate)
    }
}
