import AsyncHTTPClient
import Control
import Foundation
import Identity
import Logging
import Model
import NIOCore
import NIOHTTP1
import NIOPosix
import Store
import Synchronization
import Wire

@testable import API

/// A control plane that keeps records and does nothing to machines.
final class StillControl: MachineControl {
    let records: Records
    init(store: any StateStore) { records = Records(store: store) }

    func machine(named name: String) async throws -> Versioned<Machine> {
        let all = try await records.all(Machine.self)
        guard let found = all.first(where: { $0.value.id.rawValue == name || $0.value.name.text == name }) else {
            throw Problem.notFound("machine", name)
        }
        return found
    }

    func put<T: StoredResource>(_ value: T) async throws -> Revision {
        try await records.store.commit([.put(key: value.key, value: RecordCoding.encode(value), if: .none)])
    }

    func start(_ request: OperationRequest, on machine: String, by actor: String, agreement: String?) async throws -> Model.Operation {
        var target = try await self.machine(named: machine).value
        guard target.openOperation == nil else {
            throw Problem("machine-busy", status: 409, title: "It is busy", remedy: "Wait.")
        }
        if case .install(let install) = request, install.image == "broken" { throw StoreError.corrupt("a test") }
        var generator = SystemRandomNumberGenerator()
        let steps: [StepName] = [.agent, .inventory]
        let operation = Model.Operation(
            id: .random(using: &generator), machine: target.id, generation: 1, request: request,
            steps: steps.map { Step($0) }, requestedBy: actor, createdAt: .init(milliseconds: 1))
        target.openOperation = operation.id
        _ = try await put(operation)
        _ = try await put(target)
        return operation
    }

    func add(machine mac: MACAddress, name: String?, by actor: String) async throws -> Machine {
        var generator = SystemRandomNumberGenerator()
        let id = MachineID.random(using: &generator)
        let machine = Machine(
            id: id, name: try DisplayName(name ?? id.rawValue), interfaces: [Interface(mac: mac)], now: .init(milliseconds: 1))
        _ = try await put(machine)
        return machine
    }

    func takeDisks(of machine: String, by actor: String, agreement: String?) async throws -> Machine { try await self.machine(named: machine).value }

    func cancel(_ id: OperationID, by actor: String) async throws -> Model.Operation {
        guard var operation = try await records.get(Model.Operation.self, id: id.rawValue)?.value else {
            throw Problem.notFound("operation", id.rawValue)
        }
        operation.cancelRequested = true
        _ = try await put(operation)
        return operation
    }

    func update(
        machine: String, with patch: MachinePatch, expecting: Revision?, by actor: String
    ) async throws -> Versioned<Machine> {
        var found = try await self.machine(named: machine)
        if let expecting, expecting != found.revision {
            throw Problem("revision-mismatch", status: 412, title: "It was changed meanwhile")
        }
        if let hostname = patch.hostname { found.value.desired.hostname = hostname }
        for (key, value) in patch.labels ?? [:] { found.value.desired.labels[key] = value }
        found.revision = try await put(found.value)
        return found
    }

    func releaseHold(_ id: HoldID, on machine: String, by actor: String, agreement: String?) async throws -> Machine {
        var target = try await self.machine(named: machine).value
        target.holds.removeAll { $0.id == id }
        _ = try await put(target)
        return target
    }

    func delete(machine: String, by actor: String, agreement: String? = nil) async throws {
        try await records.store.commit([.delete(key: self.machine(named: machine).value.key, if: .none)])
    }

    func acceptBoot(machine: String, by actor: String) async throws -> Machine {
        var target = try await self.machine(named: machine).value
        target.attestation?.standing = .attested
        _ = try await put(target)
        return target
    }

    func forgetTPM(machine: String, by actor: String, agreement: String?) async throws -> Machine {
        var target = try await self.machine(named: machine).value
        target.attestation = nil
        _ = try await put(target)
        return target
    }

    func setAttestationRule(_ rule: AttestationRule, machine: String, by actor: String) async throws -> Machine {
        var target = try await self.machine(named: machine).value
        target.attestationRule = rule
        _ = try await put(target)
        return target
    }

    func take(interface mac: MACAddress, into machine: String, by actor: String, agreement: String?) async throws -> Machine {
        var target = try await self.machine(named: machine).value
        target.interfaces.append(Interface(mac: mac))
        _ = try await put(target)
        return target
    }

    func approve(_ id: OperationID, by actor: String, agreement: String?) async throws -> Model.Operation {
        guard var operation = try await records.get(Model.Operation.self, id: id.rawValue)?.value else {
            throw Problem.notFound("operation", id.rawValue)
        }
        operation.state = .running
        _ = try await put(operation)
        return operation
    }

    /// What runs is lost by whatever is done to a machine.
    func consequence(of act: MachineAct, on machine: String) async throws -> Consequence {
        let target = try await self.machine(named: machine).value
        return .naming(
            .wipe, target: target.id.rawValue, name: target.name.text,
            losses: target.state == .running ? [.init(.system, id: target.id.rawValue, "its system")] : [])
    }

    private let frozen = Mutex<Freeze?>(nil)
    var freeze: Freeze? { frozen.withLock { $0 } }
    func beginFreeze(_ reason: String, by actor: String) async throws -> Freeze {
        let freeze = Freeze(reason: reason, by: actor, since: Timestamp(milliseconds: 0))
        frozen.withLock { $0 = freeze }
        return freeze
    }
    func thaw(by actor: String) async throws -> Bool {
        frozen.withLock { frozen in
            defer { frozen = nil }
            return frozen != nil
        }
    }

    func removingImage(digest: String, names: Set<String>, isLast: Bool, _ body: @Sendable () async throws -> Void) async throws {
        let user = ImageUse.operation(in: try await records.all(Model.Operation.self).map(\.value), needing: digest, names: names)
        if isLast, let user { throw ImageUse.refusal(by: user) }
        try await body()
    }

    func agentLog(machine: String) async throws -> [String] {
        _ = try await self.machine(named: machine)
        return ["[0.1] hello"]
    }

    private let recorded = Mutex<[String]>([])
    /// Of what was recorded, in order.
    var kinds: [String] { recorded.withLock { $0 } }

    func recordEvent(
        kind: String, machine: MachineID?, operation: OperationID?, actor: String, message: String, evidence: [String: String]
    ) async throws {
        recorded.withLock { $0.append(kind) }
    }
}

final class StillShelf: ImageShelf {
    let images = Mutex<[String: ImageSummary]>([:])
    func summaries() async throws -> [ImageSummary] { images.withLock { Array($0.values) } }
    func summary(named name: String) async throws -> ImageSummary? { images.withLock { $0[name] } }
    func removeImage(named name: String) async throws { images.withLock { $0[name] = nil } }
    func importImage(
        _ name: String, from url: String, sha256: String?, progress: @escaping @Sendable (Model.Progress) -> Void
    ) async throws {
        if url.hasSuffix("missing") { throw Problem("image-fetch", status: 502, title: "It is not there") }
        images.withLock {
            $0[name] = ImageSummary(
                name: name, digest: "sha256:00", diskBytes: 1, dataBytes: 1, storedBytes: 1, chunkCount: 1, annotations: [:])
        }
    }
}

/// An API server on loopback and a client with a token of each role.
struct Rack: Sendable {
    let control: StillControl
    let store: MemoryStore
    let tokens: TokenStore
    let client: HTTPClient
    let base: String
    let secrets: [Role: String]

    /// More than the kernel takes of a download that nobody reads.
    static let backupBytes = 32 << 20

    static func with(
        tls: APIConfiguration.TLS = .off, client configuration: HTTPClient.Configuration = .init(),
        identity: @Sendable (MemoryStore) async throws -> IdentityService? = { _ in nil }, consoles: (any ConsoleControl)? = nil,
        connections: ConnectionLimits = .init(), hasBackup: Bool = false,
        _ body: @Sendable @escaping (Rack) async throws -> Void
    ) async throws {
        let store = MemoryStore()
        let control = StillControl(store: store)
        let tokens = TokenStore(store: store)
        var secrets: [Role: String] = [.admin: try await tokens.create(name: "admin", role: .admin).secret]
        for role in [Role.viewer, .operator] { secrets[role] = try await tokens.create(name: role.rawValue, role: role).secret }
        let (ports, feed) = AsyncStream.makeStream(of: Int.self)
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        var backup: (@Sendable (String) async throws -> Void)?
        if hasBackup { backup = { try Data(count: backupBytes).write(to: URL(filePath: $0)) } }
        var api = APIConfiguration(address: "127.0.0.1", port: 0, tls: tls)
        api.connections = connections
        let server = APIServer(
            configuration: api, control: control, images: StillShelf(),
            tokens: tokens, identity: try await identity(store),
            surroundings: .init(
                version: "0.0-test", backup: backup,
                counters: { ["rack": ["dhcp": ["received": 7]]] }), consoles: consoles,
            eventLoopGroup: MultiThreadedEventLoopGroup.singleton, logger: logger,
            onRunning: { port in feed.yield(port) })
        var configuration = configuration
        configuration.timeout.connect = .seconds(2)
        let client = HTTPClient(eventLoopGroup: MultiThreadedEventLoopGroup.singleton, configuration: configuration)
        let allSecrets = secrets
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await server.run() }
                group.addTask {
                    guard let port = await ports.first(where: { _ in true }) else { return }
                    let scheme = if case .off = tls { "http" } else { "https" }
                    try await body(
                        Rack(
                            control: control, store: store, tokens: tokens, client: client,
                            base: "\(scheme)://127.0.0.1:\(port)", secrets: allSecrets))
                    throw Finished()
                }
                do { try await group.next() } catch is Finished {}
                group.cancelAll()
            }
        } catch {
            try await client.shutdown()
            throw error
        }
        try await client.shutdown()
    }
    private struct Finished: Error {}

    @discardableResult
    func machine(_ name: String, state: MachineState = .ready) async throws -> Machine {
        var generator = SystemRandomNumberGenerator()
        var machine = Machine(
            id: .random(using: &generator), name: try DisplayName(name), interfaces: [], now: .init(milliseconds: 1_700_000_000_000))
        machine.state = state
        machine.observed.foreignDisks = state == .new ? nil : []
        _ = try await control.put(machine)
        return machine
    }

    /// Asks what a request will cost, and sends it with the consent to that.
    func sendAgreed(_ method: HTTPMethod, _ path: String, as role: Role? = .admin, body: String? = nil) async throws -> Answer {
        let cost = try await send(method, path + "?dryRun=true", as: role, body: body).decode(Consequence.self)
        return try await send(method, path + (cost.confirmation.map { "?confirm=\($0)" } ?? ""), as: role, body: body)
    }

    func send(
        _ method: HTTPMethod, _ path: String, as role: Role? = .admin, token: String? = nil, body: String? = nil,
        headers: [String: String] = [:]
    ) async throws -> Answer {
        var request = HTTPClientRequest(url: base + path)
        request.method = method
        if let secret = token ?? role.flatMap({ secrets[$0] }) { request.headers.add(name: "Authorization", value: "Bearer \(secret)") }
        for (name, value) in headers { request.headers.add(name: name, value: value) }
        if let body { request.body = .bytes(ByteBuffer(string: body)) }
        let response = try await client.execute(request, timeout: .seconds(20))
        let bytes = try await response.body.collect(upTo: 64 << 20)
        return Answer(status: Int(response.status.code), headers: response.headers, text: String(buffer: bytes))
    }

    struct Answer: Sendable {
        var status: Int
        var headers: HTTPHeaders
        var text: String
        var json: JSONValue { get throws { try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8)) } }
        func decode<T: Decodable>(_ type: T.Type) throws -> T { try JSONDecoder().decode(type, from: Data(text.utf8)) }
        var code: String? { if case .string(let code)? = try? json["code"] { code } else { nil } }
    }
}
