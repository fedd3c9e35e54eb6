internal import Control
internal import Hummingbird
internal import Model
internal import NIOCore
internal import Store
internal import Synchronization

/// Changes of one kind of resource as server-sent events (WHATWG HTML §9.2):
/// `event: put` with the resource, `event: deleted` with its id, each with
/// `id:` the revision. A comment every 15 seconds keeps the connection alive.
///
/// Nothing is made before the reader has taken what was made before: what waits,
/// waits in the store, whose ``WatchBuffer`` has a limit in bytes. A reader that
/// falls behind it, and one whose token ends, gets `event: error` with a problem
/// as its last, with the revision to go on from (`?after=`) as its `id:`.
enum ChangeStream {
    static let heartbeat = Duration.seconds(15)

    /// What a watcher asked for.
    struct Filter<T: Sendable>: Sendable {
        /// Of a resource that does not concern the watcher nothing is sent.
        var concerns: @Sendable (T) -> Bool = { _ in true }
        /// A resource that leaves the view is sent as deleted.
        var isInView: @Sendable (T) -> Bool = { _ in true }

        func isWanted(_ value: T) -> Bool { concerns(value) && isInView(value) }
    }

    static func response<T: StoredResource>(
        _ type: T.Type, after: Revision, in call: Call, filter: Filter<T>
    ) async throws -> Response {
        let (server, token) = (call.server, call.token)
        let batches = try await server.records.store.watch(prefix: T.prefix, after: after, buffer: server.watchBuffer)
        let body = ResponseBody { writer in
            let lines = Handover<String>()
            try await withThrowingTaskGroup(of: Void.self) { group in
                let reached = Reached(after)
                group.addTask { await feed(batches, filter, server.changes, reached, into: lines) }
                group.addTask {
                    while (try? await Task.sleep(for: heartbeat)) != nil { lines.offer(": alive\n\n") }
                }
                if let token {
                    group.addTask {
                        guard await server.tokens.end(of: token) else { return }
                        reached.close()
                        if await lines.give(ending(tokenEnded, at: reached.revision)) { lines.finish() }
                    }
                }
                defer {
                    group.cancelAll()
                    lines.finish()
                }
                try await writer.write(ByteBuffer(string: ": watching after \(after)\n\n"))
                while let text = await lines.take() { try await writer.write(ByteBuffer(string: text)) }
            }
            try await writer.finish(nil)
        }
        return Response(
            status: .ok, headers: [.contentType: "text/event-stream", .cacheControl: "no-store"], body: body)
    }

    /// Up to where a watcher has been told all that it asked for.
    private final class Reached: Sendable {
        private let state: Mutex<(revision: Revision, isClosed: Bool)>
        init(_ revision: Revision) { state = Mutex((revision, false)) }
        var revision: Revision { state.withLock { $0.revision } }
        /// Nothing more is sent.
        func close() { state.withLock { $0.isClosed = true } }
        var isClosed: Bool { state.withLock { $0.isClosed } }
        func reach(_ revision: Revision) { state.withLock { $0.revision = revision } }
    }

    /// Feeds until the watch ends.
    private static func feed<T: StoredResource>(
        _ batches: AsyncThrowingStream<WatchBatch, any Error>, _ filter: Filter<T>, _ changes: EncodedChanges, _ reached: Reached,
        into lines: Handover<String>
    ) async {
        var failure: StoreError?
        do {
            for try await batch in batches {
                let text = try text(of: batch, filter, changes)
                if reached.isClosed { return }
                if !text.isEmpty, await !lines.give(text) { return }
                reached.reach(batch.revision)
            }
        } catch let error as StoreError {
            failure = error
        } catch {
            failure = .unavailable("\(error)")
        }
        if let failure, !reached.isClosed { _ = await lines.give(ending(problem(failure), at: reached.revision)) }
        lines.finish()
    }

    /// Only a batch's last event carries the id: whoever resumes after it has seen the whole revision.
    static func text<T: StoredResource>(of batch: WatchBatch, _ filter: Filter<T>, _ changes: EncodedChanges) throws -> String {
        var events = try batch.events.compactMap { try text(of: $0, filter, changes) }
        guard let last = events.popLast() else { return "" }
        return events.map { $0 + "\n" }.joined() + last + "id: \(batch.revision)\n\n"
    }

    private static func text<T: StoredResource>(of event: StoreEvent, _ filter: Filter<T>, _ changes: EncodedChanges) throws -> String? {
        if case .put(let stored) = event {
            // One that cannot be read is passed over, as in a list.
            guard let (value, json) = try? changes.resource(T.self, in: stored) else { return nil }
            guard filter.concerns(value) else { return nil }
            if filter.isInView(value) { return "event: put\ndata: \(json)\n" }
        }
        // Ids are plain ASCII: no escaping.
        return "event: deleted\ndata: {\"id\":\"\(event.key.dropFirst(T.prefix.count))\"}\n"
    }

    private static let tokenEnded = Problem(
        "token-ended", status: 401, title: "The watch ended with its token", detail: "the token was revoked, or its time is over",
        remedy: "Ask an admin for another: hostler token create NAME")

    private static func problem(_ error: StoreError) -> Problem {
        switch error {
        case .compacted:
            Problem("compacted", status: 410, title: "The watch ended", detail: error.description, remedy: error.remedy)
        case .watcherTooSlow:
            Problem(
                "watch-too-slow", status: 503, title: "The watch fell behind and was cut off",
                detail: "more waited to be read than the server keeps for one watcher",
                remedy: "Go on with ?after= and this event's id. Read faster, or ask for less.")
        default: Problem(error.code, status: 503, title: "The watch ended", detail: error.description, remedy: error.remedy)
        }
    }

    /// The last event. Its id is where to go on from, unless the history there is gone.
    private static func ending(_ problem: Problem, at revision: Revision) -> String {
        let data = (try? APIJSON.encode(ProblemReply(problem: problem))).map { String(buffer: $0) } ?? "{}"
        return "event: error\ndata: \(data)\n" + (problem.code == "compacted" ? "\n" : "id: \(revision)\n\n")
    }
}
