internal import Model
internal import Store

extension Records {
    /// The id of the newest event: ids sort in the order in which events were made. Nil where there is none.
    ///
    /// A store lists forwards only, so it is found by halving: some sixty looks at one key each, of however many events.
    public func newestEventID() async throws -> String? {
        let milliseconds = try await newest({ Event.idPrefix(milliseconds: $0) }, below: 1 << 48)
        guard let milliseconds else { return nil }
        let prefix = Event.idPrefix(milliseconds: milliseconds)
        // A counter of before may be longer than four digits; those are few, and come last.
        let counter = try await newest({ "\(prefix)-\(Event.hex($0, digits: 4))" }, below: 1 << 16)
        var cursor = counter.map { "\(prefix)-\(Event.hex($0, digits: 4))" } ?? prefix
        while true {
            let page = try await store.list(prefix: Event.prefix, after: Event.prefix + cursor, limit: 500)
            guard let last = page.values.last else { break }
            cursor = String(last.key.dropFirst(Event.prefix.count))
        }
        return cursor == prefix ? nil : cursor
    }

    /// The largest number after whose id there still is an event.
    private func newest(_ id: (Int64) -> String, below limit: Int64) async throws -> Int64? {
        var (low, high): (Int64, Int64) = (-1, limit)
        while high - low > 1 {
            let middle = low + (high - low) / 2
            let isThere = try await !store.list(prefix: Event.prefix, after: Event.prefix + id(middle), limit: 1).values.isEmpty
            if isThere { low = middle } else { high = middle }
        }
        return low < 0 ? nil : low
    }

    /// A cursor for ``list(_:after:limit:)`` of events: everything that was made less than `span` before the event with this
    /// id comes after it.
    public static func eventCursor(_ span: Duration, before id: String) -> String {
        let milliseconds = id.split(separator: "-").first.flatMap { Int64($0, radix: 16) } ?? 0
        return Event.idPrefix(milliseconds: max(0, milliseconds - span.wholeMilliseconds))
    }
}
