internal import Control
internal import Metadata
internal import Model
internal import NIOCore
internal import Synchronization
internal import Wire

/// What all connections of a metadata service share: who may come in, how often, and what is said to whom.
final class MetadataDoor: Sendable {
    /// Open at once, from all machines: 10,000 that watch, and those that ask.
    static let connectionLimit = 24_576
    /// Of these, by all networks behind relays: the wire's own machines have room whatever comes by them.
    static let relayedConnectionLimit = 8192
    private static let addressBucketLimit = 16_384
    /// From the first moment without a whole request to the end: an idle client costs no more than this.
    static let patience = TimeAmount.seconds(15)

    let control: ControlPlane
    let desk: MetadataDesk
    let witness: WireWitness
    /// Where systems call home.
    let base: String
    /// Whether this network gives secrets to attested machines only, whatever address one has.
    private let wantsProof: Bool
    let tokens: (any WorkloadTokens)?
    let refusals: RefusalLog
    let counters: Counters
    let patience: TimeAmount
    /// ``connectionLimit``, or what the limit of open files leaves of it.
    private let limit: Int
    private let network: BootNetwork
    private var settings: MetadataSettings { network.metadata }
    private let buckets = Mutex<(machines: [MachineID: TokenBucket], addresses: [IPv4Address: TokenBucket])>(([:], [:]))
    private let open = Mutex(Open())

    init(
        control: ControlPlane, desk: MetadataDesk, witness: WireWitness, network: BootNetwork, tokens: (any WorkloadTokens)?,
        refusals: RefusalLog, patience: TimeAmount, connectionLimit: Int = connectionLimit
    ) {
        limit = connectionLimit
        self.control = control
        self.desk = desk
        self.witness = witness
        self.network = network
        base = network.baseURL
        wantsProof = network.attestation
        self.tokens = tokens
        self.refusals = refusals
        self.patience = patience
        counters = refusals.counters
    }

    /// A connection's place among those that are open.
    struct Seat: Sendable {
        /// By which it came.
        enum Way: Sendable, Hashable {
            case wire, wireIPv6
            /// A network behind a relay. One host there can have many addresses, but not many that machines do not miss.
            case relay(IPv4Prefix, isKnown: Bool)

            /// Open at once by this way, at most.
            var limit: Int {
                switch self {
                case .wire: connectionLimit
                // By which no machine has to come.
                case .wireIPv6: 4096
                case .relay(_, isKnown: true): 4096
                case .relay(_, isKnown: false): 1024
                }
            }

            var isRelay: Bool { if case .relay = self { true } else { false } }
        }
        typealias Owner = Caller.Owner
        var way: Way
        var owner: Owner
        /// In the replies' IP headers (RFC 791 §3.2, "Time to Live").
        var timeToLive: Int

        var mac: MACAddress? { if case .neighbour(let mac) = owner { mac } else { nil } }
    }

    private struct Open {
        var all = 0
        var relayed = 0
        var byWay: [Seat.Way: Int] = [:]
        var byOwner: [Seat.Owner: Int] = [:]

        mutating func add(_ count: Int, _ seat: Seat) {
            all += count
            relayed += seat.way.isRelay ? count : 0
            byWay[seat.way, default: 0] += count
            byOwner[seat.owner, default: 0] += count
            if byOwner[seat.owner] == 0 { byOwner[seat.owner] = nil }
        }
    }

    private func seat(for source: MetadataSource, _ frame: FrameEvidence) -> Seat {
        if case .v4(let address) = source, let subnet = network.subnet(of: address) {
            return Seat(
                way: .relay(subnet.prefix, isKnown: witness.isKnown(address)), owner: .address(address),
                timeToLive: network.timeToLive(of: subnet))
        }
        return Seat(
            way: source.ipv6 == nil ? .wire : .wireIPv6,
            // By where its answers go: a frame's source alone can be made up, and another's room be used up by it.
            owner: (witness.neighbour(at: source) ?? frame.mac).map(Seat.Owner.neighbour) ?? .nobody,
            timeToLive: settings.hopLimit)
    }

    /// A place for one more connection from there, for which ``leave(_:)`` must follow; nil: there is none.
    ///
    /// They are counted by MAC address: by IPv6 a machine gives itself as many addresses as it likes. Whoever has none
    /// that is known shares one count with all others of that kind. Behind a router they are counted by address.
    func enter(_ source: MetadataSource, _ frame: FrameEvidence) -> Seat? {
        let seat = seat(for: source, frame)
        let hasRoom = open.withLock { open in
            guard open.all < limit, open.byOwner[seat.owner] ?? 0 < settings.connectionsPerMachine,
                open.byWay[seat.way] ?? 0 < seat.way.limit, !seat.way.isRelay || open.relayed < min(Self.relayedConnectionLimit, limit / 2)
            else { return false }
            open.add(1, seat)
            return true
        }
        if !hasRoom { refusals.note("connections", source: source.description, mac: seat.mac, event: "metadata.refused") }
        return hasRoom ? seat : nil
    }

    func leave(_ seat: Seat) { open.withLock { $0.add(-1, seat) } }

    /// Whose requests are counted together.
    enum Bucket {
        case machine(MachineID)
        /// Behind a router, of whoever is there and has not shown that it is a machine.
        case address(IPv4Address)
    }

    /// Whether one more may be asked now.
    func mayAsk(_ owner: Bucket, now: Timestamp) -> Bool {
        buckets.withLock { buckets in
            switch owner {
            case .machine(let machine): return take(from: &buckets.machines[machine], now)
            case .address(let address):
                // As many hosts as this are a flood, from whose each address one may begin anew.
                if buckets.addresses.count >= Self.addressBucketLimit { buckets.addresses = [:] }
                return take(from: &buckets.addresses[address], now)
            }
        }
    }

    private func take(from bucket: inout TokenBucket?, _ now: Timestamp) -> Bool {
        let rate = settings.requestsPerSecond
        var taken = bucket ?? TokenBucket(perSecond: rate, burst: rate * 2, nowMilliseconds: now.milliseconds)
        defer { bucket = taken }
        return taken.take(nowMilliseconds: now.milliseconds)
    }

    func view(of asker: Asker, in snapshot: RackSnapshot) -> InstanceView? {
        guard let machine = snapshot.machines[asker.machine] else { return nil }
        return InstanceView(
            machine: machine, operation: snapshot.openOperation(of: machine), placement: network.placement(of: asker.address), address: asker.address,
            mac: asker.mac)
    }

    // MARK: What must be fetched first

    func secret(_ secret: MetadataAnswer.Secret, for asker: Asker) async -> MetadataReply {
        do {
            switch secret {
            case .userData:
                guard let bytes = try await control.userData(of: asker.machine, wantsProof: wantsProof) else { return .refusal(404) }
                return MetadataReply(200, bytes, type: "application/octet-stream")
            case .noCloudUserData:
                let bytes = try await control.userData(of: asker.machine, wantsProof: wantsProof)
                return MetadataReply(200, bytes ?? NoCloudSeed.emptyUserData, type: "application/octet-stream")
            case .vendorData:
                return MetadataReply(200, try await vendorData(for: asker) ?? NoCloudSeed.emptyUserData)
            case .openStackVendorData:
                return MetadataReply(200, OpenStackTree.vendorData(try await vendorData(for: asker)), type: "application/json")
            case .rawConfig(let nonce):
                return try await rawConfig(nonce, for: asker)
            }
        } catch let problem as Problem where problem.status == 403 {
            return refusal(unproved: asker, problem)
        } catch {
            counters.add("failed")
            return .refusal(503)
        }
    }

    /// The machine is who it says, and has not proved what it booted.
    private func refusal(unproved asker: Asker, _ problem: Problem) -> MetadataReply {
        refusals.note(
            problem.code, source: asker.address.description, mac: asker.seenMAC, event: "metadata.secret-refused", machine: asker.machine,
            evidence: asker.evidence.merging(["code": problem.code]) { first, _ in first })
        return .refusal(403)
    }

    private func vendorData(for asker: Asker) async throws -> [UInt8]? {
        try await control.vendorData(of: asker.machine, base: base, wantsProof: wantsProof)
    }

    private func rawConfig(_ nonce: String, for asker: Asker) async throws -> MetadataReply {
        do {
            guard
                let bytes = try await control.rawConfig(
                    nonce: nonce, of: asker.machine, mac: asker.mac, wantsProof: wantsProof)
            else { return .refusal(404) }
            return MetadataReply(200, bytes, type: "application/octet-stream")
        } catch let problem as Problem where BootNonces.refusals.contains(problem.code) {
            refusals.note(
                MetadataAnswer.Refusal.badNonce.rawValue, source: asker.address.description, mac: asker.seenMAC,
                event: "metadata.nonce-refused", machine: asker.machine,
                evidence: asker.evidence.merging(["code": problem.code]) { first, _ in first })
            return .refusal(403)
        }
    }

    /// Whether the machine may have an identity now is decided by the issuer, anew at each call; whether it may have one on
    /// this network, here.
    /// - Parameter showsKey: whether it was asked for with the system's own key.
    func identity(
        _ identity: MetadataAnswer.Identity, for asker: Asker, view: InstanceView, showsKey: Bool = false
    ) async -> MetadataReply {
        guard let tokens else { return .refusal(404) }
        do throws(Problem) {
            try control.requireTrust(of: asker.machine, wantsProof: wantsProof)
        } catch {
            return refusal(unproved: asker, error)
        }
        do {
            if showsKey { try await control.systemHasShownKey(asker.machine) }
            switch identity {
            case .signature, .pkcs7:
                let signed = try await tokens.sign(document: MetadataDesk.identityDocument(view), of: asker.machine)
                return MetadataReply(200, Array((identity == .signature ? signed.signature : signed.pkcs7).utf8))
            case .sshHostCertificates:
                let lines = try await tokens.sshHostCertificates(of: asker.machine)
                return MetadataReply(200, Array(lines.map { $0 + "\n" }.joined().utf8))
            case .token(let audience):
                guard let audience, !audience.isEmpty else { return .refusal(400) }
                let token = try await tokens.mint(machine: asker.machine, audience: audience, lifetime: nil)
                return MetadataReply(200, MetadataDesk.tokenDocument(token), type: "application/json")
            }
        } catch let problem as Problem {
            refusals.note(problem.code, source: asker.address.description, mac: asker.seenMAC, machine: asker.machine)
            return .refusal(problem.status)
        } catch {
            counters.add("failed")
            return .refusal(503)
        }
    }
}

extension Asker {
    /// The MAC address that the kernel has for it; behind a router none.
    var seenMAC: MACAddress? { isBehindRouter ? nil : mac }
    /// What an event says of it.
    var evidence: [String: String] { seenMAC.map { ["mac": $0.description] } ?? ["network": "behind a router"] }
}
