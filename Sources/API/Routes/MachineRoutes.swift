internal import Control
internal import Hummingbird
internal import Model
internal import Wire

enum MachineRoutes {
    static let routes: [Route] = [
        Route(
            method: .get, path: "/v1/machines", name: "listMachines", summary: "The machines, or a stream of their changes",
            access: .role(.viewer),
            query: Route.QueryParameter.watching + [
                .init(name: "state", summary: "Only those in this state.", values: MachineState.allCases.map(\.rawValue)),
                .init(name: "label", summary: "Only those with this label, as `key` or `key=value`."),
                .init(name: "name", summary: "Only those whose name holds this text."),
            ],
            reply: .json("MachineList", watch: true)
        ) { call in try await ResourceList.respond(call, Machine.self, filter: filter(call)) },
        Route(
            method: .patch, path: "/v1/machines", name: "updateMachines", summary: "Change many machines",
            access: .role(.operator), body: "MachineBulkPatch", bodyLimit: 8 << 20, reply: .json("MachineBulkReply"),
            handler: updateMany),
        Route(
            method: .get, path: "/v1/machines/{machine}", name: "getMachine", summary: "One machine, by id or name",
            access: .role(.viewer), reply: .json("Machine")
        ) { call in try reply(await call.server.control.machine(named: call.path("machine"))) },
        Route(
            method: .patch, path: "/v1/machines/{machine}", name: "updateMachine",
            summary: "Change what people want of a machine; with If-Match only if it is still at that revision",
            access: .role(.operator), body: "MachinePatch", bodyLimit: 24 << 20, reply: .json("Machine")
        ) { call in
            let patch = try await call.body(MachinePatch.self)
            return try reply(
                await call.server.control.update(
                    machine: call.path("machine"), with: patch, expecting: call.expectedRevision(), by: call.actor))
        },
        Route(
            method: .delete, path: "/v1/machines/{machine}", name: "deleteMachine", summary: "Forget a machine",
            access: .role(.operator), reply: .none, stopsInFreeze: true, foresee: { try await $0.consequence(of: .delete) }
        ) { call in
            try await call.server.control.delete(machine: call.path("machine"), by: call.actor, agreement: call.agreement)
            return .nothing
        },
        Route(
            method: .post, path: "/v1/machines/{machine}/install", name: "installMachine",
            summary: "Put an operating system on a machine", access: .role(.operator), body: "InstallRequest",
            bodyLimit: 24 << 20, reply: .json("Operation", status: .accepted), stopsInFreeze: true,
            foresee: { try await $0.consequence(of: .operation(.install($0.body(InstallRequest.self)))) }
        ) { call in try await start(call, .install(call.body(InstallRequest.self))) },
        Route(
            method: .post, path: "/v1/machines/{machine}/wipe", name: "wipeMachine", summary: "Wipe a machine's disks",
            access: .role(.operator), body: "WipeRequest", reply: .json("Operation", status: .accepted), stopsInFreeze: true,
            foresee: { try await $0.consequence(of: .operation(.wipe($0.body(WipeRequest.self)))) }
        ) { call in try await start(call, .wipe(call.body(WipeRequest.self))) },
        Route(
            method: .post, path: "/v1/machines/{machine}/inspect", name: "inspectMachine",
            summary: "Look again at what a machine is made of", access: .role(.operator),
            reply: .json("Operation", status: .accepted), stopsInFreeze: true,
            foresee: { try await $0.consequence(of: .operation(.inspect)) }
        ) { call in try await start(call, .inspect) },
        Route(
            method: .post, path: "/v1/machines/{machine}/rescue", name: "rescueMachine",
            summary: "Boot a machine into a shell over SSH", access: .role(.operator), body: "RescueRequest",
            reply: .json("Operation", status: .accepted), stopsInFreeze: true,
            foresee: { try await $0.consequence(of: .operation(.rescue($0.body(RescueRequest.self)))) }
        ) { call in try await start(call, .rescue(call.body(RescueRequest.self))) },
        Route(
            method: .delete, path: "/v1/machines/{machine}/holds/{hold}", name: "releaseHold",
            summary: "Say that a person looked: take a hold off", access: .role(.operator), reply: .json("Machine"), stopsInFreeze: true,
            foresee: { try await $0.consequence(of: .release($0.id("hold", HoldID.self, noun: "hold"))) }
        ) { call in
            let hold = try call.id("hold", HoldID.self, noun: "hold")
            return try .json(
                await call.server.control.releaseHold(hold, on: call.path("machine"), by: call.actor, agreement: call.agreement))
        },
        Route(
            method: .post, path: "/v1/machines/{machine}/interfaces", name: "takeInterface",
            summary: "Give a network port to a machine; another machine that had it has it no longer", access: .role(.operator),
            body: "InterfaceRequest", reply: .json("Machine"), stopsInFreeze: true,
            foresee: { try await $0.consequence(of: .take($0.body(InterfaceRequest.self).mac)) }
        ) { call in
            let request = try await call.body(InterfaceRequest.self)
            return try .json(
                await call.server.control.take(
                    interface: request.mac, into: call.path("machine"), by: call.actor, agreement: call.agreement))
        },
        Route(
            method: .get, path: "/v1/machines/{machine}/log", name: "getMachineLog",
            summary: "The last lines of the machine's agent", access: .role(.viewer), reply: .json("Log")
        ) { call in
            try .json(LogReply(lines: await call.server.control.agentLog(machine: call.path("machine"))))
        },
    ]

    private static func filter(_ call: Call) throws -> ChangeStream.Filter<Machine> {
        let state = try call.choice("state", MachineState.self)
        let label = call.query("label").map { $0.split(separator: "=", maxSplits: 1).map(String.init) }
        let name = call.query("name")?.lowercased()
        return .init(isInView: { machine in
            if let state, machine.state != state { return false }
            if let name, !machine.name.text.lowercased().contains(name) { return false }
            if let label {
                guard let value = machine.desired.labels[label.first ?? ""] else { return false }
                if label.count == 2, value != label[1] { return false }
            }
            return true
        })
    }

    private static func reply(_ machine: Versioned<Machine>) throws -> Response {
        try .json(machine.value, headers: [.eTag: "\"\(machine.revision)\""])
    }

    private static func start(_ call: Call, _ request: OperationRequest) async throws -> Response {
        let operation = try await call.server.control.start(
            request, on: call.path("machine"), by: call.actor, agreement: call.agreement)
        return try .json(operation, status: .accepted, headers: [.location: "/v1/operations/\(operation.id)"])
    }

    private static func updateMany(_ call: Call) async throws -> Response {
        let bulk = try await call.body(MachineBulkPatch.self)
        try Bulk.check(bulk.items.count)
        var reply = BulkReply<Machine>(results: [])
        for item in bulk.items {
            await reply.add(item.machine) {
                try await call.server.control.update(
                    machine: item.machine, with: item.patch, expecting: item.revision.map { .init(rawValue: $0) },
                    by: call.actor
                ).value
            }
        }
        return try .json(reply)
    }
}

/// Changes of many machines, each done or refused by itself.
struct MachineBulkPatch: RequestBodyForm {
    static let fields = ["items"]
    var items: [Item]

    struct Item: Decodable {
        var machine: String
        var patch: MachinePatch
        var revision: Int64?

        private enum CodingKeys: CodingKey { case machine, patch, revision }
        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            machine = try container.decode(String.self, forKey: .machine)
            patch = try container.decode(Strict<MachinePatch>.self, forKey: .patch).value
            revision = try container.decodeIfPresent(Int64.self, forKey: .revision)
        }
    }
}

enum Bulk {
    static let maximumItems = 500

    static func check(_ count: Int) throws(Problem) {
        guard (1...maximumItems).contains(count) else {
            throw Problem(
                "bulk-size", status: 413, title: "A bulk request has 1 to \(maximumItems) items", detail: "this one has \(count)",
                remedy: "Send several.")
        }
    }
}

extension BulkReply {
    mutating func add(_ machine: String, _ work: () async throws -> Value) async {
        do {
            results.append(BulkResult(machine: machine, value: try await work(), problem: nil))
        } catch let problem as Problem {
            results.append(BulkResult(machine: machine, value: nil, problem: problem))
        } catch {
            let problem = Problem("internal", status: 500, title: "Something went wrong inside Hostler", detail: "\(error)")
            results.append(BulkResult(machine: machine, value: nil, problem: problem))
        }
    }
}

struct InterfaceRequest: RequestBodyForm {
    static let fields = ["mac"]
    var mac: MACAddress
}

extension MachinePatch: RequestBodyForm { static let fields = ["name", "hostname", "labels", "tags", "sshKeys", "userData", "network", "lease"] }
extension InstallRequest: RequestBodyForm {
    static let fields = ["image", "hostname", "sshKeys", "userData", "networkConfig", "disk", "restart", "dataSource"]
}
extension WipeRequest: RequestBodyForm { static let fields = ["disks"] }
extension RescueRequest: RequestBodyForm { static let fields = ["sshKeys"] }
