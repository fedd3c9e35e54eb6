internal import Control
internal import Hummingbird
internal import Model
internal import NIOCore
internal import Store

/// Changes of one kind of resource as server-sent events (WHATWG HTML §9.2):
/// `event: put` with the resource, `event: deleted` with its id, each with
/// `id:` the revision. A comment every 15 seconds keeps the connection alive.
/// When the reader falls behind, `event: error` with a problem ends the stream.
enum ChangeStream {
    static let heartbeat = Duration.seconds(15)
    /// The most batches that wait for a slow reader.
    static let buffer = 1024

    /// What a watcher asked for.
    struct Filter<T: Sendable>: Sendable {
        /// Of a resource that does not concern the watcher nothing is sent.
        var concerns: @Sendable (T) -> Bool = { _ in true }
        /// A resource that leaves the view is sent as deleted.
        var isInView: @Sendable (T) -> Bool = { _ in true }

        func isWanted(_ value: T) -> Bool { concerns(value) && isInView(value) }
    }

    static func response<T: StoredResource>(
        _ type: T.Type, after: Revision, in records: Records, filter: Filter<T>
    ) async throws -> Response {
        let batches = try await records.store.watch(prefix: T.prefix, after: after)
        let body = ResponseBody { writer in
            let (lines, feed) = AsyncStream.makeStream(of: String.self, bufferingPolicy: .bufferingOldest(buffer))
            feed.yield(": watching after \(after)\n\n")
            try await withThrowingTaskGroup(of: String.self) { group in
                group.addTask { await read(batches, filter, into: feed) }
                group.addTask {
                    while !Task.isCancelled {
                        try? await Task.sleep(for: heartbeat)
                        feed.yield(": alive\n\n")
                    }
                    return ""
                }
                for await text in lines { try await writer.write(ByteBuffer(string: text)) }
                group.cancelAll()
                for try await ending in group where !ending.isEmpty {
                    try await writer.write(ByteBuffer(string: ending))
                }
            }
            try await writer.finish(nil)
        }
        return Response(
            status: .ok, headers: [.contentType: "text/event-stream", .cacheControl: "no-store"], body: body)
    }

    /// Feeds until the watch ends; returns the last words.
    private static func read<T: StoredResource>(
        _ batches: AsyncThrowingStream<WatchBatch, any Error>, _ filter: Filter<T>,
        into feed: AsyncStream<String>.Continuation
    ) async -> String {
        defer { feed.finish() }
        do {
            for try await batch in batches {
                let text = try text(of: batch, filter)
                if text.isEmpty { continue }
                if case .dropped = feed.yield(text) { throw StoreError.watcherTooSlow }
            }
            return ""
        } catch let error as StoreError {
            return failure(error)
        } catch {
            return failure(.unavailable("\(error)"))
        }
    }

    /// Only a batch's last event carries the id: whoever resumes after it has seen the whole revision.
    static func text<T: StoredResource>(of batch: WatchBatch, _ filter: Filter<T>) throws -> String {
        var events = try batch.events.compactMap { try text(of: $0, filter) }
        guard let last = events.popLast() else { return "" }
        return events.map { $0 + "\n" }.joined() + last + "id: \(batch.revision)\n\n"
    }

    private static func text<T: StoredResource>(of event: StoreEvent, _ filter: Filter<T>) throws -> String? {
        if case .put(let stored) = event {
            let value = try RecordCoding.decode(T.self, from: stored)
            guard filter.concerns(value) else { return nil }
            if filter.isInView(value) {
                return "event: put\ndata: \(String(buffer: try APIJSON.encode(value)))\n"
            }
        }
        // Ids are plain ASCII: no escaping.
        return "event: deleted\ndata: {\"id\":\"\(event.key.dropFirst(T.prefix.count))\"}\n"
    }

    private static func failure(_ error: StoreError) -> String {
        let isBehind =
            switch error {
            case .compacted, .watcherTooSlow: true
            default: false
            }
        let problem = Problem(
            isBehind ? "compacted" : error.code, status: isBehind ? 410 : 503, title: "The watch ended",
            detail: error.description, remedy: error.remedy)
        let data = (try? APIJSON.encode(ProblemReply(problem: problem))).map { String(buffer: $0) } ?? "{}"
        return "event: error\ndata: \(data)\n\n"
    }
}
