internal import Control
internal import FoundationEssentials
internal import Hummingbird
internal import Model
internal import NIOCore

enum ServerRoutes {
    static let routes: [Route] = [
        Route(
            method: .get, path: "/healthz", name: "getHealth", summary: "Whether the server answers", access: .open,
            reply: .json("Health")
        ) { _ in try .json(["status": "ok"]) },
        Route(
            method: .get, path: "/openapi.json", name: "getOpenAPI", summary: "This document", access: .open,
            reply: .json("Document")
        ) { call in try .json(OpenAPIDocument.document(version: call.server.surroundings.version)) },
        Route(
            method: .get, path: "/ca.pem", name: "getAuthority",
            summary: "The CA's certificate, for clients that compare its fingerprint", access: .open,
            reply: .init(status: .ok, schema: nil, contentType: "application/x-pem-file")
        ) { call in
            guard let pem = call.server.authorityPEM else {
                throw Problem("authority-not-found", status: 404, title: "This server has no CA of its own")
            }
            return Response(
                status: .ok, headers: [.contentType: "application/x-pem-file"], body: .init(byteBuffer: .init(string: pem)))
        },
        Route(
            method: .get, path: "/v1/status", name: "getStatus", summary: "The server's own state", access: .role(.viewer),
            reply: .json("Status"), handler: status),
        Route(
            method: .get, path: "/metrics", name: "getMetrics", summary: "Metrics for Prometheus, in its text format 0.0.4",
            access: .role(.viewer), reply: .init(status: .ok, schema: nil, contentType: Exposition.contentType)
        ) { call in
            let text = try await ServerMetrics.text(call.server)
            return Response(status: .ok, headers: [.contentType: Exposition.contentType], body: .init(byteBuffer: .init(string: text)))
        },
        Route(
            method: .post, path: "/v1/backup", name: "takeBackup", summary: "A consistent copy of the state, as a file",
            access: .role(.admin),
            reply: .init(status: .ok, schema: nil, contentType: "application/octet-stream"), handler: backup),
    ]

    private static func status(_ call: Call) async throws -> Response {
        let server = call.server
        let machines = try await server.records.all(Machine.self).map(\.value)
        let operations = try await server.records.all(Model.Operation.self)
        let reply = StatusReply(
            version: server.surroundings.version, startedAt: server.startedAt,
            uptimeSeconds: (ContinuousClock.now - server.began).components.seconds,
            revision: try await server.records.store.currentRevision().rawValue,
            machines: Dictionary(grouping: machines, by: \.state.rawValue).mapValues(\.count),
            heldMachines: machines.count { !$0.holds.isEmpty }, openOperations: operations.count { $0.value.isOpen },
            waitingOperations: operations.count { $0.value.state == .waiting }, freeze: server.control.freeze,
            // Images that cannot be read say nothing of the rest.
            images: (try? await server.images.list())?.count { $0.state == .ready } ?? 0, memoryBytes: residentBytes(),
            machineNamespace: server.surroundings.machineNamespace,
            warnings: [server.control.freeze?.warning].compactMap(\.self) + (await server.warnings()),
            counters: await server.surroundings.counters())
        return try .json(reply)
    }

    /// From /proc/self/status; 0 where that cannot be read.
    private static func residentBytes() -> Int64 {
        guard let text = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8),
            let line = text.split(separator: "\n").first(where: { $0.hasPrefix("VmRSS:") }),
            let kibibytes = line.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap({ Int64($0) })
        else { return 0 }
        return kibibytes * 1024
    }

    private static func backup(_ call: Call) async throws -> Response {
        guard let backup = call.server.surroundings.backup else {
            throw Problem("backup-impossible", status: 501, title: "This server's store has no backup")
        }
        var generator = SystemRandomNumberGenerator()
        let directory = call.server.surroundings.backupDirectory
        let path = "\(directory)/backup-\(String(generator.next(), radix: 32)).tmp"
        do {
            try await backup(path)
            let file = try await FileIO().loadFile(path: path, context: call.context)
            let body = ResponseBody(contentLength: file.contentLength) { writer in
                defer { try? FileManager.default.removeItem(atPath: path) }
                try await file.write(writer)
            }
            return Response(
                status: .ok,
                headers: [
                    .contentType: "application/octet-stream",
                    .contentDisposition: "attachment; filename=\"hostler-backup.sqlite\"",
                ], body: body)
        } catch {
            try? FileManager.default.removeItem(atPath: path)
            throw error
        }
    }
}
