internal import CLinux
internal import Model

/// The operation is no longer this agent's: it stops what it does and asks for work.
struct Abandoned: Error, CustomStringConvertible {
    var description: String { "the operation goes on without this agent" }
}

/// Tells the control plane how the steps of one task go.
struct StepReporter: Sendable {
    let session: Session
    let operation: OperationID
    let generation: UInt64
    var log: AgentLog { session.log }

    /// Runs one step: reports its start, its progress twice a second, and how it ended.
    ///
    /// - Throws: ``Abandoned``, or the problem that the step failed with (already reported).
    func step(
        _ name: StepName, total: Int64 = 0,
        _ body: @Sendable @escaping (ProgressCounter) async throws -> [String: String]
    ) async throws {
        log("\(name.rawValue) begins")
        try await insist(report(name, .started))
        let evidence: [String: String]
        do {
            evidence = try await withProgress(name, ProgressCounter(total: total), body)
        } catch let abandoned as Abandoned {
            throw abandoned
        } catch let cancelled as CancellationError {
            throw cancelled
        } catch {
            let problem = Self.problem(error, in: name)
            log("\(name.rawValue) failed: \(problem)")
            try await insist(report(name, .failed, problem: problem))
            throw problem
        }
        log("\(name.rawValue) succeeded: " + evidence.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " "))
        try await insist(report(name, .succeeded, evidence: evidence))
    }

    /// Reports that must arrive before anything else happens.
    func insist(_ report: StepReport) async throws {
        let reply: ReportReply
        do {
            reply = try await session.insist(
                on: "report of \(report.step.rawValue)", isFinal: Self.meansGone
            ) { client throws(TalkError) in
                try await client.post("report", report, answer: ReportReply.self)
            }
        } catch is TalkError {
            throw Abandoned()
        }
        guard reply.goOn else { throw Abandoned() }
    }

    func report(
        _ step: StepName, _ kind: StepReport.Kind, progress: Progress? = nil, evidence: [String: String] = [:],
        problem: Problem? = nil
    ) -> StepReport {
        StepReport(
            operation: operation, generation: generation, step: step, kind: kind, progress: progress,
            evidence: evidence, problem: problem)
    }

    private func withProgress(
        _ name: StepName, _ counter: ProgressCounter,
        _ body: @Sendable @escaping (ProgressCounter) async throws -> [String: String]
    ) async throws -> [String: String] {
        try await withThrowingTaskGroup(of: [String: String]?.self) { group in
            group.addTask { try await body(counter) }
            group.addTask {
                try await tick(name, counter)
                return nil
            }
            defer { group.cancelAll() }
            while let result = try await group.next() {
                if let result { return result }
            }
            throw CancellationError()
        }
    }

    /// Progress is best effort: while the network is cut the next one tells all that was missed.
    private func tick(_ name: StepName, _ counter: ProgressCounter) async throws {
        var last: Progress?
        var silentTicks = 0
        while true {
            try await Task.sleep(for: .milliseconds(500))
            let now = counter.progress
            silentTicks += 1
            // Without news it still is a sign of life now and then.
            guard now != last || silentTicks >= 20 else { continue }
            (last, silentTicks) = (now, 0)
            do {
                let reply = try await session.client.post(
                    "report", report(name, .progress, progress: now), answer: ReportReply.self, timeoutSeconds: 10)
                guard reply.goOn else { throw Abandoned() }
            } catch let error as TalkError {
                if Self.meansGone(error) { throw Abandoned() }
                if case .status(401, _) = error { _ = await session.hello() }
            }
        }
    }

    private static func meansGone(_ error: TalkError) -> Bool {
        if case .status(let code, _) = error { [403, 404, 409, 410].contains(code) } else { false }
    }

    private static func problem(_ error: any Error, in step: StepName) -> Problem {
        if let problem = error as? Problem { return problem }
        return Problem(
            "agent-error", status: 500, title: "The agent could not do \(step.rawValue)", detail: "\(error)",
            remedy: "Look at the machine's agent log; the step is tried again.")
    }
}
