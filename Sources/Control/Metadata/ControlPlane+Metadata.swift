internal import Crypto
internal import FoundationEssentials
internal import Metadata
public import Model
public import Store
public import Wire

/// A machine's user-data between `machine set` and its reading; apart from the machine's record because it may hold secrets.
struct StoredUserData: Codable, Sendable {
    var userData: Base64Bytes

    static let prefix = "/secrets/user-data/"
    static func key(_ machine: MachineID) -> String { prefix + machine.rawValue }
}

// What the metadata service asks of the control plane.
extension ControlPlane {
    /// Whether a snapshot that is held is still the newest; holding one makes the next change copy it.
    public var snapshotRevision: Revision { snapshots.revision }

    /// Calls `observer` with the machines that changed (nil: any may have), after each change.
    public func observeMachines(_ observer: @escaping @Sendable (Set<MachineID>?) -> Void) -> Int {
        snapshots.observeMachines { changed, _ in observer(changed) }
    }

    public func stopObserving(_ id: Int) { snapshots.stop(observing: id) }

    /// The user-data of a machine that proved to be itself. Nil: there is none, or none that may be read any more.
    ///
    /// What may be read once is marked as read before it is given: a crash in between loses it, and never gives it twice.
    /// Throws a ``Problem`` with status 403 where the network of the machine, or (`wantsProof`) the one that it asks on,
    /// gives secrets to attested machines only, and this one is none.
    public func userData(of id: MachineID, wantsProof: Bool) async throws -> [UInt8]? {
        guard let machine = snapshot.machines[id] else { return nil }
        try requireTrust(in: machine, wantsProof: wantsProof)
        if let operation = snapshot.openOperation(of: machine), operation.kind == .install {
            return try await seedUserData(of: operation.id)
        }
        for _ in 0..<Self.conflictLimit {
            guard let found = try await records.get(Machine.self, id: id.rawValue), var reference = found.value.desired.userData,
                reference.isReadable(provedAt: found.value.installed?.installedAt, isInstalling: false),
                let stored = try await storedUserData(of: id)
            else { return nil }
            guard reference.access == .once else { return stored }
            reference.readAt = now
            var machine = found.value
            machine.desired.userData = reference
            let read = OperationTransition.Happening(
                kind: "machine.user-data-read", actor: "metadata", message: "\(machine.name) has read its user-data, which may be read once")
            let revision = try await records.store.commitUnlessConflict([
                try machine.put(.revision(found.revision)), .delete(key: StoredUserData.key(id), if: .none),
                try event(read, machine: id, operation: nil).put(.absent),
            ])
            guard let revision else { continue }
            await snapshots.reached(revision)
            return stored
        }
        throw Self.tooManyConflicts
    }

    func storedUserData(of id: MachineID) async throws -> [UInt8]? {
        guard let stored = try await records.store.get(StoredUserData.key(id)) else { return nil }
        return try InstallAdmission.decode(userData: RecordCoding.decode(StoredUserData.self, from: stored).userData)
    }

    private func seedUserData(of operation: OperationID) async throws -> [UInt8]? {
        for _ in 0..<Self.conflictLimit {
            guard let stored = try await records.store.get(SeedSecrets.key(operation)) else { return nil }
            var secrets = try RecordCoding.decode(SeedSecrets.self, from: stored)
            guard let text = secrets.userData else { return nil }
            let bytes = try InstallAdmission.decode(userData: text)
            guard secrets.access == .once else { return bytes }
            guard secrets.readAt == nil else { return nil }
            secrets.readAt = now
            let mutation = Mutation.put(
                key: stored.key, value: try RecordCoding.encode(secrets), if: .revision(stored.modifiedRevision))
            if try await records.store.commitUnlessConflict([mutation]) != nil { return bytes }
        }
        throw Self.tooManyConflicts
    }

    /// What Hostler itself adds to a system's first boot while it is being installed: its call home at `base`. Nil afterwards.
    /// Asks for attestation as ``userData(of:wantsProof:)`` does.
    public func vendorData(of id: MachineID, base: String, wantsProof: Bool) async throws -> [UInt8]? {
        guard let machine = snapshot.machines[id] else { return nil }
        try requireTrust(in: machine, wantsProof: wantsProof)
        guard let operation = snapshot.openOperation(of: machine), case .install(let request) = operation.request,
            let stored = try await records.store.get(SeedSecrets.key(operation.id))
        else { return nil }
        let secrets = try RecordCoding.decode(SeedSecrets.self, from: stored)
        let callHome = "\(base)/call-home/\(operation.id)/\(secrets.proof)"
        let label = environment.bringsHostCertificates ? SeedVolume.label(request.dataSource) : nil
        let delivery = CallHomeDelivery(operation: operation.id, key: markers.callHomeKey(of: operation), base: base)
        return Array(SeedVolume.vendorData(callHome, delivery, certificatesFrom: label).utf8)
    }

    /// The URL at which a system's raw configuration (Ignition, Talos) is read once, within minutes, by this MAC address.
    public func rawConfigURL(for mac: MACAddress) -> String {
        "http://169.254.169.254/hostler/v1/config/\(nonces.make(for: mac, purpose: .config, now: steady))"
    }

    /// Spends a configuration's nonce and gives what it is good for. Asks for attestation as
    /// ``userData(of:wantsProof:)`` does, before the nonce is spent.
    public func rawConfig(
        nonce: String, of machine: MachineID, mac: MACAddress, wantsProof: Bool
    ) async throws -> [UInt8]? {
        let (name, expires) = try nonces.check(nonce, mac: mac, purpose: .config, now: steady)
        try requireTrust(of: machine, wantsProof: wantsProof)
        var generator = SystemRandomNumberGenerator()
        // Every reading is one of its own: a second one is refused, whoever it is.
        try await spend(name, boot: "config-\(String(generator.next(), radix: 16))", expires: expires)
        return try await userData(of: machine, wantsProof: wantsProof)
    }

    static func metadataSessions(secret: [UInt8]) -> MetadataSessions {
        // A key of its own: nothing that a nonce's tag says can be taken for a token's.
        let derived = HMAC<SHA256>.authenticationCode(for: Array("metadata".utf8), using: SymmetricKey(data: secret))
        let key = SymmetricKey(data: derived)
        return MetadataSessions(
            code: { Array(HMAC<SHA256>.authenticationCode(for: $0, using: key)) }, digest: { Array(SHA256.hash(data: $0)) })
    }
}
