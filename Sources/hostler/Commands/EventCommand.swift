import API
import ArgumentParser
import FoundationEssentials
import Model

struct EventCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "event", abstract: "What happened, to what, by whom, with which evidence.", subcommands: [List.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the newest events, and follow new ones.")
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions
        @Option(help: "Only this machine's.") var machine: String?
        @Option(help: "Only of this kind, as machine or machine.discovered.") var kind: String?
        @Option(name: [.customShort("n"), .long], help: "How many, 1 to 1000.") var last = 50
        @Flag(name: [.short, .long], help: "Go on with new events until interrupted.") var follow = false

        func run() async throws {
            try await APIClient.with(connection) { client in
                let query = ["machine": machine, "kind": kind]
                let page = try await client.get(
                    ListReply<Event>.self, "/v1/events", query: query.merging(["last": "\(last)"]) { $1 })
                if !follow {
                    return try output.printList(
                        page.items, heading: ["TIME", "KIND", "MACHINE", "BY", "MESSAGE"], none: "Nothing happened yet."
                    ) { [$0.at.description, $0.kind, $0.machine?.rawValue, $0.actor, Self.message($0, output.isWide)] }
                }
                for event in page.items { show(event) }
                try await followForEver(client, query, after: page.revision)
            }
        }

        private func followForEver(_ client: APIClient, _ query: [String: String?], after start: Int64) async throws {
            var after = "\(start)"
            while true {
                do {
                    try await client.watch("/v1/events", query: query.merging(["after": after]) { $1 }) { event in
                        if event.name == "put" { show(try JSONDecoder().decode(Event.self, from: Data(event.data.utf8))) }
                        after = event.lastID ?? after
                        return true
                    }
                } catch let problem as Problem where OperationFollower.isPassing(problem) {
                    if problem.code == "compacted" {
                        Terminal.writeError("some events may be missing here: the server's history began again")
                        after = "\(try await client.get(StatusReply.self, "/v1/status").revision)"
                    }
                }
                try await Task.sleep(for: .seconds(1))
            }
        }

        private func show(_ event: Event) {
            if output.format == .json, let data = try? JSONEncoder().encode(event) {
                return Terminal.write(JSONText.escaped(String(decoding: data, as: UTF8.self)) + "\n")
            }
            let subject = event.machine?.rawValue ?? "-"
            let line = "\(event.at)  \(event.kind.padded(to: 24))  \(subject.padded(to: 9))  \(Self.message(event, output.isWide))"
            Terminal.write(Table.printable(line) + "\n")
        }

        private static func message(_ event: Event, _ isWide: Bool) -> String {
            guard isWide, !event.evidence.isEmpty else { return event.message }
            return event.message + "  " + event.evidence.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
        }
    }
}
