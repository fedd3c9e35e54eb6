/// Sends the log to the control plane, a batch a second at most.
enum LogStream {
    private static let batchLines = 300

    static func run(log: AgentLog, session: Session) async {
        let kernel = KernelLog()
        var backoff = Backoff(first: 1000, limit: 10_000)
        while !Task.isCancelled {
            kernel.pass(to: log)
            let batch = log.oldest(batchLines)
            var pause = Duration.seconds(1)
            if batch.taken > 0 {
                do {
                    try await session.client.post("log", batch.batch)
                    log.forget(batch)
                    backoff = Backoff(first: 1000, limit: 10_000)
                } catch .status(401, _) {
                    _ = await session.hello()
                } catch .status(413, _), .status(400, _) {
                    // It will not get better by being sent again.
                    log.forget(batch)
                } catch {
                    pause = backoff.next()
                }
            }
            try? await Task.sleep(for: pause)
        }
    }

    /// What is left, in one last try before the machine restarts.
    static func flush(log: AgentLog, session: Session) async {
        let batch = log.oldest(batchLines)
        guard batch.taken > 0 else { return }
        if (try? await session.client.post("log", batch.batch, timeoutSeconds: 2)) != nil { log.forget(batch) }
    }
}
