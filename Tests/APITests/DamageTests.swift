import Control
import Foundation
import Model
import Store
import Testing

@testable import API

@Suite("lists and tokens beside records that cannot be read") struct DamageTests {
    @Test("a list leaves out what cannot be read, and says so; status and metrics name it") func lists() async throws {
        try await Rack.with { rack in
            let machine = try await rack.machine("one")
            let event = Event(id: "018bcfe56800-1", at: .init(milliseconds: 1_700_000_000_000), kind: "a.b", actor: "x", message: "m")
            _ = try await rack.control.put(event)
            try await rack.store.commit([
                .put(key: "/events/018bcfe56800-2", value: Array("{".utf8), if: .none),
                .put(key: "/rack/machines/m-bad001", value: Array("rubbish".utf8), if: .none),
                .put(key: "/rack/operations/op-bad001", value: [], if: .none),
            ])
            for path in ["/v1/events", "/v1/events?last=10"] {
                let answer = try await rack.send(.GET, path)
                let events = try answer.decode(ListReply<Event>.self)
                #expect(answer.status == 200 && events.items.map(\.id) == [event.id] && events.skipped?.contains("018bcfe56800-2") == true)
            }
            let machines = try await rack.send(.GET, "/v1/machines").decode(ListReply<Machine>.self)
            #expect(machines.items.map(\.id) == [machine.id] && machines.skipped == ["m-bad001"])
            let operation = try await rack.send(.GET, "/v1/operations/op-bad001")
            #expect(operation.status == 500 && operation.code == "record-damaged")
            #expect(try await rack.send(.GET, "/v1/events").decode(ListReply<Event>.self).skipped?.count == 1)
            let status = try await rack.send(.GET, "/v1/status").decode(StatusReply.self)
            #expect(status.warnings.map(\.code) == ["record-damaged", "record-damaged", "record-damaged"])
            #expect(status.warnings.contains { $0.title.contains("/rack/machines/m-bad001") })
            #expect(try await rack.send(.GET, "/metrics").text.contains("\nhostler_damaged_records 3\n"))
            // Written anew, it counts again.
            try await rack.store.commit([.delete(key: "/rack/machines/m-bad001", if: .none)])
            #expect(try await rack.send(.GET, "/v1/machines").decode(ListReply<Machine>.self).skipped == nil)
        }
    }

    @Test("a token whose record is damaged opens nothing, and the others go on") func tokens() async throws {
        try await Rack.with { rack in
            let made = try await rack.send(.POST, "/v1/tokens", body: #"{"name":"x","role":"viewer"}"#).decode(NewToken.self)
            let other = try await rack.send(.POST, "/v1/tokens", body: #"{"name":"y","role":"viewer"}"#).decode(NewToken.self)
            // Somebody else's record under its name gives it no power either.
            let foreign = try #require(try await rack.store.get("/tokens/\(other.token.id)"))
            for damage in [[], Array("{".utf8), foreign.value] {
                try await rack.store.commit([.put(key: "/tokens/\(made.token.id)", value: damage, if: .none)])
                #expect(try await rack.send(.GET, "/v1/machines", token: made.secret).status == 401)
                #expect(try await rack.send(.GET, "/v1/machines", token: other.secret).status == 200)
                let names = try await rack.send(.GET, "/v1/tokens").decode(ListReply<Token>.self).items.map(\.name)
                #expect(names.contains("y") && !names.contains("x"))
            }
        }
    }
}
