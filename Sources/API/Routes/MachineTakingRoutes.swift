internal import Control
internal import Hummingbird
internal import Model
internal import Wire

/// Machines that come into the record by a person, and those whose disks a person gives away.
enum MachineTakingRoutes {
    static let routes: [Route] = [
        Route(
            method: .post, path: "/v1/machines", name: "addMachine",
            summary: "Put a machine into the record by one of its ports, as where a network boots only machines that are in it",
            access: .role(.operator), body: "MachineAddition", reply: .json("Machine", status: .created)
        ) { call in
            let wanted = try await call.body(MachineAddition.self)
            let machine = try await call.server.control.add(machine: wanted.mac, name: wanted.name, by: call.actor)
            return try .json(machine, status: .created, headers: [.location: "/v1/machines/\(machine.id)"])
        },
        Route(
            method: .post, path: "/v1/machines/{machine}/take", name: "takeMachine",
            summary: "Say that nothing that a machine's disks hold is needed: it waits for work instead of booting them",
            access: .role(.operator), reply: .json("Machine"), stopsInFreeze: true, foresee: { try await $0.consequence(of: .takeDisks) }
        ) { call in
            try .json(await call.server.control.takeDisks(of: call.path("machine"), by: call.actor, agreement: call.agreement))
        },
    ]
}

struct MachineAddition: RequestBodyForm {
    static let fields = ["mac", "name"]
    var mac: MACAddress
    var name: String?
}
