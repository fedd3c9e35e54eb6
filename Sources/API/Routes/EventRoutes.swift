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

    /// Ids sort in the order in which the events were made, so the newest are found by looking back ever further from the
    /// last of them: what the clock says now may be before all of them.
    private static func newest(
        _ count: Int, in call: Call, filter: ChangeStream.Filter<Event>
    ) async throws -> ListReply<Event> {
        let newest = try await call.server.records.newestEventID()
        var lookBack: Duration? = newest == nil ? nil : .seconds(600)
        while true {
            let start = lookBack.flatMap { span in newest.map { Records.eventCursor(span, before: $0) } }
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
            lookBack = span < .seconds(7 * 86_400) ? span * 12 : nil
        }
    }
}
