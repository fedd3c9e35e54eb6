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
    private let witness: SenderWitness
    private let refusals: RefusalLog
    private let pace = AgentPace()
    private let folder: BootFolder

    /// - Parameter neighbour: the MAC address that the kernel has for an address on this wire; nil: it has none.
    init(
        network: BootNetwork, control: ControlPlane, files: BootFilePaths, leases: LeaseTable, routers: RouterPorts? = nil,
        counters: Counters = Counters(), refusals: RefusalLog? = nil, logger: Logger,
        neighbour: @escaping @Sendable (IPv4Address) -> MACAddress?
    ) {
        witness = SenderWitness(
            network: network, control: control, leases: leases, routers: routers ?? RouterPorts(network: network), neighbour: neighbour)
        self.refusals = refusals ?? RefusalLog(service: "boot", control: control, counters: counters, logger: logger)
        self.network = network
        self.control = control
        self.files = files
        self.logger = logger
        folder = BootFolder(path: files.boot)
    }

    /// The files that firmware and iPXE may have. Nothing else of the folder is served.
    static let bootFiles: Set<String> = [
        "vmlinuz", "hostler-initrd.img", "undionly.kpxe", "ipxe.efi", "local-disk.efi", "snponly.efi", "ipxe-arm64.efi",
        DiskLoader.biosTemplate,
    ]

    /// How long a machine whose disks nobody has looked at stays in the agent without work: an inspection takes one minute, with a
    /// hundred disks five.
    static let strangersPatienceSeconds = 900

    /// Without a valid session nothing that a machine says is longer: a hello is below 16 KiB, a call home below 8.
    static let anonymousBodyLimitBytes = 64 << 10

    /// How long a request's body may be, by its head; asked before any byte of it is kept.
    func bodyLimit(_ head: HTTPRequestHead, from remote: SocketAddress?) -> Int {
        guard head.method == .POST else { return 0 }
        let parts = FormText.split(head.uri).path.split(separator: "/")
        guard parts.count == 3, parts[0] == "agent", parts[1] == "v1", parts[2] != "hello", let header = head.headers.first(name: "authorization"),
            header.hasPrefix("Bearer "), (try? control.machine(session: String(header.dropFirst(7)))) != nil
        else { return parts.first == "agent" || parts.first == "call-home" ? Self.anonymousBodyLimitBytes : 0 }
        return BootHTTPServer.bodyLimitBytes
    }

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
            if parts[1] == "script" { return try await script(request) }
            if let loader = DiskLoader(name: parts[1]) { return try copy(of: loader) }
            guard Self.bootFiles.contains(parts[1]) else { throw Problem.notFound("boot file", parts[1]) }
            return .file(path: files.boot + "/" + parts[1], type: "application/octet-stream", etag: nil)
        case (.GET, "images", 3...4) where parts[1] == "blobs", (.HEAD, "images", 3...4) where parts[1] == "blobs":
            return try blob(parts[2], capability: parts.count == 4 ? parts[3] : "", request)
        case (.GET, "seeds", 2):
            return try await seed(parts[1], request)
        case (.POST, "agent", 3) where parts[1] == "v1":
            return try await agent(parts[2], request)
        case (.POST, "call-home", 2):
            return try await callHomeUntilAcknowledged(parts[1], request)
        case (.POST, "call-home", 3):
            return try await callHome(parts[1], parts[2], request)
        default:
            throw Problem("not-found", status: 404, title: "There is nothing at \(request.path.prefix(100))")
        }
    }

    // MARK: Boot scripts

    private func copy(of loader: DiskLoader) throws -> BootReply {
        do throws(FileOpenError) {
            return .bytes(.ok, type: "application/octet-stream", try folder.copy(loader))
        } catch .absent {
            throw Problem.notFound("boot file", loader.template)
        }
    }

    private func script(_ request: BootRequest) async throws -> BootReply {
        guard let mac = request.query["mac"].flatMap({ MACAddress($0) }) else {
            throw Problem("mac-missing", title: "The boot script needs the machine's MAC address", remedy: "Ask with ?mac=…")
        }
        let isEFI = request.query["platform"] == "efi"
        let retry = "\(network.baseURL)/boot/script?mac=\(mac)&platform=\(isEFI ? "efi" : "bios")"
        let sender = sender(of: request, named: mac)
        // Anybody can name any port. What a start of the machine rests on is noted of the port itself only.
        if sender != nil { control.bootTraces.note(.script, of: mac, at: control.steady) }
        let policy = network.policy(at: request.remote?.ipv4)
        let (machine, verdict) = control.boots(mac, policy: policy)
        let isStranger = policy != .discover && isStranger(machine)
        if machine == nil, isStranger, sender != nil, case .agent = verdict { control.noteInspection(of: mac) }
        let script: IPXEScript =
            switch verdict {
            case .leave(let why):
                .leave(reason: IPXEScript.printable(why), isEFI ? .efi : .bios)
            // Somebody's machine is not kept here for what the wire does not show.
            case .agent where sender == nil && isStranger:
                .leave(reason: "this address is not the one that was given to \(mac)", isEFI ? .efi : .bios)
            case .agent where sender == nil:
                .refuse(reason: "this address is not the one that was given to \(mac)", retryURL: retry, seconds: 30)
            case .agent:
                .agent(
                    kernelURL: "\(network.baseURL)/boot/vmlinuz", initrdURLs: ["\(network.baseURL)/boot/hostler-initrd.img"],
                    commandLine: commandLine(mac, request, isStranger: isStranger),
                    onFailure: isStranger ? .leave(isEFI ? .efi : .bios) : .retry(url: retry))
            case .localDisk: try await localDisk(mac, sender, isEFI: isEFI, retry, request)
            case .refuse(let why): .refuse(reason: IPXEScript.printable(why), retryURL: retry, seconds: 30)
            }
        logger.info("boot script", metadata: ["mac": "\(mac)", "verdict": "\(verdict)"])
        return .bytes(.ok, type: "text/plain", Array(try script.render().utf8))
    }

    /// Whether nobody knows yet whose machine it is: it is not in the record, or its disks were never looked at and no person
    /// has asked for work on it. Nothing keeps such a machine for ever.
    private func isStranger(_ machine: Machine?) -> Bool {
        guard let machine else { return true }
        guard machine.observed.inventory == nil else { return false }
        guard machine.openOperation != nil else { return true }
        // One that cannot be found may be a person's.
        return control.snapshot.openOperation(of: machine).map { $0.requestedBy == Operation.discoverer } ?? false
    }

    /// To the disk that has the machine's system, whichever it is.
    ///
    /// - Parameter sender: nil: the wire does not show that the machine itself asks.
    private func localDisk(
        _ mac: MACAddress, _ sender: Sender?, isEFI: Bool, _ retry: String, _ request: BootRequest
    ) async throws -> IPXEScript {
        let system = control.diskSystem(at: mac)
        if isEFI {
            let name = system.operation.map { DiskLoader.uefi($0).name } ?? DiskLoader.uefiTemplate
            return .diskLoader(loaderURL: "\(network.baseURL)/boot/\(name)")
        }
        guard let mark = system.mark, folder.has(DiskLoader.biosTemplate) else { return .localDisk(.bios) }
        let program = DiskLoader.bios(mark).name
        guard request.query["missing"] == mark.head else {
            return .markedDisk(
                programURL: "\(network.baseURL)/boot/\(program)", missingURL: "\(retry)&missing=\(mark.head)",
                retryURL: control.hasOneDisk(at: mac) ? nil : retry)
        }
        // Anybody can say so in a machine's name: only what the wire shows to be the machine counts.
        guard let sender else {
            return .refuse(reason: "this address is not the one that was given to \(mac)", retryURL: retry, seconds: 30)
        }
        let why = try await control.systemIsMissing(at: mac, evidence: sender.evidence)
        return why.map { .refuse(reason: IPXEScript.printable($0), retryURL: retry, seconds: 30) } ?? .localDisk(.bios)
    }

    /// The sender of a request that names its own port; nil, with an event, where the wire shows another or none.
    private func sender(of request: BootRequest, named mac: MACAddress) -> Sender? {
        do throws(SenderWitness.Refusal) {
            let sender = try witness.sender(of: request)
            guard sender.mac == mac else { throw .foreignMAC }
            return sender
        } catch {
            note(error, request, named: mac)
            return nil
        }
    }

    private func note(_ why: SenderWitness.Refusal, _ request: BootRequest, named mac: MACAddress?) {
        let machine = mac.flatMap { control.snapshot.machine(with: $0) }
        var evidence = ["interface": network.interface, "why": why.rawValue]
        evidence["sender"] = request.frameSource?.description
        evidence["named"] = mac?.description
        refusals.note(
            why.rawValue, source: request.remote?.ipAddress ?? "", mac: request.frameSource, event: "boot.impostor", machine: machine?.id,
            evidence: evidence)
    }

    /// The agent's kernel command line. The nonce is the only secret, good once and for minutes.
    private func commandLine(_ mac: MACAddress, _ request: BootRequest, isStranger: Bool) -> String {
        var words = [
            "hostler.url=\(network.baseURL)", "hostler.nonce=\(control.nonces.make(for: mac, now: control.steady))",
            "hostler.mac=\(mac)", "hostler.server=\(network.address.address)",
        ]
        // iPXE asks from the address that its lease gave it: no need to ask DHCP again.
        if let address = request.remote?.ipv4, network.address.contains(address) {
            words += ["hostler.ip=\(address)", "hostler.mask=\(network.address.mask)"]
            if let router = network.router { words.append("hostler.gateway=\(router)") }
        }
        if isStranger { words.append("hostler.patience=\(Self.strangersPatienceSeconds)") }
        // The kernel puts no RAID together by itself.
        words += ["raid=noautodetect", "console=tty0", "console=ttyS0,115200n8", "panic=10"]
        return words.joined(separator: " ")
    }

    // MARK: Agents

    /// Whether the request comes by a network that wants attestation: this one does, or it is another's address that asks
    /// here, through a router or a host that is in both.
    private func wantsProof(_ request: BootRequest) -> Bool {
        network.attestation || request.remote?.ipv4.map { control.requiresAttestation(at: $0) } ?? false
    }

    private func seed(_ name: String, _ request: BootRequest) async throws -> BootReply {
        let machine = try agent(of: request)
        guard let id = OperationID(rawValue: name), machine.openOperation == id else { throw Problem.notFound("seed", name) }
        let sectorBytes = request.query["sector"].map { Int($0) ?? 0 } ?? 512
        guard ImageFit.sectorSizes.contains(sectorBytes) else { throw Problem.notFound("seed", name) }
        let seed = try await control.seed(
            of: id, base: network.baseURL, placement: network.placement(of: request.remote?.ipv4), wantsProof: wantsProof(request),
            sectorBytes: sectorBytes)
        return .bytes(.ok, type: "application/octet-stream", seed.bytes)
    }

    /// A file of an image, for the one machine that an open installation gives it to.
    private func blob(_ name: String, capability: String, _ request: BootRequest) throws -> BootReply {
        guard let digest = Digest(name) else { throw Problem.notFound("blob", name) }
        guard control.opens(capability, digest) else {
            refusals.note(
                "no-capability", source: request.remote?.ipAddress ?? "", mac: request.frameSource, event: "boot.image-refused",
                evidence: ["interface": network.interface, "digest": digest.description, "sender": request.frameSource?.description ?? ""])
            throw Problem(
                "image-capability", status: 403, title: "This image is given to machines that install it now, and to nobody else",
                remedy: "The path of an image's file comes with the task of its installation.")
        }
        return .file(path: files.blobs + "/" + digest.hex, type: "application/octet-stream", etag: digest.description)
    }

    private func hello(_ request: BootRequest) async throws -> BootReply {
        let hello: HelloRequest = try decode(request)
        let sender: Sender
        do throws(SenderWitness.Refusal) {
            sender = try witness.sender(of: request)
            guard sender.mac == hello.mac else { throw .foreignMAC }
        } catch {
            note(error, request, named: hello.mac)
            throw Problem(
                error.mayPass ? "hello-unproved" : "hello-foreign", status: error.mayPass ? 503 : 403,
                title: "The hello is of \(hello.mac), and the wire does not show that it comes from there", detail: error.rawValue,
                remedy: error.mayPass ? "Ask again." : "Boot the machine from the network again.")
        }
        try pace.check(.hello, of: sender.mac, at: control.steady)
        return Self.json(.ok, try await control.hello(hello, from: sender, wantsProof: wantsProof(request)))
    }

    /// The machine whose session a request shows, if it comes from where the session is bound to.
    private func agent(of request: BootRequest) throws -> Machine {
        let machine = try control.machine(session: request.bearer ?? "")
        try check(request, isOfAgentOn: machine)
        return machine
    }

    /// Shows an agent that this is the server that it has its session from. It shows no session yet, but asks from where that is
    /// bound to.
    private func prove(_ request: BootRequest) throws -> BootReply {
        let question: ServerQuestion = try decode(request)
        guard let machine = control.snapshot.machines[question.machine] else { throw ControlPlane.sessionInvalid }
        try check(request, isOfAgentOn: machine)
        try pace.check(.prove, of: machine.id, at: control.steady)
        return Self.json(.ok, try control.prove(question))
    }

    private func check(_ request: BootRequest, isOfAgentOn machine: Machine) throws {
        guard let agent = machine.observed.agent else { throw ControlPlane.sessionInvalid }
        do throws(SenderWitness.Refusal) {
            try witness.check(request, isFrom: agent)
        } catch {
            note(error, request, named: agent.mac)
            throw error.mayPass
                ? Problem("session-unproved", status: 503, title: "The wire does not show where this comes from", remedy: "Ask again.")
                : Problem(
                    "session-foreign", status: 401, title: "This session is bound to another port or address",
                    remedy: "Boot the machine from the network again.")
        }
    }

    private func agent(_ verb: String, _ request: BootRequest) async throws -> BootReply {
        if verb == "hello" { return try await hello(request) }
        if verb == "prove" { return try prove(request) }
        let session = request.bearer ?? ""
        let machine = try agent(of: request)
        guard let message = AgentPace.Message(rawValue: verb) else {
            throw Problem("not-found", status: 404, title: "The agent's protocol has no “\(verb.prefix(40))”")
        }
        try pace.check(message, of: machine.id, at: control.steady)
        switch message {
        case .hello: return try await hello(request)
        case .prove: return try prove(request)
        case .inventory:
            try await control.record(try decode(request) as Inventory, of: machine.id, wantsProof: wantsProof(request))
            return .bytes(.noContent, type: "text/plain", [])
        case .task:
            return Self.json(
                .ok,
                try await control.task(
                    for: session, query: decode(request), base: network.baseURL, placement: network.placement(of: request.remote?.ipv4),
                    wantsProof: wantsProof(request), policy: network.policy(at: request.remote?.ipv4)))
        case .report:
            return Self.json(.ok, ReportReply(goOn: try await control.report(decode(request), of: machine.id, wantsProof: wantsProof(request))))
        case .tpmEnrol:
            return Self.json(.ok, try await control.challenge(decode(request), session: session))
        case .tpmQuote:
            try await control.judge(decode(request), session: session)
            return .bytes(.noContent, type: "text/plain", [])
        case .log:
            control.log(try decode(request), of: machine.id)
            return .bytes(.noContent, type: "text/plain", [])
        }
    }

    private func callHome(_ operation: String, _ proof: String, _ request: BootRequest) async throws -> BootReply {
        guard let id = OperationID(rawValue: operation) else { throw Problem.notFound("operation", operation) }
        let form = FormText.pairs(request.body)
        let keys = ["pub_key_ed25519", "pub_key_ecdsa", "pub_key_rsa"].compactMap { form[$0] }
            .map { $0.split(separator: " ").prefix(2).joined(separator: " ") }
            .filter { $0.contains(" ") && $0.utf8.count < 4096 }
        var evidence = ["call-home": request.remote?.ipAddress ?? ""]
        evidence["hostname"] = form["hostname"].map { PrintableText.line($0, limitBytes: 253) }
        evidence["instance-id"] = form["instance_id"].map { PrintableText.line($0, limitBytes: 64) }
        try await control.callHome(
            operation: id, proof: proof, from: request.remote?.ipv4, hostKeys: keys,
            evidence: evidence)
        return .bytes(.ok, type: "text/plain", Array("welcome\n".utf8))
    }

    /// The call home that is repeated until its answer, which only this server could make, has come.
    private func callHomeUntilAcknowledged(_ operation: String, _ request: BootRequest) async throws -> BootReply {
        let message = try CallHomeMessage(parsing: request.body)
        guard message.operation.rawValue == operation else { throw Problem.notFound("operation", operation) }
        do {
            let line = try await control.callHome(
                message, from: request.remote?.ipv4, evidence: ["call-home": request.remote?.ipAddress ?? ""])
            // 200 for both: wget shows the contents of no other.
            return .bytes(.ok, type: "text/plain", Array(line.utf8))
        } catch let problem as Problem where problem.status == 403 {
            refusals.note("call-home", source: request.remote?.ipAddress ?? "", mac: request.frameSource)
            throw problem
        }
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
