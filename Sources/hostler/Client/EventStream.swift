internal import AsyncHTTPClient
internal import FoundationEssentials
internal import Model
internal import NIOCore

/// One server-sent event.
struct ServerSentEvent: Sendable, Equatable {
    var name = "message"
    var data = ""
    /// The id of the last event that had one.
    var lastID: String?
}

/// Reads server-sent events from bytes as they come (WHATWG HTML §9.2.6).
struct EventStreamReader {
    /// A line longer than this ends the stream.
    static let maximumLineBytes = 32 << 20
    private var line: [UInt8] = []
    private var event = ServerSentEvent()
    private var hasData = false

    mutating func read(_ bytes: some Sequence<UInt8>) throws(Problem) -> [ServerSentEvent] {
        var events: [ServerSentEvent] = []
        for byte in bytes {
            guard byte == UInt8(ascii: "\n") else {
                guard line.count < Self.maximumLineBytes else {
                    throw Problem("reply-invalid", status: 502, title: "The server's event is too long")
                }
                line.append(byte)
                continue
            }
            if line.last == UInt8(ascii: "\r") { line.removeLast() }
            let text = String(decoding: line, as: UTF8.self)
            line.removeAll(keepingCapacity: true)
            if let done = take(text) { events.append(done) }
        }
        return events
    }

    private mutating func take(_ line: String) -> ServerSentEvent? {
        if line.isEmpty {
            let done = event
            event = ServerSentEvent(lastID: event.lastID)
            defer { hasData = false }
            return hasData ? done : nil
        }
        guard let colon = line.firstIndex(of: ":"), colon != line.startIndex else { return nil }
        let field = line[..<colon]
        var value = line[line.index(after: colon)...]
        if value.first == " " { value = value.dropFirst() }
        switch field {
        case "event": event.name = String(value)
        case "id": event.lastID = String(value)
        case "data":
            event.data += (hasData ? "\n" : "") + value
            hasData = true
        default: break
        }
        return nil
    }
}

extension APIClient {
    /// Calls `onEvent` for each event until it returns false or the stream ends;
    /// returns the last id. An `error` event is thrown as a `Problem`.
    @discardableResult
    func watch(
        _ path: String, query: [String: String?], onEvent: (ServerSentEvent) throws -> Bool
    ) async throws -> String? {
        let query = query.merging(["watch": "true"]) { $1 }
        let response = try await open(.GET, path, query: query, deadline: .distantFuture)
        var reader = EventStreamReader()
        var last: String?
        do {
            for try await buffer in response.body {
                for event in try reader.read(buffer.readableBytesView) {
                    last = event.lastID ?? last
                    if event.name == "error" {
                        // Its id is where to go on from.
                        _ = try onEvent(event)
                        throw (try? JSONDecoder().decode(Problem.self, from: Data(event.data.utf8)))
                            ?? Problem("watch-ended", status: 503, title: "The watch ended")
                    }
                    if try !onEvent(event) { return last }
                }
            }
        } catch let problem as Problem {
            throw problem
        } catch {
            throw unreachable(error)
        }
        return last
    }
}
