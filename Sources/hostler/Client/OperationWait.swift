import API
import ArgumentParser
import FoundationEssentials
import Model

struct WaitOptions: ParsableArguments {
    @Flag(inversion: .prefixedNo, help: "Wait for the operation's end and show its progress.")
    var wait = true
}

enum OperationWait {
    /// Shows the operation until it is over, and what became of it. A failure is thrown.
    static func finish(
        _ operation: Model.Operation, _ wait: WaitOptions, _ output: OutputOptions, _ client: APIClient
    ) async throws {
        let quiet = output.format == .json || output.format == .yaml
        guard wait.wait else {
            return try output.print(operation) { begun($0) }
        }
        if operation.state == .waiting { Terminal.writeError(begun(operation)) }
        let end = try await follow(operation.id, quiet: quiet, client)
        if quiet { try output.print(end) { _ in "" } }
        try await judge(end, quiet: quiet, client)
    }

    /// That it began, or waits, and what comes next.
    static func begun(_ operation: Model.Operation) -> String {
        guard operation.state == .waiting else { return "\(operation.id)  started; follow it with: hostler operation watch \(operation.id)" }
        return "\(operation.id)  waits for a second word: \(operation.problem?.title ?? "beyond a limit")\n"
            + "an admin lets it begin with: hostler operation approve \(operation.id)"
    }

    static func follow(_ id: OperationID, quiet: Bool, _ client: APIClient) async throws -> Model.Operation {
        var view = OperationView()
        let follower = OperationFollower(
            client: client, id: id, onChange: { if !quiet { view.show($0) } },
            onNote: { quiet ? Terminal.writeError($0) : view.note($0) })
        return try await follower.follow()
    }

    /// Says how it ended; throws where that was not well.
    static func judge(_ operation: Model.Operation, quiet: Bool, _ client: APIClient) async throws {
        let terminal = Terminal.standard
        let took = operation.finishedAt.map { Quantity.duration($0 - operation.createdAt) } ?? "?"
        if operation.state == .succeeded {
            if quiet { return }
            print("\n" + terminal.paint("✔ \(operation.kind.rawValue) of \(operation.machine) succeeded in \(took)", .green))
            print(StepTimes.table(operation).text(terminal: terminal))
            return
        }
        let problem =
            operation.problem
            ?? Problem(
                "operation-\(operation.state.rawValue)", title: "The operation ended as \(operation.state.rawValue)")
        if !quiet { try await showEvidence(operation, client, terminal) }
        throw problem
    }

    private static func showEvidence(
        _ operation: Model.Operation, _ client: APIClient, _ terminal: Terminal
    ) async throws {
        print("\n" + terminal.paint("\(operation.kind.rawValue) of \(operation.machine): \(operation.state.rawValue)", .red))
        if let step = operation.steps.first(where: { $0.problem != nil }) {
            for (name, value) in step.evidence.sorted(by: { $0.key < $1.key }) { print("  \(name): \(value)") }
        }
        let machine = try? await client.get(Machine.self, "/v1/machines/\(operation.machine)")
        guard let hold = machine?.holds.last(where: { $0.operation == operation.id }) else { return }
        print("  the last that the machine said:")
        for line in hold.evidence.suffix(20) { print("    " + terminal.paint(Table.printable(line), .grey)) }
        print("  the machine is held: look, then: hostler machine release \(operation.machine) \(hold.id)")
    }
}
