import API
import BootServices
import Control
import FoundationEssentials
import Hardware
import Identity
import Images
import Logging
import Model
import NIOPosix
import Store
import UnixSignals

/// `hostler serve`: the store, the control plane, what machines talk to and
/// what people talk to, put together.
struct ServerProgram {
    var stateDirectory: String
    var bootFiles: String
    var api: APIConfiguration
    var networks: [BootNetwork]
    /// From which BMCs are reached; nil: the program's own.
    var bmcNamespace: String?
    var identity: IdentitySettings
    var health = HealthPolicy()
    var consoles = ConsolePolicy()
    var discovery = DiscoveryLimits()
    var brake = BrakeLimits()
    var backup: BackupSettings?
    /// The file that the server was configured by.
    var configurationPath: String?
    /// The host's; tests set its wall clock.
    var clock = HostClock.system()
    var logger: Logger

    func run() async throws {
        let clock = clock
        let wallClock: @Sendable () -> Timestamp = { clock.read().wall }
        let database = try SQLiteStore(path: stateDirectory + "/hostler.db", logger: logger)
        let store = try await SealedStore.open(database, keyFile: KeyFile(stateDirectory + "/seal.key"), logger: logger)
        let images = try ImageStore(path: stateDirectory + "/images")
        var environment = ControlEnvironment(
            clock: clock, logger: logger, attestedNetworks: networks.flatMap(\.attestedPrefixes),
            endorsementRoots: try identity.endorsementRoots(), bringsHostCertificates: identity.hostCertificates,
            consoleDirectory: stateDirectory + "/consoles")
        environment.discovery = discovery
        environment.brake = brake
        let control = try await ControlPlane.open(
            store: store, images: ImageStoreCatalog(store: images), environment: environment,
            restoreEpoch: try await Self.restoreEpoch(database))
        let tokens = TokenStore(store: store, local: LocalTokens(stateDirectory: stateDirectory), now: wallClock)
        if let error = try await tokens.takeLocal() {
            logger.error("tokens that were left for the server wait on", metadata: ["error": "\(error)", "remedy": "\(error.remedy)"])
        }
        // Before anything listens: whatever else fails, root can ask the record.
        let login = AdminLogin(stateDirectory: stateDirectory, api: api, logger: logger)
        try await keep(login, tokens, port: api.port)
        let issuer = try await IdentityWiring.open(
            identity, control: control, store: store, stateDirectory: stateDirectory, logger: logger)

        let bmcs = try await openBMCs(control)
        let lossWarnings = try await tell(try await database.untoldLoss(), control)

        let services = networks.map {
            MachineServices(
                network: $0, control: control, store: store,
                files: BootFilePaths(boot: bootFiles, blobs: images.path + "/blobs/sha256"), tokens: issuer, networks: networks.count, logger: logger)
        }
        let backups = backup.map { settings in
            ScheduledBackups(
                settings,
                .init(
                    stateDirectory: stateDirectory, configuration: configurationPath,
                    write: { path in _ = try await database.backup(to: path, atMilliseconds: wallClock().milliseconds) },
                    record: { kind, message, evidence in
                        try await control.recordEvent(kind: kind, actor: "backup", message: message, evidence: evidence)
                    }, now: wallClock, logger: logger))
        }
        let surroundings = APISurroundings(
            version: Hostler.version, backupDirectory: stateDirectory,
            backup: { path in _ = try await database.backup(to: path, atMilliseconds: wallClock().milliseconds) },
            machineNamespace: networks.first?.namespace,
            warnings: {
                services.flatMap(Self.warnings) + control.interfaceWarnings + bmcs.bindingWarnings + control.clockWarnings + lossWarnings
                    + (backups?.warnings ?? []) + images.damageWarnings
            },
            counters: { Dictionary(services.map { ($0.network.name, $0.counters) }) { first, _ in first } },
            backups: { backups?.vitals })
        let server = APIServer(
            configuration: api, control: control, images: images, tokens: tokens, identity: issuer, surroundings: surroundings,
            bmcs: bmcs, consoles: bmcs,
            eventLoopGroup: MultiThreadedEventLoopGroup.singleton, logger: logger,
            onRunning: { port in
                if port != api.port { try? await keep(login, tokens, port: port) }
                logger.notice("the API listens", metadata: ["address": "\(api.address)", "port": "\(port)"])
            })

        do {
            try await serve(control, store, issuer, bmcs, services, server, backups)
        } catch {
            try? await store.close()
            throw error
        }
        try await store.close()
    }

    /// Until one of the parts ends, or a signal comes.
    private func serve(
        _ control: ControlPlane, _ store: SealedStore, _ issuer: IdentityService?, _ bmcs: BMCDesk, _ services: [MachineServices],
        _ server: APIServer, _ backups: ScheduledBackups?
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await control.run() }
            group.addTask { try await compactDaily(store) }
            if let issuer { group.addTask { try await issuer.run() } }
            group.addTask { try await bmcs.run() }
            for service in services { group.addTask { try await service.run() } }
            if let backups { group.addTask { try await backups.run() } }
            group.addTask { try await server.run() }
            group.addTask {
                for await signal in await UnixSignalsSequence(trapping: .sigterm, .sigint) {
                    logger.notice("ending", metadata: ["signal": "\(signal)"])
                    return
                }
            }
            // Whatever ends first ends the program.
            try await group.next()
            group.cancelAll()
        }
    }

    private func openBMCs(_ control: ControlPlane) async throws -> BMCDesk {
        var ways = BMCWays()
        if let bmcNamespace {
            let group = try await NamespaceThreads.group(namespace: bmcNamespace, threads: 1)
            ways.network = BMCNetwork(group: group, namespace: bmcNamespace)
        }
        var settings = BMCDesk.Settings()
        let networks = networks
        let hasProgram = FileManager.default.fileExists(atPath: bootFiles + "/ipxe.efi")
        settings.health = health
        settings.consoles = consoles
        settings.bootURI = { machine in
            // Where it was last seen; a machine that was not seen yet can only be on the one network that there is.
            let own = machine.observed.address.flatMap { address in networks.first { $0.address.contains(address) } }
            guard hasProgram, let network = own ?? (networks.count == 1 ? networks.first : nil) else { return nil }
            return "\(network.baseURL)/boot/ipxe.efi"
        }
        return try await BMCDesk.open(
            control: control, vault: Vault(keyFile: stateDirectory + "/vault.key"), ways: ways, settings: settings)
    }

    /// Counts the restores from a backup; 0 for a store that never was.
    private static func restoreEpoch(_ store: SQLiteStore) async throws -> Int {
        let epoch = try await store.storeEpoch()
        return epoch.restoredAtMilliseconds == nil ? 0 : epoch.epoch
    }

    /// Says that the database had lost what was acknowledged.
    private func tell(_ loss: RevisionLoss?, _ control: ControlPlane) async throws -> [Problem] {
        guard let loss else { return [] }
        let problem = Problem(
            "revisions-lost", status: 500,
            title: "\(loss.count) acknowledged changes are not in the database any more: revisions \(loss.first) to \(loss.last)",
            detail: "The database is older than what was said to be done: its file, or its write-ahead log, was damaged or replaced.",
            remedy: "What was under way is ended, as after a restore. Look at what was done last, and look after the disk.")
        do {
            try await control.recordLoss(loss, message: problem.title)
        } catch let error as StoreError where error.isOfTheDisk {
            // The next start tells it again.
            logger.error("an event could not be kept", metadata: ["event": "store.revisions-lost", "error": "\(error)"])
        }
        return [problem]
    }

    /// Keeps the history that watchers resume from to what a day writes.
    private func compactDaily(_ store: SealedStore) async throws {
        var yesterday = try await store.currentRevision()
        while !Task.isCancelled {
            try await Task.sleep(for: .seconds(86_400))
            do {
                try await store.compact(before: yesterday)
                yesterday = try await store.currentRevision()
            } catch StoreError.closed {
                return
            } catch {
                // History that is kept longer costs room, not work.
                logger.error("the store's history could not be compacted; tried again tomorrow", metadata: ["error": "\(error)"])
            }
        }
    }

    private static func warnings(_ services: MachineServices) -> [Problem] {
        services.dhcp.foreignServers.sorted { $0.key < $1.key }.map { server, last in
            Problem(
                "foreign-dhcp-server", title: "Another DHCP server, \(server), answers on \(services.network.interface)",
                detail: "Last heard \(last).", remedy: "Switch it off on that wire, or set the network's mode to proxy.")
        }
    }

    /// A login that cannot be written, as on a full disk, is no reason for machines not to boot.
    private func keep(_ login: AdminLogin, _ tokens: TokenStore, port: Int) async throws {
        do {
            try await login.keep(tokens, port: port)
        } catch StoreError.closed {
            throw StoreError.closed
        } catch {
            logger.error("the admin's login could not be written to \(login.path)", metadata: ["error": "\(error)"])
        }
    }
}
