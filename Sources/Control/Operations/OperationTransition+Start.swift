public import Model

// What a machine's BMC does to bring it into the agent.
extension OperationTransition {
    /// What the BMC did or said on the way to the agent: evidence of that step.
    ///
    /// - Parameters:
    ///   - problem: what went wrong; nil: nothing does any more.
    ///   - started: the machine has just been started, so the step's time begins anew.
    /// - Returns: whether the agent is still waited for.
    @discardableResult
    public mutating func bmcTold(
        _ evidence: [String: String], problem: Problem? = nil, started: Bool = false, _ now: Timestamp
    ) -> Bool {
        guard operation.isOpen, let step = operation.step(.agent) else { return false }
        let isWaiting = operation.state == .running && operation.currentStep?.name == .agent
        let uptime = uptime
        update(.agent) {
            $0.evidence.merge(evidence) { $1 }
            guard isWaiting else { return }
            $0.problem = problem
            if started, $0.state == .running { $0.waits(StepPolicy.of(.agent).silence, now, uptime) }
        }
        if isWaiting, let problem, problem.code != step.problem?.code {
            note("operation.bmc-failed", by: "control", "\(machine.name): \(problem.title)", BMCDesk.evidence(problem))
        }
        return isWaiting
    }
}

extension Step {
    /// What its BMC did, where one was asked: a step that waited in vain tells it.
    var wordsOfBMC: String {
        if let problem, problem.code.hasPrefix("bmc-") || problem.code.hasPrefix("power-") {
            return "\nIts BMC: \(problem.title)\(problem.detail.map { "\n\($0)" } ?? "")"
        }
        guard let power = evidence["power"] else { return "" }
        return "\nIts BMC: power \(power)\(evidence["bootOverride"].map { "; boot override \($0)" } ?? "")."
    }
}
