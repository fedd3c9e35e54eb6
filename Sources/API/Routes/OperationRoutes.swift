internal import Control
internal import Hummingbird
internal import Model

enum OperationRoutes {
    static let routes: [Route] = [
        Route(
            method: .get, path: "/v1/operations", name: "listOperations",
            summary: "The operations, or a stream of their changes", access: .role(.viewer),
            query: Route.QueryParameter.watching + [
                .init(name: "machine", summary: "Only this machine's, by id or name."),
                .init(
                    name: "state", summary: "Only those in this state; `open` stands for waiting, running and undoing.",
                    values: ["open"] + OperationState.allCases.map(\.rawValue)),
            ],
            reply: .json("OperationList", watch: true)
        ) { call in try await ResourceList.respond(call, Model.Operation.self, filter: filter(call)) },
        Route(
            method: .post, path: "/v1/operations", name: "startOperations", summary: "Start operations on many machines",
            access: .role(.operator), query: [.dryRun], body: "OperationBulk", bodyLimit: 24 << 20, reply: .json("OperationBulkReply"),
            stopsInFreeze: true,
            handler: startMany),
        Route(
            method: .get, path: "/v1/operations/{operation}", name: "getOperation", summary: "One operation",
            access: .role(.viewer), reply: .json("Operation")
        ) { call in
            let id = try call.id("operation", OperationID.self, noun: "operation")
            guard let found = try await call.server.records.get(Model.Operation.self, id: id.rawValue) else {
                throw Problem.notFound("operation", id.rawValue)
            }
            return try .json(found.value, headers: [.eTag: "\"\(found.revision)\""])
        },
        Route(
            method: .post, path: "/v1/operations/{operation}/cancel", name: "cancelOperation",
            summary: "Ask for an operation's end", access: .role(.operator), reply: .json("Operation", status: .accepted)
        ) { call in
            let id = try call.id("operation", OperationID.self, noun: "operation")
            return try .json(await call.server.control.cancel(id, by: call.actor), status: .accepted)
        },
        Route(
            method: .post, path: "/v1/operations/{operation}/approve", name: "approveOperation",
            summary: "The second word: let an operation begin that is beyond a limit for the whole rack", access: .role(.admin),
            reply: .json("Operation", status: .accepted), stopsInFreeze: true,
            foresee: { call in
                let id = try call.id("operation", OperationID.self, noun: "operation")
                guard let found = try await call.server.records.get(Model.Operation.self, id: id.rawValue)?.value else {
                    throw Problem.notFound("operation", id.rawValue)
                }
                return try await call.server.control.consequence(of: .approve(id), on: found.machine.rawValue)
            }
        ) { call in
            let id = try call.id("operation", OperationID.self, noun: "operation")
            return try .json(await call.server.control.approve(id, by: call.actor, agreement: call.agreement), status: .accepted)
        },
    ]

    private static func filter(_ call: Call) async throws -> ChangeStream.Filter<Model.Operation> {
        let machine: MachineID? =
            if let name = call.query("machine") {
                try await call.server.control.machine(named: name).value.id
            } else {
                nil
            }
        let isOpen = call.query("state") == "open"
        let state = isOpen ? nil : try call.choice("state", OperationState.self)
        return .init(
            concerns: { machine == nil || $0.machine == machine },
            isInView: { (!isOpen || $0.isOpen) && (state == nil || $0.state == state) })
    }

    private static func startMany(_ call: Call) async throws -> Response {
        let bulk = try await call.body(OperationBulk.self)
        try Bulk.check(bulk.items.count)
        if try call.flag("dryRun") {
            var reply = BulkReply<Consequence>(results: [])
            for item in bulk.items {
                await reply.add(item.machine) {
                    try await call.server.control.consequence(of: .operation(item.request), on: item.machine)
                }
            }
            return try .json(reply)
        }
        var reply = BulkReply<Model.Operation>(results: [])
        for item in bulk.items {
            await reply.add(item.machine) {
                try await call.server.control.start(item.request, on: item.machine, by: call.actor, agreement: item.confirm)
            }
        }
        return try .json(reply)
    }
}

/// Operations on many machines, each started or refused by itself.
struct OperationBulk: RequestBodyForm {
    static let fields = ["items"]
    var items: [Item]

    struct Item: Decodable, RequestBodyForm {
        static let fields = ["machine", "confirm"] + CodingKeys.kinds.map(\.rawValue)
        var machine: String
        var request: OperationRequest
        /// What the caller agrees to lose.
        var confirm: String?

        private enum CodingKeys: String, CodingKey {
            case machine, confirm, install, wipe, inspect, rescue
            static let kinds: [Self] = [.install, .wipe, .inspect, .rescue]
        }
        private struct Nothing: RequestBodyForm { static let fields: [String] = [] }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            machine = try container.decode(String.self, forKey: .machine)
            confirm = try container.decodeIfPresent(String.self, forKey: .confirm)
            let kinds = CodingKeys.kinds.filter { container.contains($0) }
            guard kinds.count == 1, let kind = kinds.first else {
                throw Problem(
                    "operation-kind", title: "An item names one of install, wipe, inspect, rescue",
                    detail: "the item of \(machine) names \(kinds.count)")
            }
            switch kind {
            case .install: request = .install(try container.decode(Strict<InstallRequest>.self, forKey: kind).value)
            case .wipe: request = .wipe(try container.decode(Strict<WipeRequest>.self, forKey: kind).value)
            case .rescue: request = .rescue(try container.decode(Strict<RescueRequest>.self, forKey: kind).value)
            default:
                _ = try container.decode(Strict<Nothing>.self, forKey: kind)
                request = .inspect
            }
        }
    }

    private enum CodingKeys: CodingKey { case items }
    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        items = try container.decode([Strict<Item>].self, forKey: .items).map(\.value)
    }
}
