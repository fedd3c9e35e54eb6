import API
import ArgumentParser
import Model

struct OperationCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "operation", abstract: "Long work on machines: list, show, watch, cancel, approve.",
        subcommands: [List.self, Show.self, Watch.self, Cancel.self, Approve.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List operations.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @Option(help: "Only this machine's.") var machine: String?
        @Option(help: "open, waiting, running, undoing, succeeded, failed, cancelled or stuck.") var state: String?

        func run() async throws {
            try await APIClient.with(connection) { client in
                let items = try await client.list(
                    Model.Operation.self, "/v1/operations", query: ["machine": machine, "state": state]
                ).sorted { ($0.madeAfter ?? 0, $0.createdAt) < ($1.madeAfter ?? 0, $1.createdAt) }
                try output.printList(
                    items, heading: ["ID", "KIND", "MACHINE", "STATE", "STEP", "STARTED", "TOOK", "BY"],
                    none: "There are no operations."
                ) { operation in
                    [
                        operation.id.rawValue, operation.kind.rawValue, operation.machine.rawValue, operation.state.rawValue,
                        operation.state == .waiting
                            ? operation.problem?.title : operation.isOpen ? operation.currentStep?.name.rawValue : nil,
                        Quantity.ago(operation.createdAt),
                        operation.finishedAt.map { Quantity.duration($0 - operation.createdAt) }, operation.requestedBy,
                    ]
                }
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show an operation with its steps.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @Argument var operation: String

        func run() async throws {
            try await APIClient.with(connection) { client in
                let found = try await client.get(Model.Operation.self, "/v1/operations/\(operation.percentEncoded)")
                try output.print(found, text: Self.text)
            }
        }

        /// The disks that it writes.
        private static func disks(_ request: OperationRequest) -> String {
            switch request {
            case .install(let request):
                (request.disk.map { "\ndisk: \(Table.printable($0))" } ?? "")
                    + (request.retires ?? []).map { "\nputs out of force: \($0.operation) on \(Table.printable($0.disk))" }.joined()
            case .wipe(let request):
                (request.disks ?? []).map { "\ndisk: \(Table.printable($0))" }.joined()
                    + (request.left ?? []).map { "\nleft: \(Table.printable($0))" }.joined()
            case .inspect, .rescue: ""
            }
        }

        static func text(_ operation: Model.Operation) -> String {
            var table = Table(["STEP", "STATE", "ATTEMPTS", "TIME", "PROGRESS", "EVIDENCE"])
            for step in operation.steps {
                let evidence = step.evidence.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
                table.add([
                    step.name.rawValue, step.state.rawValue, "\(step.attempts)",
                    OperationView.took(step, .now).map(Quantity.duration),
                    step.progress.map { "\(Int($0.fraction * 100))%" }, evidence.joined(separator: " "),
                ])
            }
            let head =
                "\(operation.id)  \(operation.kind.rawValue) of \(operation.machine): \(operation.state.rawValue), "
                + "asked for by \(operation.requestedBy) at \(operation.createdAt)"
            // What holds up an open operation stands in its step.
            let told = operation.problem ?? (operation.isOpen ? operation.currentStep?.problem : nil)
            var problem = told.map { "\n" + ProblemText.text($0, terminal: .standard) } ?? ""
            for warning in operation.warnings ?? [] { problem += "\nwarning: \(warning.title)" }
            if let approver = operation.approvedBy { problem += "\napproved by \(approver)" }
            return head + disks(operation.request) + "\n" + table.text(terminal: .standard) + problem
        }
    }

    struct Watch: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Follow an operation to its end.")
        @OptionGroup var connection: ConnectionOptions
        @Argument var operation: String

        func run() async throws {
            try await APIClient.with(connection) { client in
                let found = try await client.get(Model.Operation.self, "/v1/operations/\(operation.percentEncoded)")
                let end = try await OperationWait.follow(found.id, quiet: false, client)
                try await OperationWait.judge(end, quiet: false, client)
            }
        }
    }

    struct Approve: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give the second word: let operations begin that are beyond a limit for the whole rack. Needs an admin's token.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var consent: ConsentOptions
        @Argument var operation: [String]

        func run() async throws {
            try await APIClient.with(connection) { client in
                for id in operation {
                    let path = "/v1/operations/\(id.percentEncoded)/approve"
                    guard let agreed = try await consent.ask(client, .POST, path, output) else { continue }
                    let begun = try await client.send(Model.Operation.self, .POST, path, query: agreed)
                    try output.print(begun) { "\($0.id)  approved; follow it with: hostler operation watch \($0.id)" }
                }
            }
        }
    }

    struct Cancel: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Ask for an operation's end; what can be undone is.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @Argument var operation: String

        func run() async throws {
            try await APIClient.with(connection) { client in
                let found = try await client.send(
                    Model.Operation.self, .POST, "/v1/operations/\(operation.percentEncoded)/cancel")
                try output.print(found) { "\($0.id)  \($0.state.rawValue), its end is asked for" }
            }
        }
    }
}
