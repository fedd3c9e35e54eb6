internal import Control
internal import Hummingbird
internal import Model

enum EventRoutes {
    static let routes: [Route] = [
        Route(
            method: .get, path: "/v1/events", name: "listEvents",
            summary: "What happened, newest last, or a stream of what happens", access: .role(.viewer),
            query: Route.QueryParameter.watching + [
                .init(name: "machine", summary: "Only this machine's, by id or name."),
                .init(name: "kind", summary: "Only of this kind, or of all kinds that begin with it and a dot."),
                .init(name: "last", summary: "Only the newest so many, 1 to 1000.", type: "integer"),
            ],
            reply: .json("EventList", watch: true),
            handler: list)
    ]

    private static func list(_ call: Call) async throws -> Response {
        let machine: MachineID? = if let name = call.query("machine") { try await machineID(name, call) } else { nil }
        let kind = call.query("kind")
        let filter = ChangeStream.Filter<Event>(concerns: { event in
            (machine == nil || event.machine == machine)
                && (kind == nil || event.kind == kind || event.kind.hasPrefix("\(kind ?? "")."))
        })
        guard call.query("last") != nil, try !call.flag("watch") else {
            return try await ResourceList.respond(call, Event.self, filter: filter)
        }
        let count = try call.number("last", in: 1...1000, default: 100)
        return try .json(await newest(count, in: call, filter: filter))
    }

    /// Events stay after their machine is forgotten, so an id need not be known.
    private static func machineID(_ name: String, _ call: Call) async throws -> MachineID {
        if let id = MachineID(rawValue: name) { return id }
        return try await call.server.control.machine(named: name).value.id
    }

    /// Ids sort by time, so the newest are found by looking back ever further.
    private static func newest(
        _ count: Int, in call: Call, filter: ChangeStream.Filter<Event>
    ) async throws -> ListReply<Event> {
        let now = call.server.now().milliseconds
        var lookBack: Int64? = 600_000
        while true {
            let start = lookBack.map { eventIDPrefix(milliseconds: max(0, now - $0)) }
            var reply = ListReply<Event>(items: [], revision: 0, next: start)
            repeat {
                let page = try await ResourceList.page(
                    in: call.server.records, after: reply.next, limit: 1000, filter: filter)
                reply.items = (reply.items + page.items).suffix(count)
                if let skipped = page.skipped { reply.skipped = (reply.skipped ?? []) + skipped }
                if reply.revision == 0 { reply.revision = page.revision }
                reply.next = page.next
            } while reply.next != nil
            guard reply.items.count < count, let span = lookBack else { return reply }
            lookBack = span < 7 * 86_400_000 ? span * 12 : nil
        }
    }
}

/// What the ids of all events from that moment on sort after: an event's id is
/// its milliseconds in twelve hex digits, a dash, and a counter.
func eventIDPrefix(milliseconds: Int64) -> String {
    let text = String(milliseconds, radix: 16)
    return String(repeating: "0", count: max(0, 12 - text.count)) + text
}
