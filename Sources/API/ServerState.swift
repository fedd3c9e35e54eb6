internal import Control
internal import Identity
public import Model
internal import Store

/// What the routes work with.
struct ServerState: Sendable {
    var control: any MachineControl
    var images: ImageLibrary
    var tokens: TokenStore
    var failedAttempts = FailedAttempts()
    let changes = EncodedChanges()
    let refusals = RefusalNotes()
    var surroundings: APISurroundings
    /// Nil: this server speaks to no BMCs.
    var bmcs: (any BMCControl)?
    /// Nil: this server holds no serial consoles.
    var consoles: (any ConsoleControl)?
    var startedAt: Timestamp
    /// The same moment for measuring: a wall clock may be set.
    var began = ContinuousClock.now
    /// Nil where the issuer could not start; the log says why.
    var identity: IdentityService?
    /// Our CA's certificate in PEM, where TLS is ours.
    var authorityPEM: String?
    var connections = ConnectionCount(ConnectionLimits())
    /// What may wait for a watcher.
    var watchBuffer: WatchBuffer = .remote

    var records: Records { control.records }

    /// What an operator should know.
    func warnings() async -> [Problem] { await surroundings.warnings() + records.damaged.warnings }

    func showing(authorityPEM: String?) -> Self {
        var copy = self
        copy.authorityPEM = authorityPEM
        return copy
    }
}

/// What the API tells of the program that it runs in.
public struct APISurroundings: Sendable {
    public var version: String
    /// Where a backup is put together before it is sent.
    public var backupDirectory: String
    /// Writes a consistent copy of the state to a path that does not exist yet; nil: this store has none.
    public var backup: (@Sendable (_ path: String) async throws -> Void)?
    /// The network namespace that the machines' network is in; nil: the server's own.
    public var machineNamespace: String?
    /// What an operator should know, as another DHCP server on the wire.
    public var warnings: @Sendable () async -> [Problem]
    /// What the services for machines count: by network, service and counter.
    public var counters: @Sendable () async -> [String: [String: [String: Int]]]
    /// What is known of the backups that the server takes by itself; nil: it takes none.
    public var backups: @Sendable () async -> BackupVitals?

    public init(
        version: String, backupDirectory: String = "/tmp",
        backup: (@Sendable (_ path: String) async throws -> Void)? = nil, machineNamespace: String? = nil,
        warnings: @escaping @Sendable () async -> [Problem] = { [] },
        counters: @escaping @Sendable () async -> [String: [String: [String: Int]]] = { [:] },
        backups: @escaping @Sendable () async -> BackupVitals? = { nil }
    ) {
        self.version = version
        self.backupDirectory = backupDirectory
        self.backup = backup
        self.machineNamespace = machineNamespace
        self.warnings = warnings
        self.counters = counters
        self.backups = backups
    }
}
