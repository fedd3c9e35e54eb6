internal import Control
internal import FoundationEssentials
internal import Logging
internal import Model
internal import NIOCore
internal import NIOHTTP1
internal import NetBoot
internal import OCI
internal import Sockets
internal import Wire

/// Where the files are that machines boot from.
public struct BootFilePaths: Sendable {
    /// Holds `vmlinuz`, `hostler-initrd.img`, and iPXE's builds.
    public var boot: String
    /// The image store's `blobs/sha256`.
    public var blobs: String
    public init(boot: String, blobs: String) {
        self.boot = boot
        self.blobs = blobs
    }
}

/// What machines may ask by HTTP: boot scripts, boot files, image blobs, the
/// agent's protocol, and the call home of an installed system.
struct BootRoutes: Sendable {
    let network: BootNetwork
    let control: ControlPlane
    let files: BootFilePaths
    let logger: Logger
    private let leases: LeaseTable
    private let neighbour: @Sendable (IPv4Address) -> MACAddress?
    private let refusals: RefusalLog

    /// - Parameter neighbour: the MAC address that the kernel has for an address on this wire; nil: it has none.
    init(
        network: BootNetwork, control: ControlPlane, files: BootFilePaths, leases: LeaseTable, logger: Logger,
        neighbour: @escaping @Sendable (IPv4Address) -> MACAddress?
    ) {
        self.leases = leases
        self.neighbour = neighbour
        refusals = RefusalLog(service: "boot", control: control, counters: Counters(), logger: logger)
        self.network = network
        self.control = control
        self.files = files
        self.logger = logger
    }

    /// The files that firmware and iPXE may have. Nothing else of the folder is served.
    static let bootFiles: Set<String> = [
        "vmlinuz", "hostler-initrd.img", "undionly.kpxe", "ipxe.efi", "local-disk.efi", "snponly.efi", "ipxe-arm64.efi",
    ]

    func respond(to request: BootRequest) async -> BootReply {
        do {
            return try await route(request)
        } catch let problem as Problem {
            return Self.json(.init(statusCode: problem.status), problem, type: "application/problem+json")
        } catch {
            logger.error("a machine's request failed", metadata: ["path": "\(request.loggedPath)", "error": "\(error)"])
            let problem = Problem(
                "internal", status: 503, title: "The control plane could not do this now", remedy: "Ask again.")
            return Self.json(.serviceUnavailable, problem, type: "application/problem+json")
        }
    }

    private func route(_ request: BootRequest) async throws -> BootReply {
        let parts = request.path.split(separator: "/").map(String.init)
        switch (request.method, parts.first, parts.count) {
        case (.GET, "boot", 2), (.HEAD, "boot", 2):
            if parts[1] == "script" { return try script(request) }
            guard Self.bootFiles.contains(parts[1]) else { throw Problem.notFound("boot file", parts[1]) }
            return .file(path: files.boot + "/" + parts[1], type: "application/octet-stream", etag: nil)
        case (.GET, "images", 3) where parts[1] == "blobs", (.HEAD, "images", 3) where parts[1] == "blobs":
            guard let digest = Digest(parts[2]) else { throw Problem.notFound("blob", parts[2]) }
            return .file(path: files.blobs + "/" + digest.hex, type: "application/octet-stream", etag: digest.description)
        case (.GET, "seeds", 2):
            return try await seed(parts[1], request)
        case (.POST, "agent", 3) where parts[1] == "v1":
            return try await agent(parts[2], request)
        case (.POST, "call-home", 3):
            return try await callHome(parts[1], parts[2], request)
        default:
            throw Problem("not-found", status: 404, title: "There is nothing at \(request.path.prefix(100))")
        }
    }

    // MARK: Boot scripts

    private func script(_ request: BootRequest) throws -> BootReply {
        guard let mac = request.query["mac"].flatMap({ MACAddress($0) }) else {
            throw Problem("mac-missing", title: "The boot script needs the machine's MAC address", remedy: "Ask with ?mac=…")
        }
        let isEFI = request.query["platform"] == "efi"
        let retry = "\(network.baseURL)/boot/script?mac=\(mac)&platform=\(isEFI ? "efi" : "bios")"
        control.bootTraces.note(.script, of: mac, at: control.now)
        let (_, verdict) = control.boots(mac, discovery: network.discoveryPolicy)
        let script: IPXEScript =
            switch verdict {
            case .agent where !mayHaveNonce(mac, request):
                .refuse(reason: "this address is not the one that was given to \(mac)", retryURL: retry, seconds: 30)
            case .agent:
                .agent(
                    kernelURL: "\(network.baseURL)/boot/vmlinuz", initrdURLs: ["\(network.baseURL)/boot/hostler-initrd.img"],
                    commandLine: commandLine(mac, request), retryURL: retry)
            case .localDisk: isEFI ? .diskLoader(loaderURL: "\(network.baseURL)/boot/local-disk.efi") : .localDisk(.bios)
            case .refuse(let why): .refuse(reason: IPXEScript.printable(why), retryURL: retry, seconds: 30)
            }
        logger.info("boot script", metadata: ["mac": "\(mac)", "verdict": "\(verdict)"])
        return .bytes(.ok, type: "text/plain", Array(try script.render().utf8))
    }

    /// A nonce opens a machine's session and its seed: it goes only to the address that the machine's lease is for.
    private func mayHaveNonce(_ mac: MACAddress, _ request: BootRequest) -> Bool {
        if network.mode == .server {
            guard let address = request.remote?.ipv4, leases.holder(of: address) != nil
            else { return false }
        }
        return !isImpostor(request, [mac])
    }

    /// Whether the address that a request comes from is, by our own leases or by what the kernel sees on this wire, of a
    /// machine whose MAC address is none of `macs`. Behind a relay the lease alone tells.
    private func isImpostor(_ request: BootRequest, _ macs: [MACAddress]) -> Bool {
        guard let address = request.remote?.ipv4 else { return false }
        let seen = network.address.contains(address) ? neighbour(address) : nil
        // A machine may boot by one of its ports and speak by another.
        let stranger = [leases.holder(of: address), seen].compactMap { $0 }.first { mac in
            !macs.contains(mac) && !(control.snapshot.machine(with: mac).map { macs.contains(where: $0.owns) } ?? false)
        }
        guard let stranger else { return false }
        refusals.note(
            "foreign-mac", source: address.description, mac: stranger, event: "boot.impostor",
            machine: control.snapshot.machine(with: stranger)?.id,
            evidence: ["mac": stranger.description, "asked-for": macs.first?.description ?? ""])
        return true
    }

    /// The agent's kernel command line. The nonce is the only secret, good once and for minutes.
    private func commandLine(_ mac: MACAddress, _ request: BootRequest) -> String {
        var words = [
            "hostler.url=\(network.baseURL)", "hostler.nonce=\(control.nonces.make(for: mac, now: control.now))",
            "hostler.mac=\(mac)", "hostler.server=\(network.address.address)",
        ]
        // iPXE asks from the address that its lease gave it: no need to ask DHCP again.
        if let address = request.remote?.ipv4, network.address.contains(address) {
            words += ["hostler.ip=\(address)", "hostler.mask=\(network.address.mask)"]
            if let router = network.router { words.append("hostler.gateway=\(router)") }
        }
        words += ["console=tty0", "console=ttyS0,115200n8", "panic=10"]
        return words.joined(separator: " ")
    }

    // MARK: Agents

    /// Whether the request comes by a network that wants attestation: this one does, or it is another's address that asks
    /// here, through a router or a host that is in both.
    private func wantsProof(_ request: BootRequest) -> Bool {
        network.attestation || request.remote?.ipv4.map { control.requiresAttestation(at: $0) } ?? false
    }

    private func seed(_ name: String, _ request: BootRequest) async throws -> BootReply {
        let machine = try control.machine(session: request.bearer ?? "")
        guard let id = OperationID(rawValue: name), machine.openOperation == id else { throw Problem.notFound("seed", name) }
        let seed = try await control.seed(
            of: id, base: network.baseURL, placement: network.placement(of: request.remote?.ipv4), wantsProof: wantsProof(request))
        return .bytes(.ok, type: "application/octet-stream", seed.bytes)
    }

    private func agent(_ verb: String, _ request: BootRequest) async throws -> BootReply {
        if verb == "hello" {
            let address = request.remote?.ipv4
            let hello: HelloRequest = try decode(request)
            guard !isImpostor(request, [hello.mac] + hello.macs.prefix(64)) else {
                throw Problem(
                    "hello-foreign", status: 403, title: "The hello is of \(hello.mac), and comes from another machine",
                    remedy: "Boot the machine from the network again.")
            }
            return Self.json(.ok, try await control.hello(hello, from: address))
        }
        let session = request.bearer ?? ""
        let machine = try control.machine(session: session)
        switch verb {
        case "inventory":
            try await control.record(try decode(request) as Inventory, of: machine.id)
            return .bytes(.noContent, type: "text/plain", [])
        case "task":
            return Self.json(
                .ok,
                try await control.task(
                    for: session, query: decode(request), base: network.baseURL, placement: network.placement(of: request.remote?.ipv4),
                    wantsProof: wantsProof(request)))
        case "report":
            return Self.json(.ok, ReportReply(goOn: try await control.report(decode(request), of: machine.id)))
        case "tpm-enrol":
            return Self.json(.ok, try await control.challenge(decode(request), session: session))
        case "tpm-quote":
            try await control.judge(decode(request), session: session)
            return .bytes(.noContent, type: "text/plain", [])
        case "log":
            control.log(try decode(request), of: machine.id)
            return .bytes(.noContent, type: "text/plain", [])
        default:
            throw Problem("not-found", status: 404, title: "The agent's protocol has no “\(verb)”")
        }
    }

    private func callHome(_ operation: String, _ proof: String, _ request: BootRequest) async throws -> BootReply {
        guard let id = OperationID(rawValue: operation) else { throw Problem.notFound("operation", operation) }
        let form = FormText.pairs(request.body)
        let keys = ["pub_key_ed25519", "pub_key_ecdsa", "pub_key_rsa"].compactMap { form[$0] }
            .map { $0.split(separator: " ").prefix(2).joined(separator: " ") }
            .filter { $0.contains(" ") && $0.utf8.count < 4096 }
        var evidence = ["call-home": request.remote?.ipAddress ?? ""]
        evidence["hostname"] = form["hostname"].map { String($0.prefix(253)) }
        evidence["instance-id"] = form["instance_id"].map { String($0.prefix(64)) }
        try await control.callHome(
            operation: id, proof: proof, from: request.remote?.ipv4, hostKeys: keys,
            evidence: evidence)
        return .bytes(.ok, type: "text/plain", Array("welcome\n".utf8))
    }

    // MARK: JSON

    private func decode<T: Decodable>(_ request: BootRequest) throws -> T {
        do {
            return try JSONDecoder().decode(T.self, from: Data(request.body))
        } catch {
            throw Problem("malformed", status: 400, title: "The request's JSON cannot be read", detail: "\(error)")
        }
    }

    private static func json(_ status: HTTPResponseStatus, _ value: some Encodable, type: String = "application/json") -> BootReply {
        guard let data = try? JSONEncoder().encode(value) else {
            return .bytes(.internalServerError, type: "text/plain", [])
        }
        return .bytes(status, type: type, Array(data))
    }
}
