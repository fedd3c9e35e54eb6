import API
import BootServices
import Control
import FoundationEssentials
import Hardware
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
    var logger: Logger

    static func wallClock() -> Timestamp {
        Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000))
    }

    func run() async throws {
        let database = try SQLiteStore(path: stateDirectory + "/hostler.db", logger: logger)
        let store = try await SealedStore.open(database, keyFile: KeyFile(stateDirectory + "/seal.key"), logger: logger)
        let images = try ImageStore(path: stateDirectory + "/images")
        var environment = ControlEnvironment(
            now: Self.wallClock, logger: logger, attestedNetworks: networks.flatMap(\.attestedPrefixes),
            endorsementRoots: try identity.endorsementRoots(), bringsHostCertificates: identity.hostCertificates,
            consoleDirectory: stateDirectory + "/consoles")
        environment.discovery = discovery
        environment.brake = brake
        let control = try await ControlPlane.open(
            store: store, images: ImageStoreCatalog(store: images), environment: environment,
            restoreEpoch: try await Self.restoreEpoch(database))
        let tokens = TokenStore(store: store)
        let madeToken = try await tokens.ensureAdmin()
        let issuer = try await IdentityWiring.open(
            identity, control: control, store: store, stateDirectory: stateDirectory, logger: logger)

        let bmcs = try await openBMCs(control)

        let services = networks.map {
            MachineServices(
                network: $0, control: control, store: store,
                files: BootFilePaths(boot: bootFiles, blobs: images.path + "/blobs/sha256"), tokens: issuer, networks: networks.count, logger: logger)
        }
        let surroundings = APISurroundings(
            version: Hostler.version, backupDirectory: stateDirectory,
            backup: { path in _ = try await database.backup(to: path, atMilliseconds: Self.wallClock().milliseconds) },
            machineNamespace: networks.first?.namespace,
            warnings: { services.flatMap(Self.warnings) + control.interfaceWarnings },
            counters: { Dictionary(services.map { ($0.network.name, $0.counters) }) { first, _ in first } })
        let server = APIServer(
            configuration: api, control: control, images: images, tokens: tokens, identity: issuer, surroundings: surroundings,
            bmcs: bmcs, consoles: bmcs,
            eventLoopGroup: MultiThreadedEventLoopGroup.singleton, logger: logger,
            onRunning: { port in
                if let madeToken { self.announce(madeToken, port: port) }
                logger.notice("the API listens", metadata: ["address": "\(api.address)", "port": "\(port)"])
            })

        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await control.run() }
            group.addTask { try await compactDaily(store) }
            if let issuer { group.addTask { try await issuer.run() } }
            group.addTask { try await bmcs.run() }
            for service in services { group.addTask { try await service.run() } }
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
        try await store.close()
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

    /// The first start: the admin's token goes to a file that only root reads, for the command line on this machine.
    private func announce(_ token: String, port: Int) {
        let scheme = if case .off = api.tls { "http" } else { "https" }
        let host = api.address == "0.0.0.0" ? "127.0.0.1" : api.address
        var login = ["server": "\(scheme)://\(host):\(port)", "token": token]
        if case .generated(let directory) = api.tls,
            let pem = FileManager.default.contents(atPath: directory + "/ca.pem")
        {
            login["ca"] = String(decoding: pem, as: UTF8.self)
        }
        let path = stateDirectory + "/admin.json"
        do {
            let data = try JSONEncoder().encode(login)
            try PrivateFile.write(Array(data), to: path)
            logger.notice("first start: the admin's login is in \(path); on this machine, as root, `hostler` uses it by itself")
        } catch {
            logger.error("the admin's login could not be written to \(path): \(error)")
        }
    }
}
