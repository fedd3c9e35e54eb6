import API
import Control
import Logging
import Model
import NIOPosix
import Store
import Synchronization
import Testing
import Wire

@testable import hostler

/// Enough of a control plane to read operations from.
private struct RecordsOnly: MachineControl, ImageShelf {
    let records: Records
    private var never: Problem { Problem("test", title: "not in this test") }
    func machine(named name: String) async throws -> Versioned<Machine> {
        guard let found = try await records.get(Machine.self, id: name) else { throw Problem.notFound("machine", name) }
        return found
    }
    func start(_ request: OperationRequest, on machine: String, by: String, agreement: String?) async throws -> Model.Operation { throw never }
    func cancel(_ id: OperationID, by actor: String) async throws -> Model.Operation { throw never }
    func update(machine: String, with: MachinePatch, expecting: Revision?, by: String) async throws -> Versioned<Machine> { throw never }
    func releaseHold(_ id: HoldID, on machine: String, by: String, agreement: String?) async throws -> Machine { throw never }
    func delete(machine: String, by actor: String, agreement: String?) async throws { throw never }
    func acceptBoot(machine: String, by actor: String) async throws -> Machine { throw never }
    func forgetTPM(machine: String, by actor: String, agreement: String?) async throws -> Machine { throw never }
    func setAttestationRule(_ rule: AttestationRule, machine: String, by actor: String) async throws -> Machine { throw never }
    func take(interface mac: MACAddress, into machine: String, by actor: String, agreement: String?) async throws -> Machine { throw never }
    func approve(_ id: OperationID, by actor: String, agreement: String?) async throws -> Model.Operation { throw never }
    func consequence(of act: MachineAct, on machine: String) async throws -> Consequence { throw never }
    var freeze: Freeze? { nil }
    func beginFreeze(_ reason: String, by actor: String) async throws -> Freeze { throw never }
    func thaw(by actor: String) async throws -> Bool { throw never }
    func removingImage(digest: String, names: Set<String>, isLast: Bool, _ body: @Sendable () async throws -> Void) async throws { throw never }
    func add(machine mac: MACAddress, name: String?, by actor: String) async throws -> Machine { throw never }
    func takeDisks(of machine: String, by actor: String, agreement: String?) async throws -> Machine { throw never }
    func agentLog(machine: String) async throws -> [String] { [] }
    func recordEvent(
        kind: String, machine: MachineID?, operation: OperationID?, actor: String, message: String, evidence: [String: String]
    ) async throws { throw never }
    func summaries() async throws -> [ImageSummary] { [] }
    func summary(named name: String) async throws -> ImageSummary? { nil }
    func removeImage(named name: String) async throws { throw never }
    func importImage(
        _ name: String, from url: String, sha256: String?, progress: @escaping @Sendable (Model.Progress) -> Void
    ) async throws { throw never }

    func put<T: StoredResource>(_ value: T) async throws {
        _ = try await records.store.commit([.put(key: value.key, value: RecordCoding.encode(value), if: .none)])
    }
}

@Suite("Following an operation") struct FollowerTests {
    private func serve(_ control: RecordsOnly, _ tokens: TokenStore, port: Int, onPort: @escaping @Sendable (Int) -> Void) async throws {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        try await APIServer(
            configuration: .init(address: "127.0.0.1", port: port, tls: .off), control: control, images: control,
            tokens: tokens, surroundings: .init(version: "test"), eventLoopGroup: MultiThreadedEventLoopGroup.singleton,
            logger: logger, onRunning: { onPort($0) }
        ).run()
    }

    @Test("goes on through a restart of the server and forgotten history, to the end", .timeLimit(.minutes(1)))
    func restart() async throws {
        let store = MemoryStore()
        let control = RecordsOnly(records: Records(store: store))
        let tokens = TokenStore(store: store)
        let secret = try await tokens.create(name: "admin", role: .admin).secret
        let machine = Machine(
            id: MachineID(unchecked: "m-0000"), name: try DisplayName("one"), interfaces: [], now: .init(milliseconds: 0))
        try await control.put(machine)
        var operation = OutputTests.operation()
        try await control.put(operation)

        let (ports, feed) = AsyncStream.makeStream(of: Int.self)
        var listening = ports.makeAsyncIterator()
        let first = Task { try await serve(control, tokens, port: 0) { feed.yield($0) } }
        let port = try #require(await listening.next())
        let (changes, seen) = AsyncStream.makeStream(of: String.self)
        var happenings = changes.makeAsyncIterator()
        let following = Task {
            try await APIClient.with(SavedServer(server: "http://127.0.0.1:\(port)", token: secret)) { client in
                try await OperationFollower(
                    client: client, id: OperationID(unchecked: "op-0000"),
                    onChange: { seen.yield("\($0.steps[1].progress?.done ?? 0) \($0.state.rawValue)") },
                    onNote: { seen.yield($0) }
                ).follow()
            }
        }
        #expect(await happenings.next() == "0 running")
        operation.steps[1].progress = Progress(done: 5, total: 10)
        try await control.put(operation)
        #expect(await happenings.next() == "5 running")

        first.cancel()
        _ = await first.result
        #expect(await happenings.next()?.contains("lost") == true)
        operation.steps[1].progress = Progress(done: 7, total: 10)
        try await control.put(operation)
        try await store.compact(before: store.currentRevision())
        let second = Task { try await serve(control, tokens, port: port) { feed.yield($0) } }
        _ = await listening.next()
        #expect(await happenings.next() == "the server is back")
        #expect(await happenings.next() == "7 running")
        operation.state = .succeeded
        try await control.put(operation)
        #expect(try await following.value.state == .succeeded)
        second.cancel()
        _ = await second.result
    }

    @Test("ends at once where waiting mends nothing") func refused() async throws {
        #expect(!OperationFollower.isPassing(Problem("token-refused", status: 401, title: "")))
        #expect(!OperationFollower.isPassing(Problem("operation-not-found", status: 404, title: "")))
        #expect(OperationFollower.isPassing(Problem("server-stopping", status: 503, title: "")))
    }
}
