internal import Control
internal import Hummingbird
internal import Model
internal import Store

/// Lists and watches: the same for every kind of resource that the store keeps.
enum ResourceList {
    static func respond<T: StoredResource>(
        _ call: Call, _ type: T.Type, filter: ChangeStream.Filter<T>
    ) async throws -> Response {
        if try call.flag("watch") {
            let after: Revision
            if let text = call.query("after") {
                guard let number = Int64(text), number >= 0 else {
                    throw Problem("query-invalid", title: "“after” is not a revision", detail: "it is “\(text)”")
                }
                after = Revision(rawValue: number)
            } else {
                after = try await call.server.records.store.currentRevision()
            }
            return try await ChangeStream.response(type, after: after, in: call, filter: filter)
        }
        let limit = try call.number("limit", in: 1...1000, default: 100)
        return try .json(await page(in: call.server.records, after: call.query("after"), limit: limit, filter: filter))
    }

    /// At most `limit` resources that the filter wants; the cursor is the last id looked at.
    static func page<T: StoredResource>(
        in records: Records, after: String?, limit: Int, filter: ChangeStream.Filter<T>
    ) async throws -> ListReply<T> {
        var reply = ListReply<T>(items: [], revision: 0, next: after)
        repeat {
            let page = try await records.list(T.self, after: reply.next, limit: limit - reply.items.count)
            reply.items += page.items.map(\.value).filter(filter.isWanted)
            if !page.skipped.isEmpty { reply.skipped = (reply.skipped ?? []) + page.skipped }
            // The oldest page's: a watch after it misses nothing.
            if reply.revision == 0 { reply.revision = page.revision.rawValue }
            reply.next = page.next
        } while reply.next != nil && reply.items.count < limit
        return reply
    }
}
