public import Model

/// What a task monitor's answers say of a long job (DSP0266 §12.2).
public struct TaskProgress: Sendable, Equatable {
    public enum Verdict: Sendable, Equatable {
        /// Ask again after so long.
        case wait(Duration)
        case done
        case failed(Problem)
    }

    /// In percent, where the BMC says.
    public var percent: Int?
    public var messages: [String] = []

    public init() {}

    private static let running: Set<String> = [
        "new", "starting", "running", "pending", "service", "stopping", "suspended", "interrupted",
    ]

    /// Judges an answer of the monitor, or the task resource itself.
    public mutating func answered(_ answer: RedfishAnswer, at address: String) -> Verdict {
        let json = answer.json
        percent = json["PercentComplete"]?.integer ?? percent
        messages = ExtendedInfo(["@Message.ExtendedInfo": json["Messages"] ?? []]).messages.compactMap { $0.text ?? $0.id }
        let state = json["TaskState"]?.text?.lowercased()
        if let state, Self.running.contains(state) { return .wait(Self.pause(answer)) }
        // Some BMCs answer 202 to the very end, and say it only in the state.
        if answer.reply.status == 202, state == nil { return .wait(Self.pause(answer)) }
        switch (state, json["TaskStatus"]?.text?.lowercased()) {
        case ("exception", _), ("killed", _), ("cancelled", _), ("completed", "critical"):
            return .failed(
                .bmc(
                    "task-failed", "A job of the BMC at \(address) ended as \(json["TaskState"]?.text ?? "failed")",
                    detail: messages.isEmpty ? nil : "It said: \(messages.joined(separator: " "))"))
        default: return .done
        }
    }

    /// `Retry-After`, kept between a second and half a minute.
    private static func pause(_ answer: RedfishAnswer) -> Duration {
        let seconds = answer.reply.headers["retry-after"].flatMap { Int($0) } ?? 2
        return .seconds(min(max(seconds, 1), 30))
    }
}
