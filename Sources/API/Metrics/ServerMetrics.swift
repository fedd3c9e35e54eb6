internal import Control
internal import FoundationEssentials
internal import Glibc
internal import Model

/// What `/metrics` tells. The names are stable and stand in docs/metrics.md; a test holds both together.
struct ServerMetrics {
    var exposition = Exposition()

    static func text(_ server: ServerState) async throws -> String {
        var metrics = ServerMetrics()
        metrics.addProcess(version: server.surroundings.version, startedAt: server.startedAt)
        metrics.add(machines: try await server.records.all(Machine.self).map(\.value))
        metrics.add(operations: try await server.records.all(Model.Operation.self).map(\.value))
        metrics.exposition.add(
            "hostler_store_revision", .gauge, "The newest revision of the record.",
            [.init(Double(try await server.records.store.currentRevision().rawValue))])
        metrics.exposition.add(
            "hostler_images", .gauge, "Images that machines can be given.",
            [.init(Double((try? await server.images.list())?.count { $0.state == .ready } ?? 0))])
        metrics.exposition.add(
            "hostler_frozen", .gauge, "1 while nothing may change a machine.", [.init(server.control.freeze == nil ? 0 : 1)])
        metrics.exposition.add(
            "hostler_warnings", .gauge, "What the operator should know, as another DHCP server on the wire.",
            [.init(Double(await server.warnings().count + (server.control.freeze == nil ? 0 : 1)))])
        metrics.exposition.add(
            "hostler_damaged_records", .gauge, "Records that cannot be read and are set aside.",
            [.init(Double(server.records.damaged.all.count))])
        metrics.exposition.add(
            "hostler_api_connections", .gauge, "Connections to the API.", [.init(Double(server.connections.total))])
        metrics.exposition.add(
            "hostler_api_connections_refused_total", .counter, "Connections to the API that were beyond its limits.",
            [.init(Double(server.connections.refused))])
        metrics.add(counters: await server.surroundings.counters())
        if let backups = await server.surroundings.backups() { metrics.add(backups: backups) }
        if let bmcs = server.bmcs { metrics.add(bmcs: bmcs.vitals()) }
        return metrics.exposition.text
    }

    // MARK: The program

    private mutating func addProcess(version: String, startedAt: Timestamp) {
        exposition.add("hostler_build_info", .gauge, "1, with the version as a label.", [.init(1, [("version", version)])])
        exposition.add(
            "process_start_time_seconds", .gauge, "When the program started, in seconds since 1970.",
            [.init(Double(startedAt.milliseconds) / 1000)])
        var time = timespec()
        if clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) == 0 {
            exposition.add(
                "process_cpu_seconds_total", .counter, "Processor time used, in seconds.",
                [.init(Double(time.tv_sec) + Double(time.tv_nsec) / 1e9)])
        }
        if let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) {
            let pages = text.split(separator: " ").prefix(2).compactMap { Double($0) }
            if pages.count == 2 {
                let pageBytes = Double(getpagesize())
                exposition.add("process_virtual_memory_bytes", .gauge, "Address space.", [.init(pages[0] * pageBytes)])
                exposition.add("process_resident_memory_bytes", .gauge, "Memory in use.", [.init(pages[1] * pageBytes)])
            }
        }
        if let open = try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count {
            exposition.add("process_open_fds", .gauge, "Open files and sockets.", [.init(Double(open))])
        }
    }

    // MARK: The record

    private mutating func add(machines: [Machine]) {
        exposition.add(
            "hostler_machines", .gauge, "Machines in each state.",
            MachineState.allCases.map { state in .init(Double(machines.count { $0.state == state }), [("state", state.rawValue)]) })
        exposition.add(
            "hostler_machines_held", .gauge, "Machines on hold.", [.init(Double(machines.count { !$0.holds.isEmpty }))])
        exposition.add(
            "hostler_machine_info", .gauge, "1 for each machine, with what people call it.",
            machines.map { .init(1, [("machine", $0.id.rawValue), ("name", $0.name.text), ("kind", $0.kind.rawValue)]) })
    }

    private mutating func add(operations: [Model.Operation]) {
        let groups = Dictionary(grouping: operations) { [$0.kind.rawValue, $0.state.rawValue] }.sorted { $0.key.lexicographicallyPrecedes($1.key) }
        exposition.add(
            "hostler_operations", .gauge, "Operations in the record, by kind and state.",
            groups.map { .init(Double($0.value.count), [("kind", $0.key[0]), ("state", $0.key[1])]) })
    }

    // MARK: Services

    /// By network, service and counter: `hostler_dhcp_received_total`.
    private mutating func add(counters: [String: [String: [String: Int]]]) {
        var families: [String: (service: String, counter: String, samples: [Exposition.Sample])] = [:]
        for (network, services) in counters.sorted(by: { $0.key < $1.key }) {
            for (service, counts) in services {
                for (counter, count) in counts {
                    let name = "hostler_\(service)_\(counter)_total"
                    families[name, default: (service, counter, [])].samples.append(.init(Double(count), [("network", network)]))
                }
            }
        }
        for (name, family) in families.sorted(by: { $0.key < $1.key }) {
            exposition.add(name, .counter, "What the \(family.service) service counts as “\(family.counter)”.", family.samples)
        }
    }
}
