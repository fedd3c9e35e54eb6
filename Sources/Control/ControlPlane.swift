internal import FoundationEssentials
public import Attestation
public import Logging
public import Model
public import Store
internal import Synchronization
public import Metadata
public import Wire

/// What the control plane takes from outside itself.
public struct ControlEnvironment: Sendable {
    public var clock: HostClock
    public var logger: Logger
    /// Networks on which images, seeds and identities are for machines only whose TPM proved what they booted.
    public var attestedNetworks: [IPv4Prefix]

    /// Whom to believe about TPMs; nil: the first TPM that a machine shows.
    public var endorsementRoots: EndorsementRoots?

    /// Whether installed systems get what fetches their SSH host certificates.
    public var bringsHostCertificates: Bool

    /// The folder in which serial consoles are recorded; nil: in memory only.
    public var consoleDirectory: String?

    /// How many machines may come into the record by themselves.
    public var discovery = DiscoveryLimits()

    /// How much may be wiped, installed or switched off before somebody is asked again; nil: there are no limits.
    public var brake: BrakeLimits?

    /// How long the host has been up: what the brake counts hours by.
    public var uptime: @Sendable () -> HostUptime = HostUptime.ofHost

    /// - Parameter now: a wall clock that is never set; see ``HostClock/init(wall:)``.
    public init(
        now: @escaping @Sendable () -> Timestamp, logger: Logger, attestedNetworks: [IPv4Prefix] = [],
        endorsementRoots: EndorsementRoots? = nil, bringsHostCertificates: Bool = false, consoleDirectory: String? = nil
    ) {
        self.init(
            clock: HostClock(wall: now), logger: logger, attestedNetworks: attestedNetworks, endorsementRoots: endorsementRoots,
            bringsHostCertificates: bringsHostCertificates, consoleDirectory: consoleDirectory)
    }

    public init(
        clock: HostClock, logger: Logger, attestedNetworks: [IPv4Prefix] = [], endorsementRoots: EndorsementRoots? = nil,
        bringsHostCertificates: Bool = false, consoleDirectory: String? = nil
    ) {
        self.clock = clock
        self.logger = logger
        self.attestedNetworks = attestedNetworks
        self.endorsementRoots = endorsementRoots
        self.bringsHostCertificates = bringsHostCertificates
        self.consoleDirectory = consoleDirectory
    }
}

/// The rack's record and what is done to it: machines, operations, events.
///
/// Every change is one transaction of the store with compare-and-swap on what
/// it was computed from, so any number of callers may act at once, and a kill
/// at any point leaves either all of a change or none.
public final class ControlPlane: Sendable {
    public let records: Records
    public let nonces: BootNonces
    /// The tokens and keys of the metadata service.
    public let metadataSessions: MetadataSessions
    let markers: InstallMarkers
    let environment: ControlEnvironment
    let images: any ImageCatalog
    let snapshots = SnapshotHolder()
    let logs = AgentLogs()
    let consoles: MachineConsoles
    let eventIDs: EventIDs
    let clock: RackClock
    /// When the clock's mark was renewed, in steady time.
    let markedAt = Mutex<Timestamp?>(nil)
    /// Used up by jumps of the clock that were recorded.
    let jumps = Allowances<Int>(limit: 1)
    let seeds = SeedCache()
    /// When the agents asked for work last.
    let agentPolls = Mutex<[MachineID: Timestamp]>([:])
    /// When it was last noted that a machine's BIOS does not show its system.
    let missingSystems = Mutex<[MachineID: Timestamp]>([:])
    /// The newest restore from a backup that was settled, and when.
    private let restored = Mutex<(epoch: Int, at: Timestamp?)>((0, nil))
    /// Used up by machines that come into the record by themselves.
    let discoveries = Allowances<Int>(limit: 1)
    /// Machines that are being switched off now.
    let powerOffs = Mutex(0)
    /// Images that installations begin with now, or that are being removed.
    let imageLocks = ImageLocks()
    /// When the boots that are under way were seen.
    public let bootTraces = BootTraces()
    let inspectionTries = InspectionTries()

    private init(
        records: Records, images: any ImageCatalog, environment: ControlEnvironment, clock: RackClock, eventIDs: EventIDs,
        secret: [UInt8], markerSecret: [UInt8]
    ) {
        self.clock = clock
        self.eventIDs = eventIDs
        markers = InstallMarkers(secret: markerSecret)
        self.records = records
        self.images = images
        self.environment = environment
        consoles = MachineConsoles(directory: environment.consoleDirectory)
        nonces = BootNonces(secret: secret)
        metadataSessions = Self.metadataSessions(secret: secret)
    }

    /// Opens the record: makes the session secret at the first start and after a restore,
    /// loads the snapshot, and closes what a restored backup left open.
    public static func open(
        store: any StateStore, images: any ImageCatalog, environment: ControlEnvironment, restoreEpoch: Int = 0
    ) async throws -> ControlPlane {
        let records = Records(store: store)
        try await KeyMigration(records: records).run()
        // Whatever was made with the session secret of a backup is void, whoever has the backup.
        let isRestored = try await settledEpoch(store) < restoreEpoch
        let control = ControlPlane(
            records: records, images: images, environment: environment, clock: try await openClock(store, environment),
            eventIDs: EventIDs(after: try await records.newestEventID()),
            secret: try await StoredSecret.session.open(in: store, fresh: isRestored, damaged: records.damaged),
            markerSecret: try await StoredSecret.markers.open(in: store, damaged: records.damaged))
        try await control.loadSnapshot()
        try await control.settleLostOperations()
        try await control.settleRestoredStore(epoch: restoreEpoch)
        try await whereThereIsRoom("what the clock did", environment) { try await control.settleClock() }
        try await whereThereIsRoom("that secrets are not needed any more", environment) { try await control.sweepSecrets() }
        try await whereThereIsRoom("the brake's ledger", environment) { try await control.settleBrake() }
        try await control.recallUnprovedSystems()
        try await control.recallTakenDisks()
        // Nothing follows the store yet, and the first boot may ask at once. Most starts have changed nothing.
        if try await store.currentRevision() != control.snapshot.revision { try await control.loadSnapshot() }
        control.snapshots.setFollowed(true)
        return control
    }

    /// Keeps the snapshot current and moves operations whose time has come. Runs until cancelled,
    /// once: what waits for the snapshot waits for this.
    public func run() async throws {
        defer { snapshots.setFollowed(false) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.followStore() }
            group.addTask { try await self.keepDeadlines() }
            group.addTask { try await self.forgetNonces() }
            group.addTask { try await self.forgetDiscovered() }
            try await group.next()
            group.cancelAll()
        }
    }

    /// When the record came from a backup; nil: it never did.
    var restoredAt: Timestamp? { restored.withLock { $0.at } }
    /// Counts the restores from a backup that were settled.
    var restoreEpoch: Int { restored.withLock { $0.epoch } }
    /// What the machine-facing services answer from.
    public var snapshot: RackSnapshot { snapshots.current }

    // MARK: Snapshot

    private func loadSnapshot() async throws {
        // Listing first and watching from the older of the two revisions misses nothing: applying twice is harmless.
        let revision = try await records.store.currentRevision()
        let machines = try await records.all(Machine.self).map(\.value)
        let operations = try await records.all(Model.Operation.self).map(\.value)
        var damaged: [DamagedMachine] = []
        for entry in records.damaged.all where entry.folder == Machine.prefix {
            guard let id = MachineID(rawValue: entry.name), let stored = try await records.store.get(entry.key) else { continue }
            damaged.append(DamagedMachine(id: id, in: stored))
        }
        snapshots.load(machines, operations, damaged: damaged, freeze: try await storedFreeze(), at: revision)
    }

    func followStore() async throws {
        while !Task.isCancelled {
            do {
                let batches = try await records.store.watch(prefix: RackKeys.prefix, after: snapshots.current.revision)
                for try await batch in batches { snapshots.apply(batch, records) }
            } catch let error as StoreError where error == .closed {
                throw error
            } catch is CancellationError {
                return
            } catch {
                environment.logger.error("the store's watch ended; the snapshot is loaded anew", metadata: ["error": "\(error)"])
                try await loadSnapshot()
            }
        }
    }

    // MARK: First start, restored backups

    private static let settledEpochKey = "/control/settled-epoch"

    /// The newest restore that was settled.
    private static func settledEpoch(_ store: any StateStore) async throws -> Int {
        try await store.get(settledEpochKey).flatMap { Int(String(decoding: $0.value, as: UTF8.self)) } ?? 0
    }

    /// A store that came from a backup knows nothing of what was done since:
    /// its open operations are ended, so that none reinstalls a machine that runs by now.
    private func settleRestoredStore(epoch: Int) async throws {
        let atKey = "/control/restored-at"
        if let stored = try await records.store.get(atKey), let milliseconds = Int64(String(decoding: stored.value, as: UTF8.self)) {
            let settled = try await Self.settledEpoch(records.store)
            restored.withLock { $0 = (settled, Timestamp(milliseconds: milliseconds)) }
        }
        guard try await Self.settledEpoch(records.store) < epoch else { return }
        for machine in snapshot.machines.values where machine.openOperation != nil {
            do {
                try await change(machine.id) { transition, now in transition.storeWasRestored(now) }
            } catch let problem as Problem where problem.code == "record-damaged" {
                // It stays as it is, and the gate does nothing with it.
                environment.logger.error("an operation that the restore ends cannot be read", metadata: ["machine": "\(machine.id)"])
            }
        }
        let now = now
        try await records.store.commit([
            .put(key: Self.settledEpochKey, value: Array(String(epoch).utf8), if: .none),
            .put(key: atKey, value: Array(String(now.milliseconds).utf8), if: .none),
        ])
        restored.withLock { $0 = (epoch, now) }
        let isLoss = try await records.store.get(RevisionLoss.key) != nil
        try await recordEvent(
            kind: "store.restored", actor: "control",
            message: isLoss
                ? "What was under way is ended: the store had lost changes (epoch \(epoch))" : "The store was restored from a backup (epoch \(epoch))"
        )
    }
}
