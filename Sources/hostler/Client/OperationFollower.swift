import API
import FoundationEssentials
import Model

/// Follows one operation to its end, through lost connections and restarts of the server.
struct OperationFollower {
    let client: APIClient
    let id: OperationID
    /// Told each state of the operation, and of lost connections.
    var onChange: (Model.Operation) -> Void
    var onNote: (String) -> Void

    /// The operation once it is over. Throws what waiting cannot mend, as a token that is refused.
    func follow() async throws -> Model.Operation {
        var waits = 0
        while true {
            do {
                // The list's revision is at most the operation's: a watch after it misses nothing.
                let start = try await client.get(
                    ListReply<Model.Operation>.self, "/v1/operations", query: ["limit": "1"]
                ).revision
                var operation = try await client.get(Model.Operation.self, "/v1/operations/\(id)")
                if waits > 0 { onNote("the server is back") }
                waits = 0
                onChange(operation)
                if !operation.isOpen { return operation }
                try await client.watch(
                    "/v1/operations", query: ["machine": operation.machine.rawValue, "after": "\(start)"]
                ) { event in
                    guard event.name == "put" else { return true }
                    let changed = try JSONDecoder().decode(Model.Operation.self, from: Data(event.data.utf8))
                    guard changed.id == id else { return true }
                    operation = changed
                    onChange(changed)
                    return changed.isOpen
                }
                if !operation.isOpen { return operation }
            } catch let problem as Problem where Self.isPassing(problem) {
                if waits == 0, problem.code != "compacted" { onNote("the connection is lost; waiting for the server") }
            }
            try await Task.sleep(for: .milliseconds(min(5000, 250 << min(waits, 5))))
            waits += 1
        }
    }

    /// Whether waiting may mend it: the server is away, stopping, or has forgotten old history.
    static func isPassing(_ problem: Problem) -> Bool {
        problem.code == "server-unreachable" || problem.code == "compacted" || [502, 503].contains(problem.status)
    }
}
