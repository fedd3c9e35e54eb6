import FoundationEssentials
import Model
import Testing

@Suite("Moments") struct TimestampTests {
    private struct Box: Codable, Equatable { var at: Timestamp }

    private func decode(_ json: String, stored: Bool = false) throws -> Timestamp {
        let decoder = JSONDecoder()
        if stored { decoder.userInfo[.timestampsAsMilliseconds] = true }
        return try decoder.decode(Box.self, from: Data("{\"at\":\(json)}".utf8)).at
    }

    @Test("text of the years 1970 to 9999 is read, and written as it was") func roundTrip() throws {
        for text in [
            "1970-01-01T00:00:00.000Z", "2000-02-29T23:59:59.999Z", "2026-01-31T08:15:00.250Z", "2100-02-28T00:00:00.001Z",
            "9999-12-31T23:59:59.999Z",
        ] {
            #expect(try #require(Timestamp(text)).description == text)
            #expect(try decode("\"\(text)\"").description == text)
        }
        #expect(Timestamp("2016-12-31T23:59:60Z")?.description == "2017-01-01T00:00:00.000Z")
    }

    @Test("other times are refused where people and machines send them") func refused() {
        for json in [
            "\"1969-12-31T23:59:59Z\"", "\"0000-01-01T00:00:00Z\"", "\"2026-02-30T00:00:00Z\"", "\"2026-13-01T00:00:00Z\"",
            "\"10000-01-01T00:00:00Z\"", "\"\"", "\"\(String(repeating: "9", count: 100_000))\"", "-1", "-9223372036854775808",
            "9223372036854775807", "253402300800000", "1e308", "null", "[]",
        ] {
            #expect(throws: (any Error).self, "\(json.prefix(40))") { try decode(json) }
        }
    }

    @Test("a stored time out of range opens as the nearest that is none") func stored() throws {
        #expect(try decode("-9223372036854775808", stored: true) == .first)
        #expect(try decode("9223372036854775807", stored: true) == .last)
        #expect(try decode("1700000000000", stored: true).milliseconds == 1_700_000_000_000)
    }

    @Test("arithmetic ends at the first and the last moment") func arithmetic() {
        let times: [Timestamp] = [.first, .last, .init(milliseconds: .min), .init(milliseconds: .max), .init(milliseconds: 1_700_000_000_000)]
        let durations: [Duration] = [
            .zero, .seconds(Int64.max), .seconds(Int64.min), .milliseconds(Int64.max), .nanoseconds(Int64.min), .seconds(-1), .seconds(1e18),
        ]
        for time in times {
            for duration in durations {
                let sum = time + duration
                #expect((Timestamp.first...Timestamp.last).contains(sum))
                #expect(sum.description.count == 24)
                for other in times { #expect(other + (time - other) == time) }
            }
        }
        #expect(Timestamp.last.description == "9999-12-31T23:59:59.999Z")
        #expect(Timestamp.first + .seconds(1) == Timestamp(milliseconds: 1000))
        #expect(Timestamp(milliseconds: 5000) + .milliseconds(-1) == Timestamp(milliseconds: 4999))
    }

    @Test("milliseconds of any duration are a number") func milliseconds() {
        #expect(Duration.seconds(Int64.max).wholeMilliseconds == .max)
        #expect(Duration.seconds(Int64.min).wholeMilliseconds == .min)
        #expect(Duration.milliseconds(-1500).wholeMilliseconds == -1500)
        #expect(Duration.nanoseconds(1_999_999).wholeMilliseconds == 1)
    }
}
