public import Model
internal import Synchronization
internal import Wire

/// A BMC that speaks Redfish, and the one machine of it that is meant.
public final class RedfishBMC: PowerSwitch {
    public let client: RedfishClient
    private let trust: CertificateTrust?
    /// The ComputerSystem's id, where the BMC has several.
    private let wantedSystem: String?
    private let found = Mutex<RedfishPath?>(nil)
    /// The override for the next start that was set here and not used yet.
    private let nextBoot = Mutex<BootOverride?>(nil)
    /// The same BMC by IPMI at a port, for the one thing that Redfish only points to: the serial console.
    let byIPMI: (@Sendable (BMCCredentials, _ port: Int) -> IPMIBMC)?

    public init(
        client: RedfishClient, trust: CertificateTrust? = nil, system: String? = nil,
        byIPMI: (@Sendable (BMCCredentials, _ port: Int) -> IPMIBMC)? = nil
    ) {
        self.client = client
        self.byIPMI = byIPMI
        self.trust = trust
        wantedSystem = system
    }

    public var address: String { client.address }
    public var fingerprint: String? { trust?.fingerprint }
    public var manners: PowerManners { PowerManners(client.quirks) }
    public func close() async { await client.close() }

    // MARK: The system

    /// Where the machine's resource is; looked for once.
    func systemPath() async throws -> RedfishPath {
        if let path = found.withLock({ $0 }) { return path }
        guard let collection = try await client.serviceRoot().systems else {
            throw Problem.bmcUnsupported("switch a machine", "\(address) has no Systems")
        }
        let links = try await client.members(of: collection, limit: 64).map {
            try client.ownPath($0["@odata.id"]?.text ?? "", in: collection)
        }
        let path: RedfishPath
        if let wantedSystem {
            guard let named = links.first(where: { $0.text.split(separator: "/").last.map(String.init) == wantedSystem }) else {
                throw Problem.bmc(
                    "system-missing", status: 422, "The BMC at \(address) has no system “\(wantedSystem)”",
                    detail: "it has: \(links.map(\.text).joined(separator: ", "))")
            }
            path = named
        } else {
            // A DPU's or GPU board's BMC lists its host beside itself: which is meant must be said.
            guard links.count == 1, let only = links.first else {
                throw Problem.bmc(
                    "system-ambiguous", status: 422, "The BMC at \(address) has \(links.count) systems",
                    detail: links.map(\.text).joined(separator: ", "), remedy: "Say which with: hostler bmc add --system ID")
            }
            path = only
        }
        found.withLock { $0 = path }
        return path
    }

    public func system() async throws -> ComputerSystem {
        ComputerSystem(try await client.get(systemPath()).json)
    }

    // MARK: Power

    public func readPower() async throws -> PowerReading {
        let system = try await system()
        // Only the time of the last reset is a mark: progress changes by itself while a machine boots.
        return PowerReading(state: system.power, bootMark: system.lastReset)
    }

    public func request(_ request: PowerRequest) async throws {
        let system = try await system()
        var allowed = system.resetTypes
        if allowed == nil, let info = system.resetActionInfo {
            let parameters = try await client.get(info).json["Parameters"]?.items ?? []
            allowed = parameters.first { $0["Name"]?.text == "ResetType" }?["AllowableValues"]?.items.compactMap(\.text)
        }
        guard let type = ResetChoice.resetType(for: request, allowed: allowed) else {
            throw Problem.bmcUnsupported("do “\(request.rawValue)”", "it offers: \(allowed?.joined(separator: ", ") ?? "nothing")")
        }
        if request == .on || request == .restart { try await recallBoot(system) }
        let path = try await systemPath()
        let target = system.resetTarget ?? path.appending("Actions/ComputerSystem.Reset")
        try await client.post(target, ["ResetType": .string(type)])
    }

    /// Sets the override for this start again where the BMC forgot it since.
    private func recallBoot(_ system: ComputerSystem) async throws {
        guard client.quirks.has(.overrideForgotten), let wanted = nextBoot.withLock({ $0.take() }) else { return }
        guard !BootOverridePlan.isFulfilled(wanted, by: BootOverridePlan.reading(system.boot), quirks: client.quirks) else { return }
        try await setBoot(wanted)
        nextBoot.withLock { $0 = nil }
    }

    // MARK: Boot

    public func networkBoot(uri: String?, uefi: Bool?) async throws -> BootOverride {
        let boot = try await system().boot
        let pxe = BootOverride(target: .pxe, uefi: uefi)
        guard let uri, uefi ?? (boot.mode?.lowercased() != "legacy"),
            // There a URI is a setting of the firmware that stays; nobody would take it back.
            !client.quirks.has(.httpBootByDellBIOS), !client.quirks.has(.httpBootByHPEBIOS),
            boot.allowedTargets?.contains(where: { $0.lowercased() == "uefihttp" }) == true
        else { return pxe }
        return BootOverride(target: .http, uri: uri, uefi: uefi)
    }

    public func bootOverride() async throws -> BootOverride { BootOverridePlan.reading(try await system().boot) }

    /// Sets the override and reads it back; throws where the BMC has something else afterwards.
    public func setBoot(_ wanted: BootOverride) async throws {
        let system = try await system()
        if wanted.target == .http, client.quirks.has(.noHTTPBoot) {
            throw Problem.bmcUnsupported("boot by UEFI HTTP", "the firmware of this generation of machines has no HTTP boot; PXE works")
        }
        if client.quirks.has(.overrideMayBeMissing), system.boot.target == nil, system.boot.enabled == nil {
            throw Problem.bmcUnsupported("set where the machine boots from", "its firmware was built without a boot override")
        }
        if wanted.target == .http, let uri = wanted.uri, try await setHTTPBootByBIOS(uri, system) { return }
        var body = try BootOverridePlan.body(for: wanted, on: system.boot, quirks: client.quirks)
        let path = try await systemPath()
        // iDRAC 10 and AMI take boot members in the settings resource, and refuse them here.
        let place = client.quirks.has(.bootInSettings) ? system.settings ?? path.appending("SD") : path
        do {
            try await client.patch(place, body, etag: place == path ? system.etag : nil)
        } catch let problem as Problem where problem.code == "bmc-refused" && place == path {
            if let settings = system.settings, problem.detail?.contains("read") == true || problem.detail?.contains("FutureState") == true {
                try await client.patch(settings, body)
            } else if case .object(var boot)? = body["Boot"], boot.removeValue(forKey: "BootSourceOverrideMode") != nil {
                body = ["Boot": .object(boot)]
                try await client.patch(path, body)
            } else {
                throw problem
            }
        }
        let read = BootOverridePlan.reading(try await self.system().boot)
        guard BootOverridePlan.isFulfilled(wanted, by: read, quirks: client.quirks) else {
            throw Problem.bmc(
                "boot-not-proved", "The BMC at \(address) said OK to the boot override and does not have it",
                detail: "wanted: \(wanted.words); it has: \(read.words)",
                remedy: "Set it again; if it stays so, put network boot first in the machine's own boot order.")
        }
        nextBoot.withLock { $0 = wanted.target == .none || wanted.persistent ? nil : wanted }
    }

    /// Whether the URI went to a BIOS attribute, as some vendors want it. It takes effect at the next start.
    private func setHTTPBootByBIOS(_ uri: String, _ system: ComputerSystem) async throws -> Bool {
        var attributes: [String: JSON]
        if client.quirks.has(.httpBootByDellBIOS) {
            attributes = ["HttpDev1EnDis": "Enabled", "HttpDev1Uri": .string(uri), "HttpDev1DhcpEnDis": "Enabled"]
        } else if client.quirks.has(.httpBootByHPEBIOS) {
            attributes = ["UrlBootFile": .string(uri)]
        } else {
            return false
        }
        try await stageBIOS(&attributes, system)
        return true
    }

    // MARK: Account

    public func setPassword(_ password: String) async throws {
        let name = client.userName
        let accounts = try await client.serviceRoot().accounts ?? RedfishPath.root.appending("AccountService")
        let service = try await client.get(accounts).json
        let collection = service["Accounts"]?.link ?? accounts.appending("Accounts")
        for account in try await client.resources(of: collection) where account["UserName"]?.text == name {
            guard let path = account.link else { continue }
            try await client.patch(path, ["Password": .string(password)], etag: account["@odata.etag"]?.text)
            client.use(BMCCredentials(userName: name, password: password))
            return
        }
        throw Problem.bmc("account-missing", status: 422, "The BMC at \(address) does not list the account “\(name)”")
    }

    public func verify() async throws { _ = try await system() }

    // MARK: Identity

    public func facts() async throws -> BMCFacts {
        let root = try await client.serviceRoot()
        let system = try await system()
        var facts = BMCFacts()
        facts.vendor = root.vendor ?? system.manufacturer
        facts.systemUUID = system.uuid
        facts.serial = system.serial
        facts.otherSerials = system.serviceTag.map { [$0] }
        var links: RedfishPath?
        if let path = system.controllers.first {
            let controller = try await client.get(path).json
            links = controller["HostInterfaces"]?.link
            facts.firmware = controller["FirmwareVersion"]?.text
            facts.model = controller["Model"]?.text
        } else if let collection = root.controllers, let first = try await client.resources(of: collection, limit: 4).first {
            links = first["HostInterfaces"]?.link
            facts.firmware = first["FirmwareVersion"]?.text
            facts.model = first["Model"]?.text
        }
        facts.model = facts.model ?? system.model
        if let nics = system.ethernetInterfaces {
            let named = await hostInterfaceNames(in: links)
            var hostInterfaces: [MACAddress] = []
            for nic in try await client.resources(of: nics, limit: 64) {
                guard let mac = Component(.nic, nic)?.mac else { continue }
                if HostInterface.isOne(nic, named: named) || Filler.isHostInterface(mac) {
                    hostInterfaces.append(mac)
                } else {
                    facts.macs.append(mac)
                }
            }
            // What leads to the BMC is no port of its machine's, though it be listed under another name too.
            facts.macs.removeAll(where: hostInterfaces.contains)
            facts.hostInterfaces = hostInterfaces.isEmpty ? nil : hostInterfaces
        }
        client.quirks = QuirkTable.quirks(
            for: QuirkTable.Subject(
                vendor: facts.vendor ?? system.manufacturer, model: facts.model, firmware: facts.firmware, manufacturer: system.manufacturer))
        return facts
    }
}

extension RedfishBMC {
    /// The network cards that the BMC's host interfaces name. Where it does not say, the cards' own words are left.
    private func hostInterfaceNames(in collection: RedfishPath?) async -> Set<RedfishPath> {
        guard let collection else { return [] }
        do {
            var named: Set<RedfishPath> = []
            for interface in try await client.resources(of: collection, limit: 8) {
                guard let cards = interface["HostEthernetInterfaces"]?.link else { continue }
                named.formUnion(try await client.members(of: cards, limit: 8).compactMap(\.link))
            }
            return named
        } catch {
            return []
        }
    }
}

extension RedfishClient {
    var userName: String { withCredentials(\.userName) }
}

extension BootOverride {
    /// As people say it.
    public var words: String {
        guard target != .none else { return "no override" }
        return "\(target.rawValue)\(uri.map { " \($0)" } ?? "") \(persistent ? "until changed" : "once")"
    }
}
