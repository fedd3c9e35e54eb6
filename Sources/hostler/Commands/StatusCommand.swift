import API
import ArgumentParser
import Model

struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "status", abstract: "Show the server's own state.")
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let saved = try connection.resolve()
        try await APIClient.with(saved) { client in
            try output.print(await client.get(StatusReply.self, "/v1/status")) { Self.text($0, saved) }
        }
    }

    static func text(_ status: StatusReply, _ saved: SavedServer) -> String {
        let machines = status.machines.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
        var lines = [
            "server:      \(saved.server), Hostler \(status.version)",
            "up:          \(Quantity.duration(.seconds(status.uptimeSeconds)))",
            "memory:      \(Quantity.bytes(status.memoryBytes))", "revision:    \(status.revision)",
            "machines:    \(machines.isEmpty ? "none yet" : machines)\(status.heldMachines > 0 ? "; \(status.heldMachines) held" : "")",
            "operations:  \(status.openOperations) open\(waiting(status))", "images:      \(status.images)",
        ]
        if let pem = saved.ca, let fingerprint = try? CertificateAuthority.fingerprint(ofPEM: pem) { lines.append("CA:          \(fingerprint)") }
        if let namespace = status.machineNamespace { lines.append("namespace:   \(namespace)") }
        lines += counters(status.counters)
        for warning in status.warnings { lines.append("\n" + ProblemText.text(warning, terminal: .standard)) }
        return lines.joined(separator: "\n")
    }

    private static func waiting(_ status: StatusReply) -> String {
        guard let count = status.waitingOperations, count > 0 else { return "" }
        return "; \(count) of them \(count == 1 ? "waits" : "wait") for a second word: hostler operation list --state waiting"
    }

    /// A line for each service of each network; what was never counted is left out.
    private static func counters(_ networks: [String: [String: [String: Int]]]) -> [String] {
        networks.sorted { $0.key < $1.key }.flatMap { network, services in
            services.sorted { $0.key < $1.key }.map { service, counters in
                let counted = counters.filter { $0.value > 0 }.sorted { $0.key < $1.key }
                let text = counted.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
                return "\(service):".padded(to: 13) + (networks.count > 1 ? "\(network): " : "") + (text.isEmpty ? "nothing yet" : text)
            }
        }
    }
}
