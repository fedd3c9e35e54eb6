internal import CLinux
internal import FoundationEssentials
internal import Model
internal import Wire

/// The agent's standing with the control plane: says hello, keeps the session,
/// and asks again for as long as it takes.
actor Session {
    /// A restarted agent goes on with the session of the one that crashed: the nonce is spent.
    private static let keyPath = "/run/hostler/session-key"
    nonisolated let client: ControlClient
    nonisolated let log: AgentLog
    private var request: HelloRequest
    private var renewal: Task<HelloReply, Never>?

    init(client: ControlClient, log: AgentLog, request: HelloRequest) {
        self.client = client
        self.log = log
        self.request = request
    }

    /// 32 random bytes in hex, the same after a crash of the agent.
    static func sessionKey() -> String {
        if let key = SystemFile.attribute(keyPath), key.utf8.count == 64 { return key }
        var generator = SystemRandomNumberGenerator()
        let key = Hex.encode((0..<32).map { _ in UInt8.random(in: 0...255, using: &generator) })
        try? SystemFile.write(keyPath, key)
        return key
    }

    /// Asks until the control plane answers. Where it refuses the nonce, the machine
    /// restarts to get a new one.
    func hello() async -> HelloReply {
        if let renewal { return await renewal.value }
        let request = request
        let task = Task { await Self.hello(request, client: client, log: log) }
        renewal = task
        let reply = await task.value
        renewal = nil
        return reply
    }

    private static func hello(_ request: HelloRequest, client: ControlClient, log: AgentLog) async -> HelloReply {
        var backoff = Backoff(first: 100, limit: 5000)
        while true {
            do {
                let reply = try await client.post("hello", request, answer: HelloReply.self)
                client.use(session: reply.session)
                return reply
            } catch .status(let code, let problem) where [401, 403, 409].contains(code) {
                log("the control plane refuses this boot: \(TalkError.status(code, problem)); restarting in 10 s to get a new nonce")
                try? await Task.sleep(for: .seconds(10))
                Restart.now()
            } catch {
                if backoff.tries % 5 == 0 { log("waiting for the control plane to answer hello: \(error)") }
                try? await Task.sleep(for: backoff.next())
            }
        }
    }

    /// Tries `body` until it works: a lost session is taken up again, any other trouble waited out.
    ///
    /// - Parameter isFinal: answers that another try cannot change; they are thrown.
    nonisolated func insist<Answer: Sendable>(
        on what: String, isFinal: (TalkError) -> Bool = { _ in false },
        _ body: (ControlClient) async throws(TalkError) -> Answer
    ) async throws -> Answer {
        var backoff = Backoff(limit: 4000)
        while true {
            try Task.checkCancellation()
            let bearer = client.session
            do {
                return try await body(client)
            } catch {
                if Task.isCancelled { throw CancellationError() }
                if isFinal(error) { throw error }
                if case .status(401, _) = error, client.session == bearer { _ = await hello() }
                if backoff.tries % 5 == 0 { log("\(what): \(error); trying again") }
                try await Task.sleep(for: backoff.next())
            }
        }
    }
}
