import Control
import Foundation
import Model
import Testing

@testable import API

@Suite("The API's routes") struct RouteTests {
    @Test("each role may do what it is for, and nothing else") func roles() async throws {
        try await Rack.with { rack in
            let machine = try await rack.machine("one")
            let cases: [(String, String, String?, [Role?: Int])] = [
                ("GET", "/healthz", nil, [nil: 200]),
                ("GET", "/v1/machines", nil, [nil: 401, .viewer: 200, .operator: 200, .admin: 200]),
                ("GET", "/v1/status", nil, [nil: 401, .viewer: 200]),
                ("PATCH", "/v1/machines/one", "{\"hostname\":\"a\"}", [nil: 401, .viewer: 403, .operator: 200]),
                ("GET", "/v1/tokens", nil, [nil: 401, .viewer: 403, .operator: 403, .admin: 200]),
                ("POST", "/v1/machines/\(machine.id)/inspect", nil, [.viewer: 403, .operator: 202]),
            ]
            for (method, path, body, expected) in cases {
                for (role, status) in expected {
                    let answer = try await rack.send(.init(rawValue: method), path, as: role, body: body)
                    #expect(answer.status == status, "\(method) \(path) as \(role?.rawValue ?? "nobody"): \(answer.text)")
                }
            }
        }
    }

    @Test("a machine is found by id and by a name in any script, with its revision as ETag") func names() async throws {
        try await Rack.with { rack in
            let machine = try await rack.machine("Tanne 🎄")
            for path in [machine.id.rawValue, "Tanne 🎄".percentEncoded] {
                let answer = try await rack.send(.GET, "/v1/machines/\(path)")
                #expect(answer.status == 200)
                #expect(try answer.decode(Machine.self).name.text == "Tanne 🎄")
                #expect(answer.headers.first(name: "ETag")?.hasPrefix("\"") == true)
            }
        }
    }

    @Test("If-Match with an older revision is refused, with the present one is done") func ifMatch() async throws {
        try await Rack.with { rack in
            try await rack.machine("one")
            let tag = try #require(try await rack.send(.GET, "/v1/machines/one").headers.first(name: "ETag"))
            let change = "{\"labels\":{\"rack\":\"a\"}}"
            let first = try await rack.send(.PATCH, "/v1/machines/one", body: change, headers: ["If-Match": tag])
            #expect(first.status == 200)
            #expect(first.headers.first(name: "ETag") != tag)
            let second = try await rack.send(.PATCH, "/v1/machines/one", body: change, headers: ["If-Match": tag])
            #expect(second.status == 412)
        }
    }

    @Test("pages hold every machine once") func paging() async throws {
        try await Rack.with { rack in
            for number in 0..<25 { try await rack.machine("m\(number)", state: number % 2 == 0 ? .ready : .running) }
            for (filter, count) in [("", 25), ("&state=ready", 13), ("&name=M1", 11)] {
                var seen: [String] = []
                var after = ""
                repeat {
                    let answer = try await rack.send(.GET, "/v1/machines?limit=4\(filter)\(after)")
                    let page = try answer.decode(ListReply<Machine>.self)
                    #expect(page.items.count <= 4)
                    seen += page.items.map(\.id.rawValue)
                    after = page.next.map { "&after=\($0)" } ?? ""
                } while !after.isEmpty
                #expect(seen.count == count, "\(filter)")
                #expect(Set(seen).count == seen.count)
            }
        }
    }

    @Test("an installation answers 202 with where its operation is; a busy machine 409") func install() async throws {
        try await Rack.with { rack in
            try await rack.machine("one")
            let answer = try await rack.send(.POST, "/v1/machines/one/install", body: "{\"image\":\"debian-12\"}")
            #expect(answer.status == 202)
            let operation = try answer.decode(Model.Operation.self)
            #expect(operation.requestedBy == "token:admin")
            let place = try #require(answer.headers.first(name: "Location"))
            #expect(try await rack.send(.GET, place).decode(Model.Operation.self) == operation)
            #expect(try await rack.send(.POST, "/v1/machines/one/inspect").code == "machine-busy")
            let open = try await rack.send(.GET, "/v1/operations?state=open&machine=one").decode(ListReply<Model.Operation>.self)
            #expect(open.items.map(\.id) == [operation.id])
        }
    }

    @Test("a bulk request does what it can and says of each what became of it") func bulk() async throws {
        try await Rack.with { rack in
            try await rack.machine("one")
            let body = #"{"items":[{"machine":"one","inspect":{}},{"machine":"none","wipe":{"disks":[]}}]}"#
            let reply = try await rack.send(.POST, "/v1/operations", body: body).decode(BulkReply<Model.Operation>.self)
            #expect(reply.results.map { $0.value != nil } == [true, false])
            #expect(reply.results[1].problem?.code == "machine-not-found")
            let patches = #"{"items":[{"machine":"one","patch":{"hostname":"h"}},{"machine":"one","patch":{"hostnam":"h"}}]}"#
            #expect(try await rack.send(.PATCH, "/v1/machines", body: patches).code == "field-unknown")
        }
    }

    @Test("the newest events come last") func events() async throws {
        try await Rack.with { rack in
            let start: Int64 = Int64(Date().timeIntervalSince1970 * 1000) - 30 * 86_400_000
            for number in 0..<30 {
                let at = start + Int64(number) * 86_400_000
                let id = Event.idPrefix(milliseconds: at) + "-0000"
                let event = Event(
                    id: id, at: .init(milliseconds: at), kind: number % 2 == 0 ? "machine.a" : "boot.b", actor: "test",
                    message: "\(number)")
                _ = try await rack.control.put(event)
            }
            let last = try await rack.send(.GET, "/v1/events?last=3").decode(ListReply<Event>.self)
            #expect(last.items.map(\.message) == ["27", "28", "29"])
            let kind = try await rack.send(.GET, "/v1/events?last=2&kind=machine").decode(ListReply<Event>.self)
            #expect(kind.items.map(\.message) == ["26", "28"])
        }
    }

    @Test("the newest events are the last that were made, also where the clock was years ahead or is behind")
    func eventsOfOtherClocks() async throws {
        try await Rack.with { rack in
            let now = Int64(Date().timeIntervalSince1970 * 1000)
            for (number, at) in [0, now - 86_400_000, now, now + 86_400_000, now + 90_000_000_000].enumerated() {
                for counter in 0..<3 {
                    let event = Event(
                        id: Event.idPrefix(milliseconds: at) + "-000\(counter)", at: .init(milliseconds: now), kind: "machine.a", actor: "test",
                        message: "\(number)\(counter)")
                    _ = try await rack.control.put(event)
                }
            }
            for count in 1...15 {
                let last = try await rack.send(.GET, "/v1/events?last=\(count)").decode(ListReply<Event>.self)
                let all = (0..<5).flatMap { number in (0..<3).map { "\(number)\($0)" } }
                #expect(last.items.map(\.message) == all.suffix(count))
            }
        }
    }

    @Test("an image import runs behind its request, and its failure is told") func imports() async throws {
        try await Rack.with { rack in
            let good = #"{"name":"a","url":"http://x/good"}"#, bad = #"{"name":"b","url":"http://x/missing"}"#
            #expect(try await rack.send(.POST, "/v1/images", body: good).status == 202)
            #expect(try await rack.send(.POST, "/v1/images", body: bad).status == 202)
            var states: [String: ImageState] = [:]
            for _ in 0..<200 {
                let list = try await rack.send(.GET, "/v1/images").decode(ListReply<ImageReply>.self)
                states = Dictionary(uniqueKeysWithValues: list.items.map { ($0.name, $0.state) })
                if !states.values.contains(.importing) { break }
                await Task.yield()
            }
            #expect(states == ["a": .ready, "b": .failed])
            #expect(try await rack.send(.POST, "/v1/images", body: good).code == "image-exists")
            #expect(try await rack.send(.DELETE, "/v1/images/b").status == 204)
            #expect(try await rack.send(.GET, "/v1/images/b").code == "image-not-found")
        }
    }

    @Test("a revoked token stops working, and the last admin token stays") func revocation() async throws {
        try await Rack.with { rack in
            let made = try await rack.send(.POST, "/v1/tokens", body: #"{"name":"x","role":"viewer"}"#).decode(NewToken.self)
            #expect(try await rack.send(.GET, "/v1/machines", token: made.secret).status == 200)
            #expect(try await rack.sendAgreed(.DELETE, "/v1/tokens/\(made.token.id)").status == 204)
            #expect(try await rack.send(.GET, "/v1/machines", token: made.secret).code == "token-refused")
            let admin = try #require(try await rack.tokens.list().first { $0.role == .admin })
            #expect(try await rack.send(.DELETE, "/v1/tokens/\(admin.id)").code == "last-admin-token")
        }
    }
}
