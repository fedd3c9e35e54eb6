import AsyncHTTPClient
import Foundation
import Model
import NIOCore
import Store
import Testing

@testable import API

@Suite("Watching by server-sent events") struct WatchTests {
    /// The first `count` events of a watch: name, data, id.
    private func events(_ rack: Rack, _ path: String, count: Int, onOpen: () async throws -> Void = {}) async throws -> [[String: String]] {
        var request = HTTPClientRequest(url: rack.base + path)
        request.headers.add(name: "Authorization", value: "Bearer \(rack.secrets[.viewer] ?? "")")
        let response = try await rack.client.execute(request, timeout: .seconds(20))
        #expect(response.status == .ok)
        #expect(response.headers.first(name: "Content-Type") == "text/event-stream")
        try await onOpen()
        var found: [[String: String]] = []
        var text = ""
        for try await buffer in response.body {
            text += String(buffer: buffer)
            while let end = text.range(of: "\n\n") {
                let lines = text[..<end.lowerBound].split(separator: "\n").filter { !$0.hasPrefix(":") }
                text.removeSubrange(..<end.upperBound)
                if lines.isEmpty { continue }
                var event: [String: String] = [:]
                for line in lines {
                    let parts = line.split(separator: ":", maxSplits: 1)
                    event[String(parts[0])] = String(parts[1].dropFirst())
                }
                found.append(event)
                if found.count == count { return found }
            }
        }
        return found
    }

    @Test("a watch sees what comes after its revision, and goes on where it left") func resume() async throws {
        try await Rack.with { rack in
            let first = try await rack.machine("one")
            let start = try await rack.store.currentRevision()
            let seen = try await events(rack, "/v1/machines?watch=true&after=\(start)", count: 2) {
                try await rack.machine("two")
                try await rack.control.delete(machine: "one", by: "test")
            }
            #expect(seen.map { $0["event"] } == ["put", "deleted"])
            #expect(seen[1]["data"]?.contains(first.id.rawValue) == true)
            let middle = try #require(seen[0]["id"])
            let again = try await events(rack, "/v1/machines?watch=true&after=\(middle)", count: 1)
            #expect(again == [seen[1]])
        }
    }

    @Test("a machine that leaves the view is told as deleted") func leaving() async throws {
        try await Rack.with { rack in
            var machine = try await rack.machine("one", state: .ready)
            let start = try await rack.store.currentRevision()
            machine.state = .running
            _ = try await rack.control.put(machine)
            let seen = try await events(rack, "/v1/machines?watch=true&state=ready&after=\(start)", count: 1)
            #expect(seen.first?["event"] == "deleted")
        }
    }

    @Test("a watch from before the kept history answers 410 compacted") func compacted() async throws {
        try await Rack.with { rack in
            for number in 0..<5 { try await rack.machine("m\(number)") }
            try await rack.store.compact(before: rack.store.currentRevision())
            let answer = try await rack.send(.GET, "/v1/machines?watch=true&after=1")
            #expect(answer.status == 410)
            #expect(answer.code == "compacted")
        }
    }

    @Test("the end of the store ends the stream with an error event") func closed() async throws {
        try await Rack.with { rack in
            let start = try await rack.store.currentRevision()
            let seen = try await events(rack, "/v1/events?watch=true&after=\(start)", count: 1) {
                try await rack.store.close()
            }
            #expect(seen.first?["event"] == "error")
        }
    }

    @Test("only the last event of a revision carries its id") func batches() throws {
        var generator = SystemRandomNumberGenerator()
        let events = try (0..<3).map { _ -> StoreEvent in
            let machine = Machine(
                id: .random(using: &generator), name: try DisplayName("x"), interfaces: [], now: .init(milliseconds: 0))
            return .delete(key: Machine.prefix + machine.id.rawValue, revision: Revision(rawValue: 9))
        }
        let text = try ChangeStream.text(of: .init(revision: .init(rawValue: 9), events: events), ChangeStream.Filter<Machine>(), EncodedChanges())
        #expect(text.components(separatedBy: "\n\n").count == 4)
        #expect(text.components(separatedBy: "id: 9").count == 2 && text.hasSuffix("id: 9\n\n"))
    }
}
