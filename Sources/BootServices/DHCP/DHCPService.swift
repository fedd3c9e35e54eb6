public import Control
public import Logging
public import Model
public import NIOCore
internal import NetBoot
internal import Sockets
public import Store
internal import Synchronization
public import Wire

/// DHCPv4 on one interface: a socket, the pure ``DHCPNetworks``, and the store
/// that a lease is in before it is acknowledged.
public final class DHCPService: Sendable {
    public let counters = Counters()
    /// Other DHCP servers heard on the wire, by address, and when last.
    public var foreignServers: [IPv4Address: Timestamp] { foreign.known(at: control.steady).mapValues(control.wall) }
    let foreign = ForeignServers()
    private let missingFiles = Mutex<Set<String>>([])
    /// Kept current with what is granted and given back.
    let leases = LeaseTable()
    let routers: RouterPorts

    let network: BootNetwork
    let control: ControlPlane
    let store: any StateStore
    let logger: Logger
    private let bootFolder: BootFolder
    let refusals: RefusalLog
    let queueLimits: LeaseQueue<LeaseChange>.Limits

    /// - Parameter bootFolder: where the boot files are; of those that are not there none is offered.
    public convenience init(
        network: BootNetwork, control: ControlPlane, store: any StateStore, bootFolder: String, logger: Logger
    ) {
        self.init(network: network, control: control, store: store, bootFolder: bootFolder, refusals: nil, logger: logger)
    }

    /// - Parameter refusals: where its refusals go; who runs the service runs it too.
    init(
        network: BootNetwork, control: ControlPlane, store: any StateStore, bootFolder: String, refusals: RefusalBook?,
        queueLimits: LeaseQueue<LeaseChange>.Limits = .init(), logger: Logger
    ) {
        let book = refusals ?? RefusalBook(interface: network.interface, control: control, logger: logger)
        self.refusals = RefusalLog(service: "dhcp", book: book, counters: counters)
        self.queueLimits = queueLimits
        self.network = network
        routers = RouterPorts(network: network)
        self.bootFolder = BootFolder(path: bootFolder)
        self.control = control
        self.store = store
        self.logger = logger
    }

    /// Whether firmware that is sent to this boot file would find it. Of one that is missing the log tells once.
    func has(bootFile name: String) -> Bool {
        if bootFolder.has(name) { return true }
        counters.add("boot-file-missing")
        if missingFiles.withLock({ $0.insert(name).inserted }) {
            logger.warning(
                "machines ask for a boot file that is not there; they are offered none",
                metadata: ["file": "\(name)", "folder": "\(bootFolder.path)"])
        }
        return false
    }

    /// Where the leases of this network are kept.
    var leasePrefix: String { "/leases/\(network.name)/" }

    /// Loads the leases and listens. The channels close when the group shuts down or they are closed.
    public func start(on group: any EventLoopGroup) async throws -> [any Channel] {
        let server = try DHCPNetworks(
            local: network.dhcpConfiguration, remote: network.remoteConfigurations, leases: try await loadLeases()
        ) { [self] in isKnown($0) }
        for lease in server.leases { leases.set(lease) }
        let now = control.steady.milliseconds
        let live = server.leases.count { $0.state == .bound && $0.expiresMilliseconds > now }
        if network.policy == .watch, network.mode == .server, live > 0 {
            logger.warning(
                "this network only watches: leases that were given before are not renewed, and their machines lose their addresses",
                metadata: ["network": "\(network.name)", "leases": "\(live)"])
        }
        try await routers.load(from: store)
        // Both ports on one loop: they share the pool without a lock.
        let loop = group.next()
        let engine = try await loop.submit { [self] in
            let frames = DHCPFrames(interface: network.interface)
            if frames == nil {
                logger.warning(
                    "frames cannot be looked at (CAP_NET_RAW): who ends a lease, and who is a relay, is believed by IP headers")
            }
            return DHCPEngine(server: server, service: self, frames: frames)
        }.get()
        var channels = [try await bind(port: 67, on: loop, engine: engine)]
        if network.mode == .proxy { channels.append(try await bind(port: 4011, on: loop, engine: engine)) }
        return channels
    }

    private func bind(port: Int, on loop: any EventLoop, engine: DHCPEngine) async throws -> any Channel {
        do {
            return try await InterfaceSocket.bind(port: port, interface: network.interface, on: loop) {
                try $0.pipeline.syncOperations.addHandler(DHCPHandler(engine: engine, port: UInt16(port)))
            }
        } catch let error as BootServiceError {
            throw error
        } catch {
            throw BootServiceError.bind(service: "DHCP", interface: network.interface, port: port, cause: "\(error)")
        }
    }

    /// Asks the wire every few minutes which other servers answer on it. Runs until cancelled.
    ///
    /// Beside another server, as a proxy, there is nothing to ask: that one is meant.
    func probeForOthers(
        on group: any EventLoopGroup, every interval: Duration = .seconds(300), for time: Duration = DHCPProbe.usualTime
    ) async {
        guard network.mode == .server else { return }
        while !Task.isCancelled {
            do {
                let probe = DHCPProbe(interface: network.interface, ownAddress: network.address.address)
                counters.add("probes")
                for answer in try await probe.run(on: group, for: time) { await note(foreign: answer.server) }
                try await Task.sleep(for: interval)
            } catch is CancellationError {
                return
            } catch {
                logger.info("the wire cannot be asked for other DHCP servers", metadata: ["error": "\(error)"])
                try? await Task.sleep(for: interval)
            }
        }
    }

    /// Counts another server that gives addresses where this one does, and says so once.
    func note(foreign other: IPv4Address) async {
        counters.add("foreign-server")
        guard foreign.hear(other, at: control.steady) else { return }
        let interface = network.interface
        logger.warning(
            "another DHCP server answers on this wire", metadata: ["server": "\(other)", "interface": "\(interface)"])
        do {
            try await control.recordEvent(
                kind: "network.foreign-dhcp-server", actor: "dhcp",
                message:
                    "another DHCP server, \(other), answers on \(interface): machines may take its addresses and boot files; switch it off there, or use proxy mode",
                evidence: ["server": other.description])
        } catch {
            logger.error("an event could not be kept", metadata: ["event": "network.foreign-dhcp-server", "error": "\(error)"])
        }
    }

    /// Whether a MAC address is a known machine's.
    func isKnown(_ mac: MACAddress) -> Bool { control.snapshot.isKnown(mac) }

    /// Each address once.
    func commit(_ changes: [LeaseChange]) async throws {
        _ = try await store.commit(
            changes.map { change in
                let key = leasePrefix + change.address.description
                switch change {
                case .put(let lease): return .put(key: key, value: try RecordCoding.encode(lease), if: .none)
                case .delete: return .delete(key: key, if: .none)
                }
            })
    }

    private func loadLeases() async throws -> [DHCPLease] {
        var leases: [DHCPLease] = []
        var after: String?
        repeat {
            let page = try await store.list(prefix: leasePrefix, after: after, limit: 1000)
            leases += page.values.compactMap(readable)
            after = page.nextKey
        } while after != nil
        return leases
    }
}

extension DHCPService {
    /// How long an address whose lease cannot be read is given to nobody: as long as a lease may be, since it may be in use.
    private static let doubtful = Duration.seconds(86_400)

    /// A lease; where its record cannot be read, one that keeps its address from others for a day.
    private func readable(_ stored: StoredValue) -> DHCPLease? {
        let name = String(stored.key.dropFirst(leasePrefix.count))
        if let lease = try? RecordCoding.decode(DHCPLease.self, from: stored.value), lease.address.description == name { return lease }
        store.damaged?.note(stored.key, stored.modifiedRevision, "it is no lease of \(name)")
        logger.error("a lease cannot be read; its address is given to nobody for a day", metadata: ["key": "\(stored.key)"])
        guard let address = IPv4Address(name) else { return nil }
        let now = control.steady
        return DHCPLease(
            address: address, client: .identifier(Array("damaged \(name)".utf8)), mac: MACAddress(value: 0), grantedMilliseconds: now.milliseconds,
            expiresMilliseconds: (now + Self.doubtful).milliseconds, state: .declined)
    }
}

/// What is to be written of one lease.
enum LeaseChange: Sendable {
    case put(DHCPLease)
    /// It counts no more.
    case delete(IPv4Address)

    var address: IPv4Address {
        switch self {
        case .put(let lease): lease.address
        case .delete(let address): address
        }
    }
}
