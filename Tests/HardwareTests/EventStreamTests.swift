import Model
import Testing

@testable import Hardware

@Suite("The event stream") struct ServerSentEventsTests {
    private func read(_ pieces: [[UInt8]]) throws -> [ServerSentEvents.Event] {
        var parser = ServerSentEvents()
        return try pieces.flatMap { try parser.receive($0) }
    }

    /// As Lenovo's XCC and Dell's OME write them, and as the standard's own examples do.
    static let transcript = """
        : stream keep-alive\r\n\r\nid:2\ndata:{\ndata:    "Id": "2",\ndata:    "Events": []\ndata:}\n\nevent: add\r\
        data: 73857293\r\rretry: 2500\nid\ndata\n\nunknown: field\ndata:  two spaces\n\nid: 9\n\ndata: lost, for it has no end
        """
    static let events: [ServerSentEvents.Event] = [
        .init(id: "2", type: "message", data: "{\n   \"Id\": \"2\",\n   \"Events\": []\n}"),
        .init(id: "2", type: "add", data: "73857293"),
        .init(id: "", type: "message", data: ""),
        .init(id: "", type: "message", data: " two spaces"),
    ]

    @Test("a stream is read the same however it is cut") func cuts() throws {
        let bytes = Array(Self.transcript.utf8)
        let whole = try read([bytes])
        #expect(whole == Self.events)
        for cut in bytes.indices { #expect(try read([Array(bytes[..<cut]), Array(bytes[cut...])]) == whole, "cut at \(cut)") }
        #expect(try read(bytes.map { [$0] }) == whole)
    }

    @Test("a byte order mark is passed over, a time to wait is kept") func mark() throws {
        var parser = ServerSentEvents()
        #expect(try parser.receive([0xef, 0xbb, 0xbf] + Array("data: x\nretry: 2500\nretry: soon\n\n".utf8)).map(\.data) == ["x"])
        #expect(parser.retryMilliseconds == 2500)
    }

    @Test("an event without end is no event") func endless() {
        #expect(throws: ServerSentEvents.ParseError.tooLong) {
            var parser = ServerSentEvents()
            for _ in 0..<40 { _ = try parser.receive(Array("data: ".utf8) + [UInt8](repeating: 65, count: 30_000) + [10]) }
        }
    }

    @Test("records are taken from old and new forms of Event, and words are cleaned") func records() throws {
        let json = try JSONParser.parse(
            Array(
                """
                {"@odata.type": "#Event.v1_3_0.Event", "Id": "14", "Events": [
                  {"EventType": "Alert", "EventId": "Redfish4", "EventTimestamp": "2021-02-10T22:26:10+0000", "Severity": "Informational",
                   "Message": "A session\\u001b[2J is initiated", "MessageId": "CMC9000", "MessageArgs": []},
                  {"MessageSeverity": "Critical", "MessageId": "Platform.1.0.FanFailed",
                   "OriginOfCondition": {"@odata.id": "/redfish/v1/Chassis/1"}},
                  {"OriginOfCondition": "/redfish/v1/x"}, 7
                ]}
                """.utf8))
        let records = RedfishEvent.records(of: json)
        #expect(records.count == 2)
        #expect(records.first?.severity == .ok)
        #expect(records.first?.message.contains("\u{1b}") == false)
        #expect(records.first?.id == "Redfish4")
        #expect(
            records.last
                == RedfishEvent(
                    id: "14", messageID: "Platform.1.0.FanFailed", message: "Platform.1.0.FanFailed", severity: .critical,
                    origin: "/redfish/v1/Chassis/1", time: nil))
        #expect(RedfishEvent.records(of: ["MetricValues": []]).isEmpty)
    }

    @Test("times are read with every offset that BMCs write") func clock() {
        let noon = Timestamp("2026-01-01T12:00:00Z")
        for text in [
            "2026-01-01T12:00:00Z", "2026-01-01T14:00:00+02:00", "2026-01-01T06:30:00-0530", "2026-01-01T12:00:00", "2026-01-01T12:00:00.000+00:00",
        ] {
            #expect(BMCClock.time(text) == noon, "\(text)")
        }
        for text in ["", "soon", "2026-13-01T12:00:00Z", "2026-01-01T12:00:00+2", "2026-01-01T12:00:00+99:00"] {
            #expect(BMCClock.time(text) == nil, "\(text)")
        }
        #expect(BMCClock.time(nil) == nil)
    }

    @Test("each pause is longer than the last until the longest, and a success begins anew") func backoff() {
        var backoff = Backoff(first: .seconds(2), longest: .seconds(60))
        let pauses = (0..<8).map { _ in backoff.pause(fraction: 1) }
        #expect(pauses == [2, 4, 8, 16, 32, 60, 60, 60].map { .seconds($0) })
        #expect(backoff.pause(fraction: 0) == .seconds(30))
        backoff.succeeded()
        #expect(backoff.pause(fraction: 0.5) == .milliseconds(1500))
    }
}
